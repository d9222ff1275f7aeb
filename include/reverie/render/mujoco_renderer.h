// Pictures of a MuJoCo model, drawn by MuJoCo's own renderer without a display.
#ifndef REVERIE_RENDER_MUJOCO_RENDERER_H_
#define REVERIE_RENDER_MUJOCO_RENDERER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct mjModel_;

namespace reverie {

struct RenderOptions {
  int64_t width = 640;  // pixels
  int64_t height = 480;
  // Of the model; empty: "track" where it has one, else its first that follows a body's mass, else one that sees
  // everything.
  std::string camera;
};

// A line of text in the upper left corner: what, and its value.
struct RenderLabel {
  std::string name, value;
};

// OpenGL is loaded when the first one is made, through EGL or, where that gives none, OSMesa; the program links
// neither. One thread; costs some milliseconds a picture on a GPU and about a tenth of a second with Mesa's software
// driver.
class MujocoRenderer {
 public:
  // Borrows the model. Throws std::runtime_error where no library gives an OpenGL context, saying what each said;
  // std::invalid_argument where the model has no such camera or the size is not one of a picture.
  MujocoRenderer(const mjModel_& model, const RenderOptions& options);
  ~MujocoRenderer();
  MujocoRenderer(const MujocoRenderer&) = delete;
  MujocoRenderer& operator=(const MujocoRenderer&) = delete;

  // The model in that pose, qpos [nq]: rows from top to bottom, [height, width, 3] uint8. Valid until the next call.
  std::span<const uint8_t> Draw(std::span<const double> qpos, const std::vector<RenderLabel>& labels);

  // "EGL" or "OSMesa".
  const std::string& library() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reverie

#endif  // REVERIE_RENDER_MUJOCO_RENDERER_H_
