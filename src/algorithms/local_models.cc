#include "reverie/algorithms/local_models.h"

#include <algorithm>
#include <memory>

#include "reverie/core/text.h"
#include "reverie/env/state_cost.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/policies/linear_gaussian_export.h"

namespace reverie {

LocalModels::Config::Config(const EnvRegistry& envs) : run({.explores = false}), env(envs) { env.start_draws = 1; }

void LocalModels::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields.Check([this] { return StateCostMisfit(env.maker); });
  fields.Check([this] { return StartTrajectoriesMisfit(env.maker); });
  fields.Check([this] { return env.observe.changes_nothing(); },
               "observe as it is by default, as local models see the simulator's state");
  fields("rollouts", rollouts, "episodes from each start state that an update learns from (N)", AtLeast(2));
  fields.Check([this] { return StartRolloutsMisfit(env.maker, rollouts, run.total_steps); });
  fields("local", local, "the local models");
  fields.Check([this] { return local.dynamics == LocalDynamics::kFitted ? "" : DerivativesMisfit(env.maker); });
}

LocalModels::LocalModels(const Config& config, const torch::Device&)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), torch::kCPU),
      trajectories_(collector_.env(), config.rollouts),
      policy_(
          collector_.env().start_states(),
          [this](size_t start) -> const LinearGaussianController& { return locals_[start].controller(); },
          config.local.noise_smoothing) {
  const EnvSpec& spec = collector_.spec();
  const auto n = static_cast<int64_t>(spec.state_names.size());
  const int64_t m = spec.act_dim();
  for (size_t i = 0; i < trajectories_.starts(); ++i) {
    locals_.emplace_back(config.local, collector_.env().time_limit(), n, m, StateCostOf(config.env.maker),
                         rng_.Split("local").Split(i),
                         config.local.dynamics == LocalDynamics::kDerivatives
                             ? DynamicsFrom(config.env.maker, collector_.env().start_states()[i])
                             : nullptr);
  }
  collector_.Remember(policy_.NewMemory(1));
}

void LocalModels::Train(RunContext& run) {
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    trajectories_.BeginIfNone(collector_);
    const std::optional<EpisodeStats> episode = run.Timed("env", [&] { return collector_.Step(policy_, nullptr); });
    trajectories_.Note(collector_, episode);
    run.NoteEpisode(episode);
    if (trajectories_.full()) {
      run.Timed("local_update", [&] { UpdateAll(run); });
      ++updates_;
    }
    run.Tick(collector_.env_steps(), updates_, "policy", [] { return Metrics(); });
  }
}

void LocalModels::UpdateAll(RunContext& run) {
  for (size_t i = 0; i < locals_.size(); ++i) {
    const Metrics update = locals_[i].Update(trajectories_.states(i), trajectories_.controls(i));
    run.Log(locals_.size() == 1 ? "local" : "local_" + std::to_string(i), update);
  }
}

std::vector<std::filesystem::path> LocalModels::Export(const std::filesystem::path& torchscript) {
  std::vector<LinearGaussianController> controllers;
  for (const LocalModel& local : locals_) {
    controllers.push_back(local.controller());
  }
  ExportLinearGaussian(collector_.spec(), collector_.env().start_states(), controllers, torchscript);
  return {torchscript};
}

void LocalModels::VisitState(StateVisitor& state) {
  trajectories_.VisitState(state);
  state("collector", collector_);
  for (size_t i = 0; i < locals_.size(); ++i) {
    state("local_" + std::to_string(i), locals_[i]);
  }
  state("updates", updates_);
}

}  // namespace reverie
