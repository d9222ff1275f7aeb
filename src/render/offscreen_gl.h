// An OpenGL context without a window, of whatever library is there at run time.
#ifndef REVERIE_SRC_RENDER_OFFSCREEN_GL_H_
#define REVERIE_SRC_RENDER_OFFSCREEN_GL_H_

#include <functional>
#include <string>

namespace reverie {

struct OffscreenGl {
  std::string library;                 // "EGL" or "OSMesa"
  std::function<void()> make_current;  // makes it the calling thread's; owns it
};

// EGL, or OSMesa where that fails. Throws std::runtime_error with what each said.
OffscreenGl MakeOffscreenGl();

}  // namespace reverie

#endif  // REVERIE_SRC_RENDER_OFFSCREEN_GL_H_
