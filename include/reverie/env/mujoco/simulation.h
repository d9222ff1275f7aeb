// One MuJoCo simulation: a model and its data, stepped as Gymnasium's MujocoEnv steps them.
//
// The first use installs a log handler in MuJoCo for the whole process: its warnings go to reverie/core/log.h, its
// errors become std::runtime_error, and no MUJOCO_LOG.TXT is written.
#ifndef REVERIE_ENV_MUJOCO_SIMULATION_H_
#define REVERIE_ENV_MUJOCO_SIMULATION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/rng.h"
#include "reverie/env/env.h"

struct mjModel_;  // MuJoCo's mjModel and mjData; who reads them includes mujoco/mujoco.h
struct mjData_;

namespace reverie {

// Where `xml_file` lies: a bare file name in the folder of Gymnasium's model files (the environment variable
// REVERIE_MODEL_DIR, else the folder found when Reverie was built), anything with a folder in it as it is, `~`
// expanded.
std::filesystem::path MujocoModelPath(const std::string& xml_file);

// The compiled model of that file, read once per process and path, shared by all simulations and never written to.
// Throws std::invalid_argument where there is no such file or MuJoCo cannot compile it.
std::shared_ptr<const mjModel_> LoadMujocoModel(const std::string& xml_file);

// Seconds per step of a task on that model. Throws as LoadMujocoModel does.
double MujocoStepSeconds(const std::string& xml_file, int64_t frame_skip);

// What MuJoCo computes after the last substep beside the new state.
enum class AfterStep {
  kNothing,
  kContactForces,  // mjData's cfrc_ext, of the forward pass of the last substep
};

// Not thread-safe; simulations on several threads do not interfere.
//
// After Advance, qpos and qvel are those at the end of the step, while everything derived (body and site positions,
// velocities, forces) is that of the last substep's beginning. After SetState, all belong to that state, but the
// contact forces are zero. Both as in Gymnasium.
class MujocoSimulation {
 public:
  // Actuators without a control range of their own take `default_ctrl_range`. Throws as LoadMujocoModel does, and
  // std::invalid_argument where there is no actuator, or one without a range and no default.
  MujocoSimulation(const std::string& xml_file, int64_t frame_skip,
                   const std::optional<std::array<double, 2>>& default_ctrl_range = std::nullopt);

  const mjModel_& model() const { return *model_; }
  const mjData_& data() const { return *data_; }
  const std::string& xml_file() const { return xml_file_; }
  std::span<const double> qpos() const { return qpos_; }  // [nq] m or rad, joint by joint
  std::span<const double> qvel() const { return qvel_; }  // [nv]
  std::span<const double> ctrl() const { return ctrl_; }  // [nu]
  double dt() const { return dt_; }                       // seconds per Advance

  // Position in the world of a body's frame, [3]; as old as everything derived.
  std::span<const double> BodyPosition(int64_t body) const;

  // The index of the body of that name. Throws std::invalid_argument naming the model file where there is none.
  int64_t BodyIndex(const std::string& name) const;

  // Throws std::invalid_argument naming the model file where it has fewer positions or velocities than a task reads.
  void RequireSize(size_t nq, size_t nv) const;

  // The state every reset starts from: [nq], [nv].
  std::span<const double> initial_qpos() const { return initial_qpos_; }

  // The beginning of an episode: data as new, then this state, then one forward pass. qpos [nq], qvel [nv].
  void SetState(std::span<const double> qpos, std::span<const double> qvel);

  // frame_skip steps of MuJoCo under ctrl [nu]. Throws std::runtime_error where MuJoCo reports an error, or a position,
  // velocity, acceleration or control that is not finite or too large; SetState or Restore first, then.
  void Advance(std::span<const double> ctrl, AfterStep after = AfterStep::kNothing);

  // Names numbers inside mjData that the next reward needs although they lag behind the state: part of Snapshot.
  void Carry(std::span<const double> derived);

  // MuJoCo's integration state and what is carried; Restore continues bit for bit. Not supported: models with sleeping
  // enabled, whose islands' state MuJoCo does not tell.
  std::vector<double> Snapshot() const;
  void Restore(std::span<const double> snapshot);

  // An EnvSpec of this model: unbounded observations, bounds of the actions from the actuators' control ranges.
  EnvSpec MakeSpec(std::string id, int64_t obs_dim, int64_t time_limit) const;

 private:
  struct DeleteData {
    void operator()(mjData_* data) const;
  };

  std::string xml_file_;
  int64_t frame_skip_;
  std::shared_ptr<const mjModel_> model_;
  std::unique_ptr<mjData_, DeleteData> data_;
  std::vector<std::array<double, 2>> ctrl_ranges_;  // [nu]
  std::span<double> qpos_, qvel_, ctrl_;
  std::span<const double> initial_qpos_;
  double dt_ = 0;
  std::vector<std::span<double>> carried_;
  size_t carried_size_ = 0;
};

// Adds the option `default_ctrl_range`, which is read only with another model than `own_xml_file`, whose actuators all
// have ranges.
void VisitDefaultCtrlRange(Fields& fields, const std::string& xml_file, const std::string& own_xml_file,
                           std::optional<std::array<double, 2>>& range);

// Adds to each of `values` a draw from U[-scale, scale), or from scale N(0, 1).
void AddUniformNoise(double scale, RandomEngine& rng, std::span<double> values);
void AddNormalNoise(double scale, RandomEngine& rng, std::span<double> values);

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_SIMULATION_H_
