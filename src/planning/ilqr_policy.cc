#include "reverie/planning/ilqr_policy.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "reverie/core/log.h"
#include "reverie/core/text.h"

namespace reverie {

void IlqrConfig::Visit(Fields& fields) {
  VisitFirstPlan(fields);
  fields("iterations", iterations, "iterations of later plans", AtLeast(1));
}

void IlqrConfig::VisitFirstPlan(Fields& fields) {
  if (offers_horizon) {
    fields("horizon", horizon, "steps of a plan (H)", AtLeast(1));
  }
  fields("starts", starts, "random plans that a first search begins from, beside one of zeros", AtLeast(0));
  fields("start_std", start_std, "their standard deviation, in actions of [-1, 1]", AtLeast(0));
  fields("grow_by", grow_by,
         "a first search also begins with short plans, of a fifth of H or of twice as many steps, and lengthens them "
         "by so "
         "many steps at a time; 0: it does not",
         AtLeast(0));
  fields("first_iterations", first_iterations, "iterations of each of these searches, at most", AtLeast(1));
  fields("cost_tolerance", cost_tolerance, "a search ends with an iteration that gains less, in units of the reward",
         Above(0));
}

IlqrResult FirstPlan(const IlqrConfig& config, const ShootingProblem& problem, torch::Generator& generator) {
  const IlqrOptions options{.max_iterations = config.first_iterations, .cost_tolerance = config.cost_tolerance};
  const auto of_generator = torch::dtype(torch::kFloat64).device(generator.device());
  const std::vector<int64_t> sizes{problem.horizon, problem.controls};
  std::vector<torch::Tensor> starts{torch::zeros(sizes, torch::kFloat64)};
  for (int64_t i = 0; i < config.starts; ++i) {
    starts.push_back(config.start_std * torch::randn(sizes, generator, of_generator).to(torch::kCPU));
  }
  IlqrResult best = BestOf(problem, starts, options);
  if (config.grow_by > 0) {
    // From a short horizon on the best for the next few steps is found, from a longer one what pays off later.
    std::set<int64_t> firsts{std::max<int64_t>(problem.horizon / 5, 1)};
    firsts.insert(std::min(*firsts.begin(), 2 * config.grow_by));
    for (const int64_t first : firsts) {
      IlqrResult grown = GrowHorizon(problem, first, config.grow_by, options);
      if (grown.cost < best.cost) {
        best = std::move(grown);
      }
    }
  }
  return best;
}

struct IlqrPolicy::Plan {
  IlqrPlan policy;  // undefined before the first search
  IlqrDamping damping;
  int64_t acted = 0;

  void Keep(const IlqrResult& result) {
    policy.Keep(result);
    damping = result.damping;
  }

  void VisitState(StateVisitor& state) {
    bool is_there = policy.HasTrajectory();
    state("there", is_there);
    if (is_there) {
      policy.VisitState(state);
    } else {
      policy = {};
    }
    damping.VisitState(state);
    state("acted", acted);
  }
};

class IlqrPolicy::Memory final : public PolicyMemory {
 public:
  Memory(int64_t rows, const IlqrConfig& config)
      : plans(static_cast<size_t>(rows)),
        ilqr(IlqrOptions{.max_iterations = config.iterations, .cost_tolerance = config.cost_tolerance}) {}

  void Reset(std::span<const int64_t> rows) override {
    for (const int64_t row : rows) {
      plans.at(static_cast<size_t>(row)) = {};
    }
  }

  Metrics DrainMetrics() override {
    Metrics metrics;
    metrics.Set("plans", static_cast<double>(made));
    if (made > 0) {
      metrics.Set("iterations", static_cast<double>(gained) / static_cast<double>(made));
      metrics.Set("share_not_improved", static_cast<double>(not_improved) / static_cast<double>(made));
      metrics.Set("searches_without_plan", static_cast<double>(without_plan));
    }
    if (not_finite > 0 || without_plan > 0) {
      LogWarning(Text("in ", without_plan, " of ", made, " searches no trajectory of a first plan was finite, and the ",
                      "action was zero; in ", not_finite, " a derivative or the shifted plan was not finite, and that ",
                      "plan was acted out"));
    }
    made = gained = not_improved = without_plan = not_finite = 0;
    return metrics;
  }

  void VisitState(StateVisitor& state) override {
    for (const auto& [name, count] : {std::pair("made", &made),
                                      {"gained", &gained},
                                      {"not_improved", &not_improved},
                                      {"without_plan", &without_plan},
                                      {"not_finite", &not_finite}}) {
      state(name, *count);
    }
    if (!state.loading() || state.Has("fruitless")) {  // which version 3eb6c6d kept elsewhere
      state("fruitless", fruitless);
    }
    for (size_t i = 0; i < plans.size(); ++i) {
      state("plan_" + std::to_string(i), plans[i]);
    }
  }

  // A plan made anew, which stands in `result`.
  void Count() {
    const int64_t steps = result.Gains();
    ++made;
    gained += steps;
    not_improved += steps == 0 ? 1 : 0;
    not_finite += result.status == IlqrStatus::kDiverged || result.status == IlqrStatus::kNotFinite ? 1 : 0;
  }

  std::vector<Plan> plans;
  Ilqr ilqr;
  IlqrResult result;
  int64_t made = 0;  // plans, and searches for one
  int64_t gained = 0;
  int64_t not_improved = 0;
  int64_t without_plan = 0;
  int64_t not_finite = 0;
  int64_t fruitless = 0;  // searches that something not finite ended, in a row, through whatever episodes
};

IlqrPolicy::IlqrPolicy(const IlqrConfig& config, const Schedule& schedule, int64_t controls, ProblemFrom problem_from,
                       const torch::Device& device)
    : config_(config),
      schedule_(schedule),
      controls_(controls),
      problem_from_(std::move(problem_from)),
      device_(device) {
  if (schedule.replan_every < 1 || schedule.replan_every > config.horizon) {
    throw std::logic_error(
        Text("IlqrPolicy: replan_every ", schedule.replan_every, ", expected 1 to the horizon, ", config.horizon));
  }
}

std::unique_ptr<PolicyMemory> IlqrPolicy::NewMemory(int64_t rows) const {
  return std::make_unique<Memory>(rows, config_);
}

torch::Tensor IlqrPolicy::Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                              torch::Generator& generator) const {
  const int64_t count = input.obs.size(0);
  if (memory == nullptr) {
    std::vector<int64_t> rows(static_cast<size_t>(count));
    std::iota(rows.begin(), rows.end(), int64_t{0});
    Memory none(count, config_);
    return Act({.obs = input.obs, .rows = rows, .envs = input.envs}, &none, mode, generator);
  }
  if (static_cast<int64_t>(input.rows.size()) != count ||
      (!input.envs.empty() && static_cast<int64_t>(input.envs.size()) != count)) {
    throw std::logic_error(Text("IlqrPolicy: ", count, " observations of ", input.rows.size(), " rows and ",
                                input.envs.size(), " environments"));
  }
  auto& own = dynamic_cast<Memory&>(*memory);
  torch::Tensor actions = torch::empty({count, controls_}, torch::kFloat64);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    Plan& plan = own.plans.at(static_cast<size_t>(input.rows[at]));
    actions[i] = Next(own, plan, input.obs[i], input.envs.empty() ? nullptr : input.envs[at], generator);
  }
  actions = actions.to(device_, torch::kFloat32);
  if (mode == ActMode::kSample && schedule_.noise_std > 0) {
    actions.add_(torch::randn(actions.sizes(), generator, actions.options()), schedule_.noise_std).clamp_(-1, 1);
  }
  return actions;
}

torch::Tensor IlqrPolicy::Next(Memory& memory, Plan& plan, const torch::Tensor& obs, const Env* env,
                               torch::Generator& generator) const {
  ShootingProblem problem = problem_from_(obs, env);
  problem.horizon = config_.horizon;
  // Of a plan that was acted out whole nothing is left to go on from.
  const bool spent = plan.policy.HasTrajectory() && plan.acted == config_.horizon;
  if (!plan.policy.HasTrajectory() || spent) {
    Begin(memory, plan, problem, generator);
    if (!plan.policy.HasTrajectory()) {
      return torch::zeros({controls_}, torch::kFloat64);
    }
  } else if (plan.acted == schedule_.replan_every) {
    plan.policy.Shift(schedule_.replan_every);
    plan.acted = 0;
    memory.ilqr.Solve(problem, plan.policy, plan.damping, &memory.result);
    memory.Count();
    RefuseFruitlessSearches(memory, problem, memory.result.status);
    if (IsUsable(memory.result.status)) {
      plan.Keep(memory.result);
    }
  }
  const int64_t t = plan.acted++;
  torch::Tensor u = plan.policy.u[t];
  if (t > 0 && schedule_.feedback) {  // a plan begins where the environment is
    torch::Tensor difference = torch::empty({1, problem.tangent_size}, torch::kFloat64);
    const torch::Tensor x = problem.start.unsqueeze(0);
    const torch::Tensor planned = plan.policy.x.slice(0, t, t + 1).contiguous();
    if (problem.difference) {
      problem.difference(x, planned, difference);
    } else {
      difference = x - planned;
    }
    u = u + torch::mv(plan.policy.feedback[t], difference[0]);
  }
  return u.clamp(-1, 1);
}

void IlqrPolicy::Begin(Memory& memory, Plan& plan, const ShootingProblem& problem, torch::Generator& generator) const {
  const IlqrResult best = FirstPlan(config_, problem, generator);
  ++memory.made;
  plan = {};
  if (IsUsable(best.status)) {
    plan.Keep(best);
    plan.damping = {};
  } else {
    ++memory.without_plan;
  }
  RefuseFruitlessSearches(memory, problem, best.status);
}

void IlqrPolicy::RefuseFruitlessSearches(Memory& memory, const ShootingProblem& problem, IlqrStatus status) {
  if (status != IlqrStatus::kDiverged && status != IlqrStatus::kNotFinite) {
    memory.fruitless = 0;
    return;
  }
  if (++memory.fruitless == kMostFruitlessSearches) {
    const std::string along_zeros = WhatDiverges(problem, IlqrOptions().max_state);
    throw std::runtime_error(Text("in ", kMostFruitlessSearches, " searches in a row iLQR found no plan: ",
                                  status == IlqrStatus::kNotFinite ? "a derivative along its trajectory is not finite"
                                  : along_zeros.empty()            ? "the trajectory of the plan is not finite"
                                                                   : along_zeros));
  }
}

}  // namespace reverie
