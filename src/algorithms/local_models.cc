#include "reverie/algorithms/local_models.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "reverie/core/text.h"
#include "reverie/env/state_cost.h"
#include "reverie/policies/linear_gaussian_export.h"

namespace reverie {

LocalModels::Config::Config(const EnvRegistry& envs) : run({.explores = false}), env(envs) { env.start_draws = 1; }

void LocalModels::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields.Check([this] { return LocalModelMisfit(env.maker); });
  fields.Check([this] { return env.observe.changes_nothing(); },
               "observe as it is by default, as local models see the simulator's state");
  fields("rollouts", rollouts, "episodes from each start state that an update learns from (N)", AtLeast(2));
  fields.Check([this]() -> std::string {
    const std::unique_ptr<Env> own = env.maker.make();
    const auto starts = static_cast<int64_t>(own->start_states().size());
    return rollouts <= run.total_steps / std::max<int64_t>(1, starts * own->time_limit())
               ? ""
               : Text("an update takes that many episodes of ", own->time_limit(), " env steps from ", starts,
                      " start states, and total_steps is ", run.total_steps);
  });
  fields("local", local, "the local models");
}

LocalModels::LocalModels(const Config& config, const torch::Device&)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), torch::kCPU),
      starts_(collector_.env().start_states()),
      horizon_(collector_.env().time_limit()),
      policy_(starts_,
              [this](size_t start) -> const LinearGaussianController& { return locals_[start].controller(); }) {
  const EnvSpec& spec = collector_.spec();
  const auto n = static_cast<int64_t>(spec.state_names.size());
  const int64_t m = spec.act_dim();
  for (size_t i = 0; i < starts_.size(); ++i) {
    locals_.emplace_back(config.local, horizon_, n, m, StateCostOf(config.env.maker), rng_.Split("local").Split(i));
  }
  states_ = torch::zeros({rollouts_of_all(), horizon_ + 1, n}, torch::kFloat64);
  controls_ = torch::zeros({rollouts_of_all(), horizon_, m}, torch::kFloat64);
  collector_.Remember(policy_.NewMemory(1));
}

void LocalModels::Train(RunContext& run) {
  const auto state_of_env = [this] { return torch::tensor(collector_.env().GetState(), torch::kFloat64); };
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (!collector_.in_episode()) {
      collector_.BeginFrom(starts_[static_cast<size_t>(rollout_ / config_.rollouts)]);
      states_[rollout_][0] = state_of_env();
    }
    const int64_t t = collector_.env().elapsed_steps();
    const std::optional<EpisodeStats> episode = run.Timed("env", [&] { return collector_.Step(policy_, nullptr); });
    controls_[rollout_][t] = collector_.last().action()[0];
    states_[rollout_][t + 1] = state_of_env();
    rollout_ += episode ? 1 : 0;
    run.NoteEpisode(episode);
    if (rollout_ == rollouts_of_all()) {
      run.Timed("local_update", [&] { UpdateAll(run); });
      ++updates_;
      rollout_ = 0;
    }
    run.Tick(collector_.env_steps(), updates_, "policy", [] { return Metrics(); });
  }
}

void LocalModels::UpdateAll(RunContext& run) {
  for (size_t i = 0; i < locals_.size(); ++i) {
    const auto first = static_cast<int64_t>(i) * config_.rollouts;
    const Metrics update =
        locals_[i].Update(states_.narrow(0, first, config_.rollouts), controls_.narrow(0, first, config_.rollouts));
    run.Log(locals_.size() == 1 ? "local" : "local_" + std::to_string(i), update);
  }
}

std::vector<std::filesystem::path> LocalModels::Export(const std::filesystem::path& torchscript) {
  std::vector<LinearGaussianController> controllers;
  for (const LocalModel& local : locals_) {
    controllers.push_back(local.controller());
  }
  ExportLinearGaussian(collector_.spec(), starts_, controllers, torchscript);
  return {torchscript};
}

void LocalModels::VisitState(StateVisitor& state) {
  std::vector<double> starts;
  for (const std::vector<double>& start : starts_) {
    starts.insert(starts.end(), start.begin(), start.end());
  }
  const std::vector<double> here = starts;
  state("starts", starts);
  if (starts != here) {
    throw std::runtime_error(
        "env.start_draws: the states that episodes begin in are not those that the controllers were learned from");
  }
  state("collector", collector_);
  for (size_t i = 0; i < locals_.size(); ++i) {
    state("local_" + std::to_string(i), locals_[i]);
  }
  state("states", states_);
  state("controls", controls_);
  state("rollout", rollout_);
  state("updates", updates_);
}

}  // namespace reverie
