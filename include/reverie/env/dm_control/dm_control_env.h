// Any task of dm_control's suite as an Env.
//
// The ids are dm_control/<domain>-<task>. Models are dm_control's own files; states, observations and rewards are those
// of dm_control 1.0.50 with MuJoCo 4.0.0 to rounding. Start states have its distributions, drawn by Reverie's
// generator. An episode is 1000 control steps and never ends by itself: it is truncated. Actions are the controls of
// the actuators in their ranges; as in dm_control, nothing but MuJoCo clips them. A reward of one control step is in
// [0, 1].
#ifndef REVERIE_ENV_DM_CONTROL_DM_CONTROL_ENV_H_
#define REVERIE_ENV_DM_CONTROL_DM_CONTROL_ENV_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/env/task_functions.h"

namespace reverie {
namespace dm_control {

// Control steps of an episode, in every task.
inline constexpr int64_t kEpisodeSteps = 1000;

// Where the suite's model files lie: in the folder that the environment variable REVERIE_DM_CONTROL_DIR names, else in
// the one found when Reverie was built; empty where neither is.
std::filesystem::path ModelFolder();
std::filesystem::path ModelPath(const std::string& file);

// Throws std::invalid_argument where the folder is empty or has no such file: what the task of that id needs, and how
// to get it.
void RequireModel(const std::string& id, const std::string& file, const std::filesystem::path& folder = ModelFolder());

// The suite's model as it is, or a variant of it (env/mujoco/simulation.h).
std::shared_ptr<const mjModel_> LoadModel(const std::string& file);
std::shared_ptr<const mjModel_> LoadModel(const std::string& file, const std::string& variant,
                                          const std::function<void(mjSpec_&)>& edit);

// Positions, velocities and controls of a model.
struct ModelSize {
  int64_t nq, nv, nu;
};

// Throws std::invalid_argument naming the model where it has another size: it is not the suite's own.
void RequireSize(const MujocoSimulation& simulation, const ModelSize& size);

struct Options {
  int64_t action_repeat = 1;
  void Visit(Fields& fields);
};

}  // namespace dm_control

// A step is action_repeat control steps with one action; its reward is the sum of theirs. The time limit is 1000
// control steps.
//
// Task says what differs between the suite's domains; it keeps no state of its own. It has
//
//   struct Variant                           what differs between the domain's tasks
//   static constexpr const char* kModel      the suite's file
//   static constexpr ModelSize kSize         what it has
//   static constexpr int64_t kSubsteps       simulation steps per control step
//   static std::shared_ptr<const mjModel_> Load(const Variant&)
//   Task(const Variant&, MujocoSimulation&)  throws std::invalid_argument where the model does not fit
//   int64_t obs_dim() const
//   void DrawStart(RandomEngine&, MujocoSimulation&) const     from what Clear leaves; Derive follows
//   void Observe(const MujocoSimulation&, std::span<double> obs) const
//   double Reward(const MujocoSimulation&) const               of the control step that led there
//   static TaskFunctions::Batched KnownReward(const Variant&)  empty: the observation does not determine it
//
// A state (SetState) is qpos, qvel, then what the task draws for each episode beside them, such as a target's place.
// Activations of actuators are 0 in it.
template <class Task>
class DmControlEnv final : public Env {
 public:
  using Options = dm_control::Options;
  using Variant = typename Task::Variant;

  DmControlEnv(std::string id, const Options& options, const Variant& variant)
      : simulation_(Loaded(id, variant), Task::kModel, Task::kSubsteps, StepOrder::kDerivedIsCurrent),
        task_(variant, OfSize(simulation_)),
        action_repeat_(options.action_repeat),
        spec_(simulation_.MakeSpec(std::move(id), task_.obs_dim(), dm_control::kEpisodeSteps / action_repeat_)) {
    spec_.dt *= static_cast<double>(action_repeat_);
  }

  const EnvSpec& spec() const override { return spec_; }
  const MujocoSimulation* mujoco() const override { return &simulation_; }

  // The reward of several control steps is not determined by the last of their observations. The id is for the message
  // where the model is missing, which some tasks read here.
  static TaskFunctions MakeTaskFunctions(const std::string& id, const Options& options, const Variant& variant) {
    dm_control::RequireModel(id, Task::kModel);
    return {.reward = options.action_repeat == 1 ? Task::KnownReward(variant) : TaskFunctions::Batched(),
            .terminated = NeverTerminated};
  }

 private:
  static std::shared_ptr<const mjModel_> Loaded(const std::string& id, const Variant& variant) {
    dm_control::RequireModel(id, Task::kModel);
    return Task::Load(variant);
  }

  static MujocoSimulation& OfSize(MujocoSimulation& simulation) {
    dm_control::RequireSize(simulation, Task::kSize);
    return simulation;
  }

  void DoReset(RandomEngine& rng, std::span<double> obs) override {
    SayingWhose("reset: ", [&] {
      simulation_.Clear();
      task_.DrawStart(rng, simulation_);
      simulation_.Derive();
    });
    task_.Observe(simulation_, obs);
  }

  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    try {
      StepResult result;
      for (int64_t i = 0; i < action_repeat_; ++i) {
        simulation_.Advance(action);
        result.reward += task_.Reward(simulation_);
      }
      task_.Observe(simulation_, obs);
      return result;
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(spec_.id + ": step " + std::to_string(elapsed_steps() + 1) + ": " + error.what());
    }
  }

  void DoSetState(std::span<const double> state, std::span<double> obs) override {
    const size_t nq = simulation_.qpos().size();
    const size_t nv = simulation_.qvel().size();
    SayingWhose("SetState: ",
                [&] { simulation_.SetState(state.first(nq), state.subspan(nq, nv), state.subspan(nq + nv)); });
    task_.Observe(simulation_, obs);
  }

  std::vector<double> DoState() const override { return simulation_.State(); }
  std::vector<double> DoSnapshot() const override { return simulation_.Snapshot(); }
  void DoRestore(std::span<const double> snapshot) override {
    SayingWhose("", [&] { simulation_.Restore(snapshot); });
  }

  // What fails in the simulation is said with the task's id.
  template <class Call>
  void SayingWhose(const char* when, Call call) {
    try {
      call();
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(spec_.id + ": " + when + error.what());
    }
  }

  MujocoSimulation simulation_;
  Task task_;
  int64_t action_repeat_;
  EnvSpec spec_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_DM_CONTROL_ENV_H_
