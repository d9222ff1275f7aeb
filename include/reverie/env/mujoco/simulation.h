// One MuJoCo simulation: a model and its data, stepped as Gymnasium's MujocoEnv or dm_control's Physics steps them.
//
// The first use installs a log handler in MuJoCo for the whole process: its warnings go to reverie/core/log.h, its
// errors become std::runtime_error, and no MUJOCO_LOG.TXT is written.
#ifndef REVERIE_ENV_MUJOCO_SIMULATION_H_
#define REVERIE_ENV_MUJOCO_SIMULATION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/rng.h"
#include "reverie/env/env.h"

struct mjModel_;  // MuJoCo's mjModel, mjData and mjSpec; who reads them includes mujoco/mujoco.h
struct mjData_;
struct mjSpec_;

namespace reverie {

// Where `xml_file` lies: a bare file name in the folder of Gymnasium's model files (the environment variable
// REVERIE_MODEL_DIR, else the folder found when Reverie was built), anything with a folder in it as it is, `~`
// expanded.
std::filesystem::path MujocoModelPath(const std::string& xml_file);

// FileDigest of a model file, and where it names others that are there (includes, meshes, textures, height fields), of
// all of them. Throws std::runtime_error where it cannot be read.
std::string MujocoModelDigest(const std::filesystem::path& path);

// The compiled model of that file, read once per process and path, shared by all simulations and never written to.
// Throws std::invalid_argument where there is no such file or MuJoCo cannot compile it.
std::shared_ptr<const mjModel_> LoadMujocoModel(const std::string& xml_file);

// The same for a variant of the model: `edit` changes its specification before it is compiled, once per process, path
// and name of the variant.
std::shared_ptr<const mjModel_> LoadMujocoModel(const std::filesystem::path& path, const std::string& variant,
                                                const std::function<void(mjSpec_&)>& edit);

// Seconds per step of a task on that model. Throws as LoadMujocoModel does.
double MujocoStepSeconds(const std::string& xml_file, int64_t frame_skip);

// How a simulation goes through MuJoCo's stages. qpos and qvel are the same either way.
enum class StepOrder {
  // As Gymnasium: mj_step alone. After Advance, everything derived (positions and velocities of bodies and sites,
  // sensors, forces) is that of the last substep's beginning. A start state has the forces of its actuators.
  kDerivedLags,
  // As dm_control with legacy_step: each Advance ends with mj_step1. What is derived from positions and velocities is
  // that of the new state; accelerations, forces, and sensors of these are those of the last substep. A start state is
  // derived without its actuators.
  kDerivedIsCurrent,
};

// What MuJoCo computes after the last substep beside the new state.
enum class AfterStep {
  kNothing,
  kContactForces,  // mjData's cfrc_ext, of the forward pass of the last substep
};

// Not thread-safe; simulations on several threads do not interfere.
//
// After Advance, qpos and qvel are those at the end of the step; StepOrder says how old everything derived is. After
// SetState, all belong to that state, but mjData's cfrc_ext is zero with kDerivedLags. After Restore, with
// kDerivedIsCurrent, sensors of accelerations and forces (touch, force, torque, accelerometer) are zero until the next
// Advance.
class MujocoSimulation {
 public:
  // Actuators without a control range of their own take `default_ctrl_range`. Throws as LoadMujocoModel does, and
  // std::invalid_argument where there is no actuator, or one without a range and no default.
  MujocoSimulation(const std::string& xml_file, int64_t frame_skip,
                   const std::optional<std::array<double, 2>>& default_ctrl_range = std::nullopt);

  // name: of the model in messages. Throws where there are no actuators, or one has no control range.
  MujocoSimulation(std::shared_ptr<const mjModel_> model, std::string name, int64_t frame_skip, StepOrder order);

  const mjModel_& model() const { return *model_; }
  const mjData_& data() const { return *data_; }
  const std::string& name() const { return name_; }       // "xml_file: FILE", or as given
  std::span<const double> qpos() const { return qpos_; }  // [nq] m or rad, joint by joint
  std::span<const double> qvel() const { return qvel_; }  // [nv]
  std::span<const double> ctrl() const { return ctrl_; }  // [nu]
  double dt() const { return dt_; }                       // seconds per Advance

  // Position in the world of a body's frame, [3]; as old as everything derived.
  std::span<const double> BodyPosition(int64_t body) const;

  // The index of the body of that name. Throws std::invalid_argument naming the model where there is none.
  int64_t BodyIndex(const std::string& name) const;

  // The index of any named object, kind an mjtObj. Throws as BodyIndex does.
  int64_t Index(int kind, const std::string& name) const;

  // Throws std::invalid_argument naming the model file where it has fewer positions or velocities than a task reads.
  void RequireSize(size_t nq, size_t nv) const;

  // The state every reset starts from: [nq], [nv].
  std::span<const double> initial_qpos() const { return initial_qpos_; }

  // A copy of the model that is this simulation's alone, made by the first call: for what a task changes from episode
  // to episode. Costs the model's memory, 12 MB where it has a sky to draw.
  mjModel_& OwnModel();

  // Names a number in OwnModel() that a task draws for each episode: part of State and Snapshot.
  void AddToState(std::string name, double& value);

  // The beginning of an episode: data as new, then this state, then one forward pass. qpos [nq], qvel [nv]; drawn: the
  // numbers named by AddToState, in order. Throws std::logic_error where there are more or fewer of these.
  void SetState(std::span<const double> qpos, std::span<const double> qvel, std::span<const double> drawn = {});

  // What SetState takes: qpos, qvel, drawn.
  std::vector<double> State() const;

  // SetState in pieces, for a task that looks at a state while it draws it: Clear, write qpos and qvel, Derive. After
  // Settle, which goes on by some substeps of the present state and sets the time back to 0, Derive again.
  void Clear();
  std::span<double> qpos_to_draw() { return qpos_; }
  std::span<double> qvel_to_draw() { return qvel_; }
  void Derive();
  void Settle(int64_t substeps);

  // frame_skip steps of MuJoCo under ctrl [nu]. Throws std::runtime_error where MuJoCo reports an error, or a position,
  // velocity, acceleration or control that is not finite or too large; SetState or Restore first, then.
  void Advance(std::span<const double> ctrl, AfterStep after = AfterStep::kNothing);

  // Names numbers inside mjData that the next reward needs although they lag behind the state: part of Snapshot.
  void Carry(std::span<const double> derived);

  // MuJoCo's integration state, what is carried and what was drawn; Restore continues bit for bit. Not supported:
  // models with sleeping enabled, whose islands' state MuJoCo does not tell.
  std::vector<double> Snapshot() const;
  void Restore(std::span<const double> snapshot);

  // An EnvSpec of this model: unbounded observations, bounds of the actions from the actuators' control ranges.
  EnvSpec MakeSpec(std::string id, int64_t obs_dim, int64_t time_limit) const;

 private:
  struct DeleteData {
    void operator()(mjData_* data) const;
  };

  MujocoSimulation(std::shared_ptr<const mjModel_> model, std::string name, int64_t frame_skip, StepOrder order,
                   const std::optional<std::array<double, 2>>& default_ctrl_range);

  void Substeps(int64_t count);

  struct Drawn {
    std::string name;
    double* value;
  };

  std::string name_;
  int64_t frame_skip_;
  StepOrder order_;
  std::shared_ptr<const mjModel_> model_;
  mjModel_* own_model_ = nullptr;  // model_, once it is this simulation's alone
  std::unique_ptr<mjData_, DeleteData> data_;
  std::vector<std::array<double, 2>> ctrl_ranges_;  // [nu]
  std::span<double> qpos_, qvel_, ctrl_;
  std::span<const double> initial_qpos_;
  double dt_ = 0;
  std::vector<std::span<double>> carried_;
  size_t carried_size_ = 0;
  std::vector<Drawn> drawn_;
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
