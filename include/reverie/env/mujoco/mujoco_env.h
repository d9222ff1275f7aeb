// Any MuJoCo task as an Env.
#ifndef REVERIE_ENV_MUJOCO_MUJOCO_ENV_H_
#define REVERIE_ENV_MUJOCO_MUJOCO_ENV_H_

#include <array>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "reverie/env/env.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/env/task_functions.h"

namespace reverie {

// Task says what differs between the tasks; it keeps no state of its own. It has
//
//   struct Options                           with xml_file, frame_skip and its own, and Visit(Fields&)
//   static constexpr int64_t kTimeLimit      steps per episode
//   Task(Options, MujocoSimulation&)         throws std::invalid_argument where the model does not fit
//   int64_t obs_dim() const
//   void Perturb(RandomEngine&, std::span<double> qpos, std::span<double> qvel) const   from the model's initial state
//   StepResult Step(MujocoSimulation&, std::span<const double> action) const            advances and judges
//   void Observe(const MujocoSimulation&, std::span<double> obs) const
//   static TaskFunctions MakeTaskFunctions(const Options&)
//
// A state (SetState) is qpos, then qvel.
template <class Task>
class MujocoEnv final : public Env {
 public:
  // The task's, and what a model of one's own may need.
  struct Options : Task::Options {
    Options() = default;
    Options(const typename Task::Options& options) : Task::Options(options) {}

    std::optional<std::array<double, 2>> default_ctrl_range;

    void Visit(Fields& fields) {
      Task::Options::Visit(fields);
      VisitDefaultCtrlRange(fields, this->xml_file, typename Task::Options().xml_file, default_ctrl_range);
    }
  };

  MujocoEnv(std::string id, const Options& options)
      : simulation_(options.xml_file, options.frame_skip, options.default_ctrl_range),
        task_(options, simulation_),
        spec_(simulation_.MakeSpec(std::move(id), task_.obs_dim(), Task::kTimeLimit)),
        start_qpos_(simulation_.qpos().size()),
        start_qvel_(simulation_.qvel().size()) {}

  static TaskFunctions MakeTaskFunctions(const Options& options) { return Task::MakeTaskFunctions(options); }

  const EnvSpec& spec() const override { return spec_; }
  const MujocoSimulation* mujoco() const override { return &simulation_; }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override {
    start_qpos_.assign(simulation_.initial_qpos().begin(), simulation_.initial_qpos().end());
    start_qvel_.assign(start_qvel_.size(), 0.0);
    task_.Perturb(rng, start_qpos_, start_qvel_);
    simulation_.SetState(start_qpos_, start_qvel_);
    task_.Observe(simulation_, obs);
  }

  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    try {
      const StepResult result = task_.Step(simulation_, action);
      task_.Observe(simulation_, obs);
      return result;
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(spec_.id + ": step " + std::to_string(elapsed_steps() + 1) + ": " + error.what());
    }
  }

  void DoSetState(std::span<const double> state, std::span<double> obs) override {
    simulation_.SetState(state.first(start_qpos_.size()), state.subspan(start_qpos_.size()));
    task_.Observe(simulation_, obs);
  }

  std::vector<double> DoState() const override { return simulation_.State(); }
  std::vector<double> DoSnapshot() const override { return simulation_.Snapshot(); }
  void DoRestore(std::span<const double> snapshot) override {
    try {
      simulation_.Restore(snapshot);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(spec_.id + ": " + error.what());
    }
  }

  MujocoSimulation simulation_;
  Task task_;
  EnvSpec spec_;
  std::vector<double> start_qpos_, start_qvel_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_MUJOCO_ENV_H_
