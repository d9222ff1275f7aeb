#include "reverie/render/mujoco_renderer.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <stdexcept>

#include "env/mujoco/call_mujoco.h"
#include "offscreen_gl.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr int kMostGeoms = 10'000;
constexpr int64_t kMostPixels = 8192;  // a side

// Gymnasium's models name it, dm_control's do not; -1 where there is none.
int TrackingCamera(const mjModel& model) {
  int camera = mj_name2id(&model, mjOBJ_CAMERA, "track");
  for (int i = 0; camera < 0 && i < model.ncam; ++i) {
    camera = model.cam_mode[i] == mjCAMLIGHT_TRACKCOM ? i : -1;
  }
  return camera;
}

}  // namespace

struct MujocoRenderer::State {
  struct DeleteData {
    void operator()(mjData* data) const { mj_deleteData(data); }
  };

  const mjModel& model;
  OffscreenGl gl;
  std::unique_ptr<mjData, DeleteData> data;
  mjvScene scene{};
  mjvOption option{};
  mjvCamera camera{};
  mjrContext context{};
  mjrRect viewport{};
  std::vector<uint8_t> drawn, upright;  // as OpenGL gives it, from bottom to top; as it is handed on
};

MujocoRenderer::MujocoRenderer(const mjModel_& model, const RenderOptions& options)
    : state_(new State{.model = model, .gl = {}, .data = nullptr}) {
  for (const int64_t side : {options.width, options.height}) {
    if (side < 16 || side > kMostPixels) {
      throw std::invalid_argument("a picture of " + std::to_string(options.width) + "x" +
                                  std::to_string(options.height) + " pixels: expected 16 to " +
                                  std::to_string(kMostPixels) + " each way");
    }
  }
  mjv_defaultFreeCamera(&model, &state_->camera);
  const int camera =
      options.camera.empty() ? TrackingCamera(model) : mj_name2id(&model, mjOBJ_CAMERA, options.camera.c_str());
  if (camera >= 0) {
    state_->camera.type = mjCAMERA_FIXED;
    state_->camera.fixedcamid = camera;
  } else if (!options.camera.empty()) {
    std::vector<std::string> known;
    for (int i = 0; i < model.ncam; ++i) {
      const char* name = mj_id2name(&model, mjOBJ_CAMERA, i);
      known.emplace_back(name == nullptr ? "" : name);
    }
    throw std::invalid_argument("the model has no camera " + options.camera + "; it has " +
                                (known.empty() ? "none" : Joined(known)));
  }
  state_->gl = MakeOffscreenGl();
  mjv_defaultScene(&state_->scene);
  mjv_defaultOption(&state_->option);
  mjr_defaultContext(&state_->context);
  const auto width = static_cast<int>(options.width);
  const auto height = static_cast<int>(options.height);
  CallMujoco([&] {
    state_->data.reset(mj_makeData(&model));
    mjv_makeScene(&model, &state_->scene, kMostGeoms);
    mjr_makeContext(&model, &state_->context, mjFONTSCALE_100);
    mjr_resizeOffscreen(width, height, &state_->context);
    mjr_setBuffer(mjFB_OFFSCREEN, &state_->context);
  });
  state_->viewport = {0, 0, width, height};
  state_->drawn.resize(static_cast<size_t>(3 * options.width * options.height));
  state_->upright.resize(state_->drawn.size());
}

MujocoRenderer::~MujocoRenderer() {
  if (state_->data) {
    mjr_freeContext(&state_->context);
    mjv_freeScene(&state_->scene);
  }
}

std::span<const uint8_t> MujocoRenderer::Draw(std::span<const double> qpos, const std::vector<RenderLabel>& labels) {
  State& s = *state_;
  if (qpos.size() != static_cast<size_t>(s.model.nq)) {
    throw std::logic_error("a pose of " + std::to_string(qpos.size()) + " numbers, the model has " +
                           std::to_string(s.model.nq));
  }
  s.gl.make_current();
  std::copy(qpos.begin(), qpos.end(), s.data->qpos);
  CallMujoco([&] {
    mj_forward(&s.model, s.data.get());
    mjv_updateScene(&s.model, s.data.get(), &s.option, nullptr, &s.camera, mjCAT_ALL, &s.scene);
    mjr_render(s.viewport, &s.scene, &s.context);
  });
  std::string names;
  std::string values;
  for (size_t i = 0; i < labels.size(); ++i) {
    names += (i == 0 ? "" : "\n") + labels[i].name;
    values += (i == 0 ? "" : "\n") + labels[i].value;
  }
  if (!labels.empty()) {
    mjr_overlay(mjFONT_NORMAL, mjGRID_TOPLEFT, s.viewport, names.c_str(), values.c_str(), &s.context);
  }
  mjr_readPixels(s.drawn.data(), nullptr, s.viewport, &s.context);
  const auto row = 3 * static_cast<size_t>(s.viewport.width);
  const auto height = static_cast<size_t>(s.viewport.height);
  for (size_t y = 0; y < height; ++y) {
    std::copy_n(s.drawn.data() + (height - 1 - y) * row, row, s.upright.data() + y * row);
  }
  return s.upright;
}

const std::string& MujocoRenderer::library() const { return state_->gl.library; }

}  // namespace reverie
