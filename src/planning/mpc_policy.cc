#include "reverie/planning/mpc_policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "reverie/core/log.h"
#include "reverie/core/text.h"

namespace reverie {

MpcPolicy::MpcPolicy(const PlannerConfig& planner, int64_t act_dim, int64_t replan_every, ReturnOf return_of,
                     const torch::Device& device, Diagnosis diagnosis)
    : planner_(planner),
      shape_{.horizon = planner.horizon, .act_dim = act_dim},
      replan_every_(replan_every),
      return_of_(std::move(return_of)),
      diagnosis_(std::move(diagnosis)),
      device_(device),
      tally_(torch::zeros({3}, torch::dtype(torch::kInt64).device(device))),
      fruitless_(torch::zeros({}, torch::dtype(torch::kInt64).device(device))),
      most_fruitless_(torch::zeros_like(fruitless_)) {
  if (replan_every < 1 || replan_every > planner.horizon) {
    throw std::logic_error("MpcPolicy: replan_every " + std::to_string(replan_every) + ", expected 1 to the horizon, " +
                           std::to_string(planner.horizon));
  }
}

MpcPolicy::Plan MpcPolicy::NewPlan(const Env* env) const {
  return {.env = env,
          .planner = planner_.maker.make(shape_, device_),
          .actions = torch::zeros({shape_.horizon, shape_.act_dim}, torch::device(device_)),
          .acted = 0};
}

MpcPolicy::Plan& MpcPolicy::PlanFor(const Env* env) {
  for (const Env* wanted : {env, static_cast<const Env*>(nullptr)}) {
    const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& plan) { return plan.env == wanted; });
    if (found != plans_.end()) {
      found->env = env;
      return *found;
    }
  }
  return plans_.emplace_back(NewPlan(env));
}

torch::Tensor MpcPolicy::Act(const torch::Tensor& obs, ActMode, torch::Generator& generator) {
  const std::vector<const Env*> envs = std::exchange(watched_, {});
  if (!envs.empty() && static_cast<int64_t>(envs.size()) != obs.size(0)) {
    throw std::logic_error("MpcPolicy: " + std::to_string(obs.size(0)) + " observations of " +
                           std::to_string(envs.size()) + " environments");
  }
  const torch::NoGradGuard no_grad;
  torch::Tensor actions = torch::empty({obs.size(0), shape_.act_dim}, torch::device(device_));
  for (int64_t row = 0; row < obs.size(0); ++row) {
    if (envs.empty()) {
      Plan plan = NewPlan(nullptr);
      actions[row].copy_(Next(plan, obs[row], generator));
    } else {
      actions[row].copy_(Next(PlanFor(envs[static_cast<size_t>(row)]), obs[row], generator));
    }
  }
  return actions;
}

torch::Tensor MpcPolicy::Next(Plan& plan, const torch::Tensor& obs, torch::Generator& generator) {
  if (plan.acted % replan_every_ == 0) {
    if (plan.acted > 0) {
      plan.planner->Shift(replan_every_);
    }
    torch::Tensor none_finite = torch::ones({}, torch::dtype(torch::kBool).device(device_));
    torch::Tensor candidate;
    plan.actions = plan.planner->Optimize(
        [&](const torch::Tensor& candidates) {
          torch::Tensor scores = return_of_(obs, plan.env, candidates, generator);
          candidate = candidates.detach()[0];
          const torch::Tensor finite = torch::isfinite(scores);
          tally_[0].add_(scores.size(0));
          tally_[1].add_(scores.size(0) - finite.sum());
          none_finite.logical_and_(finite.any().logical_not());
          return scores;
        },
        generator);
    tally_[2].add_(none_finite);
    fruitless_.add_(1).mul_(none_finite);
    at::maximum_out(most_fruitless_, most_fruitless_, fruitless_);
    ++searches_;
    RefuseFruitlessSearches(obs, candidate, generator);
    plan.acted = 0;
  }
  return plan.actions[plan.acted++];
}

void MpcPolicy::RefuseFruitlessSearches(const torch::Tensor& obs, const torch::Tensor& candidate,
                                        torch::Generator& generator) {
  ++since_look_;
  if (!device_.is_cpu() && since_look_ < kMostFruitlessSearches) {
    return;
  }
  since_look_ = 0;
  if (most_fruitless_.item<int64_t>() < kMostFruitlessSearches) {
    return;
  }
  const std::string culprit = diagnosis_ ? diagnosis_(obs, candidate, generator) : "";
  throw std::runtime_error(Text("in ", kMostFruitlessSearches, " searches in a row no candidate's return was finite",
                                culprit.empty() ? "" : ": " + culprit + " is not finite"));
}

Metrics MpcPolicy::DrainMetrics() {
  const torch::Tensor tally = tally_.to(torch::kCPU, torch::kInt64, /*non_blocking=*/false, /*copy=*/true);
  tally_.zero_();
  const auto* counts = tally.data_ptr<int64_t>();
  const int64_t searches = std::exchange(searches_, 0);
  Metrics metrics;
  metrics.Set("searches", static_cast<double>(searches));
  if (searches > 0) {
    metrics.Set("share_not_finite", static_cast<double>(counts[1]) / static_cast<double>(counts[0]));
    metrics.Set("searches_without_finite", static_cast<double>(counts[2]));
  }
  if (counts[2] > 0) {
    LogWarning("in " + std::to_string(counts[2]) + " of " + std::to_string(searches) +
               " searches no candidate's return was finite; the plan that was there was acted out");
  }
  return metrics;
}

void MpcPolicy::VisitState(StateVisitor& state) {
  state("searches", searches_);
  state("tally", tally_);
  auto count = static_cast<int64_t>(plans_.size());
  state("plans", count);
  if (state.loading()) {
    plans_.clear();
    for (int64_t i = 0; i < count; ++i) {
      plans_.push_back(NewPlan(nullptr));
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    Plan& plan = plans_[static_cast<size_t>(i)];
    const std::string name = "plan_" + std::to_string(i);
    state(name + "/planner", *plan.planner);
    state(name + "/actions", plan.actions);
    state(name + "/acted", plan.acted);
  }
}

}  // namespace reverie
