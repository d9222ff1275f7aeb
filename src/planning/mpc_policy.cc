#include "reverie/planning/mpc_policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "reverie/core/log.h"
#include "reverie/core/text.h"

namespace reverie {

struct MpcPolicy::Plan {
  std::unique_ptr<SequenceOptimizer> planner;
  torch::Tensor actions;  // [H, A], the last search's
  int64_t acted = 0;      // how many of them
};

class MpcPolicy::Memory final : public PolicyMemory {
 public:
  Memory(const MpcPolicy& policy, int64_t rows)
      : tally(torch::zeros({3}, torch::dtype(torch::kInt64).device(policy.device_))),
        fruitless(torch::zeros({}, tally.options())),
        most_fruitless(torch::zeros_like(fruitless)),
        policy_(policy) {
    for (int64_t row = 0; row < rows; ++row) {
      plans.push_back(policy.NewPlan());
    }
  }

  void Reset(std::span<const int64_t> rows) override {
    for (const int64_t row : rows) {
      Plan& plan = plans.at(static_cast<size_t>(row));
      plan.planner->Reset();
      plan.actions.zero_();
      plan.acted = 0;
    }
  }

  Metrics DrainMetrics() override {
    const torch::Tensor drained = tally.to(torch::kCPU, torch::kInt64, /*non_blocking=*/false, /*copy=*/true);
    tally.zero_();
    const auto* counts = drained.data_ptr<int64_t>();
    const int64_t done = std::exchange(searches, 0);
    Metrics metrics;
    metrics.Set("searches", static_cast<double>(done));
    if (done > 0) {
      metrics.Set("share_not_finite", static_cast<double>(counts[1]) / static_cast<double>(counts[0]));
      metrics.Set("searches_without_finite", static_cast<double>(counts[2]));
    }
    for (const Plan& plan : plans) {
      metrics.Merge("", plan.planner->DrainMetrics());
    }
    if (counts[2] > 0) {
      LogWarning("in " + std::to_string(counts[2]) + " of " + std::to_string(done) +
                 " searches no candidate's return was finite; the plan that was there was acted out");
    }
    return metrics;
  }

  void VisitState(StateVisitor& state) override {
    state("searches", searches);
    state("tally", tally);
    if (!state.loading() || state.Has("fruitless")) {  // not in older versions
      state("fruitless", fruitless);
      state("most_fruitless", most_fruitless);
      state("since_look", since_look);
    }
    // Older versions kept plans of the environments alone in which they had planned.
    auto count = static_cast<int64_t>(plans.size());
    state("plans", count);
    for (int64_t i = 0; i < std::min(count, static_cast<int64_t>(plans.size())); ++i) {
      Plan& plan = plans[static_cast<size_t>(i)];
      const std::string name = "plan_" + std::to_string(i);
      state(name + "/planner", *plan.planner);
      state(name + "/actions", plan.actions);
      state(name + "/acted", plan.acted);
    }
  }

  std::vector<Plan> plans;
  int64_t searches = 0;
  torch::Tensor tally;           // [3] int64: candidates, those not finite, searches without one that is
  torch::Tensor fruitless;       // [] int64: the latter, in a row up to now
  torch::Tensor most_fruitless;  // [] int64: the largest that was
  int64_t since_look = 0;        // searches since the host looked at it

 private:
  const MpcPolicy& policy_;
};

MpcPolicy::MpcPolicy(const PlannerConfig& planner, int64_t act_dim, int64_t replan_every, Task task,
                     const torch::Device& device)
    : planner_(planner),
      shape_{.horizon = planner.horizon, .act_dim = act_dim},
      replan_every_(replan_every),
      task_(std::move(task)),
      device_(device) {
  if (replan_every < 1 || replan_every > planner.horizon) {
    throw std::logic_error("MpcPolicy: replan_every " + std::to_string(replan_every) + ", expected 1 to the horizon, " +
                           std::to_string(planner.horizon));
  }
}

MpcPolicy::Plan MpcPolicy::NewPlan() const {
  return {.planner = planner_.choice.maker().make(shape_, device_),
          .actions = torch::zeros({shape_.horizon, shape_.act_dim}, torch::device(device_)),
          .acted = 0};
}

std::unique_ptr<PolicyMemory> MpcPolicy::NewMemory(int64_t rows) const { return std::make_unique<Memory>(*this, rows); }

torch::Tensor MpcPolicy::Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                             torch::Generator& generator) const {
  const int64_t count = input.obs.size(0);
  if (memory == nullptr) {
    std::vector<int64_t> rows(static_cast<size_t>(count));
    std::iota(rows.begin(), rows.end(), int64_t{0});
    Memory none(*this, count);
    return Act({.obs = input.obs, .rows = rows, .envs = input.envs}, &none, mode, generator);
  }
  if (static_cast<int64_t>(input.rows.size()) != count ||
      (!input.envs.empty() && static_cast<int64_t>(input.envs.size()) != count)) {
    throw std::logic_error(Text("MpcPolicy: ", count, " observations of ", input.rows.size(), " rows and ",
                                input.envs.size(), " environments"));
  }
  auto& own = dynamic_cast<Memory&>(*memory);
  const torch::NoGradGuard no_grad;
  torch::Tensor actions = torch::empty({count, shape_.act_dim}, torch::device(device_));
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    Plan& plan = own.plans.at(static_cast<size_t>(input.rows[at]));
    actions[i].copy_(Next(own, plan, input.obs[i], input.envs.empty() ? nullptr : input.envs[at], generator));
  }
  return actions;
}

torch::Tensor MpcPolicy::Next(Memory& memory, Plan& plan, const torch::Tensor& obs, const Env* env,
                              torch::Generator& generator) const {
  if (plan.acted % replan_every_ == 0) {
    if (plan.acted > 0) {
      plan.planner->Shift(replan_every_);
    }
    torch::Tensor none_finite = torch::ones({}, torch::dtype(torch::kBool).device(device_));
    torch::Tensor candidate;
    SequenceProblem problem{.objective = [&](const torch::Tensor& candidates) {
      torch::Tensor scores = task_.return_of(obs, env, candidates, generator);
      candidate = candidates.detach()[0];
      const torch::Tensor finite = torch::isfinite(scores);
      memory.tally[0].add_(scores.size(0));
      memory.tally[1].add_(scores.size(0) - finite.sum());
      none_finite.logical_and_(finite.any().logical_not());
      return scores;
    }};
    if (task_.trajectory) {
      problem.trajectory = [&] { return task_.trajectory(obs, env); };
    }
    plan.actions = plan.planner->Optimize(problem, generator);
    memory.tally[2].add_(none_finite);
    memory.fruitless.add_(1).mul_(none_finite);
    at::maximum_out(memory.most_fruitless, memory.most_fruitless, memory.fruitless);
    ++memory.searches;
    RefuseFruitlessSearches(memory, obs, candidate, generator);
    plan.acted = 0;
  }
  return plan.actions[plan.acted++];
}

void MpcPolicy::RefuseFruitlessSearches(Memory& memory, const torch::Tensor& obs, const torch::Tensor& candidate,
                                        torch::Generator& generator) const {
  ++memory.since_look;
  if (!device_.is_cpu() && memory.since_look < kMostFruitlessSearches) {
    return;
  }
  memory.since_look = 0;
  if (memory.most_fruitless.item<int64_t>() < kMostFruitlessSearches) {
    return;
  }
  const std::string culprit = task_.diagnosis ? task_.diagnosis(obs, candidate, generator) : "";
  throw std::runtime_error(Text("in ", kMostFruitlessSearches, " searches in a row no candidate's return was finite",
                                culprit.empty() ? "" : ": " + culprit + " is not finite"));
}

}  // namespace reverie
