#include "reverie/rollout/start_trajectories.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "reverie/core/text.h"

namespace reverie {

std::string StartTrajectoriesMisfit(const EnvMaker& maker) {
  const std::unique_ptr<Env> env = maker.make();
  const std::string& id = env->spec().id;
  if (MayTerminate(maker.task_functions())) {
    return id + " has episodes that may end early, and all from one start are to be of one length";
  }
  if (env->time_limit() == 0) {
    return "max_episode_steps: expected a number, as " + id + " has no time limit of its own";
  }
  Env::States starts = env->start_states();
  if (starts.empty()) {
    return "start_states: expected at least one, or start_draws above 0, as trajectories begin where others did";
  }
  std::sort(starts.begin(), starts.end());
  if (std::adjacent_find(starts.begin(), starts.end()) != starts.end()) {
    return "start_states: two are equal, of those given or drawn, and each is to have trajectories of its own";
  }
  return "";
}

std::string StartRolloutsMisfit(const EnvMaker& maker, int64_t rollouts, int64_t total_steps) {
  const std::unique_ptr<Env> env = maker.make();
  const auto starts = static_cast<int64_t>(env->start_states().size());
  return rollouts <= total_steps / std::max<int64_t>(1, starts * env->time_limit())
             ? ""
             : Text("an iteration takes ", rollouts, rollouts == 1 ? " episode of " : " episodes of ",
                    env->time_limit(), " env steps from each of ", starts, " start states, ",
                    rollouts * starts * env->time_limit(), " in all, and total_steps is ", total_steps);
}

StartTrajectories::StartTrajectories(const Env& env, int64_t rollouts)
    : starts_(env.start_states()), rollouts_(rollouts) {
  const EnvSpec& spec = env.spec();
  const int64_t all = rollouts * static_cast<int64_t>(starts_.size());
  const int64_t horizon = env.time_limit();
  states_ = torch::zeros({all, horizon + 1, static_cast<int64_t>(spec.state_names.size())}, torch::kFloat64);
  controls_ = torch::zeros({all, horizon, spec.act_dim()}, torch::kFloat64);
  obs_ = torch::zeros({all, horizon, spec.obs_dim()}, torch::kFloat32);
}

size_t StartTrajectories::BeginIfNone(Collector& collector) {
  if (full()) {
    rollout_ = 0;
  }
  const auto start = static_cast<size_t>(rollout_ / rollouts_);
  if (!collector.in_episode()) {
    collector.BeginFrom(starts_[start]);
    states_[rollout_][0] = torch::tensor(collector.env().GetState(), torch::kFloat64);
  }
  return start;
}

void StartTrajectories::Note(const Collector& collector, const std::optional<EpisodeStats>& episode) {
  const int64_t t = collector.env().elapsed_steps() - 1;
  obs_[rollout_][t] = collector.last().obs()[0];
  controls_[rollout_][t] = collector.last().action()[0];
  states_[rollout_][t + 1] = torch::tensor(collector.env().GetState(), torch::kFloat64);
  rollout_ += episode ? 1 : 0;
}

void StartTrajectories::VisitState(StateVisitor& state) {
  std::vector<double> starts;
  for (const std::vector<double>& start : starts_) {
    starts.insert(starts.end(), start.begin(), start.end());
  }
  const std::vector<double> here = starts;
  state("starts", starts);
  if (starts != here) {
    throw std::runtime_error(
        "env.start_draws: the states that episodes begin in are not those that the run began with");
  }
  state("states", states_);
  state("controls", controls_);
  if (!state.loading() || state.Has("obs")) {  // versions before had none
    state("obs", obs_);
  }
  state("rollout", rollout_);
}

}  // namespace reverie
