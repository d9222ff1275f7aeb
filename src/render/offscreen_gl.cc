#include "offscreen_gl.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

namespace reverie {
namespace {

// A shared library that stays loaded: drivers do not bear being unloaded.
class Library {
 public:
  explicit Library(const char* name) : handle_(dlopen(name, RTLD_NOW | RTLD_GLOBAL)) {
    if (handle_ == nullptr) {
      throw std::runtime_error(dlerror());
    }
  }

  template <class Function>
  Function Find(const char* name) const {
    void* symbol = dlsym(handle_, name);
    if (symbol == nullptr) {
      throw std::runtime_error(dlerror());
    }
    return reinterpret_cast<Function>(symbol);
  }

 private:
  void* handle_;
};

// The part of EGL/egl.h and eglext.h that is used.
namespace egl {
using Display = void*;
using Config = void*;
using Context = void*;
using Surface = void*;
using Int = int32_t;
using Enum = unsigned;
using Boolean = unsigned;
constexpr Enum kOpenGlApi = 0x30A2;
constexpr Enum kPlatformDevice = 0x313F;
constexpr Enum kPlatformSurfaceless = 0x31DD;
constexpr Int kNone = 0x3038;
constexpr std::array<Int, 15> kConfig = {0x3024, 8,       // EGL_RED_SIZE
                                         0x3023, 8,       // EGL_GREEN_SIZE
                                         0x3022, 8,       // EGL_BLUE_SIZE
                                         0x3025, 24,      // EGL_DEPTH_SIZE
                                         0x3026, 8,       // EGL_STENCIL_SIZE
                                         0x3033, 0x0001,  // EGL_SURFACE_TYPE: EGL_PBUFFER_BIT
                                         0x3040, 0x0008,  // EGL_RENDERABLE_TYPE: EGL_OPENGL_BIT
                                         kNone};
}  // namespace egl

class EglContext {
 public:
  EglContext() : egl_("libEGL.so.1") {
    std::string complaints;
    for (egl::Display display : Displays()) {
      if (Open(display, complaints)) {
        return;
      }
    }
    throw std::runtime_error("no display gives an OpenGL context" + complaints);
  }
  EglContext(const EglContext&) = delete;
  EglContext& operator=(const EglContext&) = delete;
  ~EglContext() {
    make_current_(display_, nullptr, nullptr, nullptr);
    egl_.Find<egl::Boolean (*)(egl::Display, egl::Context)>("eglDestroyContext")(display_, context_);
  }

  void MakeCurrent() {
    if (make_current_(display_, nullptr, nullptr, context_) == 0) {
      throw std::runtime_error("EGL does not make its context current");
    }
  }

 private:
  // GPUs one by one, then Mesa without a device, then what EGL takes by itself.
  std::vector<egl::Display> Displays() const {
    std::vector<egl::Display> displays;
    const auto find = egl_.Find<void* (*)(const char*)>("eglGetProcAddress");
    const auto platform_display =
        reinterpret_cast<egl::Display (*)(egl::Enum, void*, const egl::Int*)>(find("eglGetPlatformDisplayEXT"));
    const auto query_devices =
        reinterpret_cast<egl::Boolean (*)(egl::Int, void**, egl::Int*)>(find("eglQueryDevicesEXT"));
    if (platform_display != nullptr && query_devices != nullptr) {
      std::array<void*, 16> devices{};
      egl::Int count = 0;
      query_devices(static_cast<egl::Int>(devices.size()), devices.data(), &count);
      for (egl::Int i = 0; i < count; ++i) {
        displays.push_back(platform_display(egl::kPlatformDevice, devices[static_cast<size_t>(i)], nullptr));
      }
    }
    if (platform_display != nullptr) {
      displays.push_back(platform_display(egl::kPlatformSurfaceless, nullptr, nullptr));
    }
    displays.push_back(egl_.Find<egl::Display (*)(void*)>("eglGetDisplay")(nullptr));
    return displays;
  }

  bool Open(egl::Display display, std::string& complaints) {
    const auto initialize = egl_.Find<egl::Boolean (*)(egl::Display, egl::Int*, egl::Int*)>("eglInitialize");
    const auto choose = egl_.Find<egl::Boolean (*)(egl::Display, const egl::Int*, egl::Config*, egl::Int, egl::Int*)>(
        "eglChooseConfig");
    const auto bind = egl_.Find<egl::Boolean (*)(egl::Enum)>("eglBindAPI");
    const auto create =
        egl_.Find<egl::Context (*)(egl::Display, egl::Config, egl::Context, const egl::Int*)>("eglCreateContext");
    make_current_ = egl_.Find<decltype(make_current_)>("eglMakeCurrent");
    egl::Int major = 0;
    egl::Int minor = 0;
    if (display == nullptr || initialize(display, &major, &minor) == 0) {
      complaints += "; a display does not begin";
      return false;
    }
    egl::Config config = nullptr;
    egl::Int count = 0;
    choose(display, egl::kConfig.data(), &config, 1, &count);  // without one, contexts need none where surfaces do not
    const std::array<egl::Int, 1> attributes = {egl::kNone};
    if (bind(egl::kOpenGlApi) == 0 || (context_ = create(display, config, nullptr, attributes.data())) == nullptr ||
        make_current_(display, nullptr, nullptr, context_) == 0) {
      complaints += "; a display has no OpenGL";
      return false;
    }
    display_ = display;
    return true;
  }

  Library egl_;
  egl::Boolean (*make_current_)(egl::Display, egl::Surface, egl::Surface, egl::Context) = nullptr;
  egl::Display display_ = nullptr;
  egl::Context context_ = nullptr;
};

// The part of GL/osmesa.h that is used.
class OsMesaContext {
 public:
  OsMesaContext() : mesa_("libOSMesa.so.8") {
    constexpr unsigned kRgba = 0x1908;
    context_ =
        mesa_.Find<void* (*)(unsigned, int, int, int, void*)>("OSMesaCreateContextExt")(kRgba, 24, 8, 0, nullptr);
    if (context_ == nullptr) {
      throw std::runtime_error("OSMesaCreateContextExt gives no context");
    }
    MakeCurrent();
  }
  OsMesaContext(const OsMesaContext&) = delete;
  OsMesaContext& operator=(const OsMesaContext&) = delete;
  ~OsMesaContext() { mesa_.Find<void (*)(void*)>("OSMesaDestroyContext")(context_); }

  void MakeCurrent() {
    constexpr unsigned kUnsignedByte = 0x1401;
    const auto make_current = mesa_.Find<unsigned char (*)(void*, void*, unsigned, int, int)>("OSMesaMakeCurrent");
    if (make_current(context_, buffer_.data(), kUnsignedByte, kSize, kSize) == 0) {
      throw std::runtime_error("OSMesa does not make its context current");
    }
  }

 private:
  static constexpr int kSize = 16;  // MuJoCo draws into a framebuffer of its own
  Library mesa_;
  void* context_ = nullptr;
  std::array<unsigned char, size_t{4} * kSize * kSize> buffer_{};
};

template <class Context>
OffscreenGl Make(const std::string& library) {
  const auto context = std::make_shared<Context>();
  return {.library = library, .make_current = [context] { context->MakeCurrent(); }};
}

}  // namespace

OffscreenGl MakeOffscreenGl() {
  std::string complaints;
  try {
    return Make<EglContext>("EGL");
  } catch (const std::runtime_error& error) {
    complaints = std::string("EGL: ") + error.what();
  }
  try {
    return Make<OsMesaContext>("OSMesa");
  } catch (const std::runtime_error& error) {
    complaints += std::string("; OSMesa: ") + error.what();
  }
  throw std::runtime_error("no OpenGL to draw with (Debian: libegl1 and libgl1-mesa-dri, or libosmesa6): " +
                           complaints);
}

}  // namespace reverie
