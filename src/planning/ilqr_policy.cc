#include "reverie/planning/ilqr_policy.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "reverie/core/text.h"

namespace reverie {

void IlqrConfig::Visit(Fields& fields) {
  fields("horizon", horizon, "steps of a plan (H)", AtLeast(1));
  fields("starts", starts, "random plans that an episode's first search begins from, beside one of zeros", AtLeast(0));
  fields("start_std", start_std, "their standard deviation, in actions of [-1, 1]", AtLeast(0));
  fields("grow_by", grow_by,
         "the first search also goes through horizons that grow by so many steps from a fifth of H on; 0: it does not",
         AtLeast(0));

  fields("first_iterations", first_iterations, "iterations of each of these searches, at most", AtLeast(1));
  fields("iterations", iterations, "iterations of later plans", AtLeast(1));
  fields("replan_every", replan_every, "steps acted out by feedback before the plan is made anew", AtLeast(1));
  fields.Check([this] { return replan_every <= horizon; }, "at most horizon");
}

struct IlqrPolicy::Plan {
  torch::Tensor x, u, k;  // [H + 1, nx], [H, m]; [H, m, n], from the last search; undefined before the first
  IlqrDamping damping;
  int64_t acted = 0;

  void Keep(const IlqrResult& result) {
    x = result.x.clone();
    u = result.u.clone();
    damping = result.damping;
    if (result.lqr.status == LqrStatus::kSolved) {
      k = result.lqr.gains.feedback.clone();
    } else {
      k = torch::zeros_like(result.lqr.gains.feedback);  // they are not whole
    }
  }

  void VisitState(StateVisitor& state) {
    bool there = u.defined();
    state("there", there);
    if (there) {
      for (const auto& [name, tensor] : {std::pair("x", &x), {"u", &u}, {"k", &k}}) {
        if (!tensor->defined()) {
          *tensor = torch::empty({0}, torch::kFloat64);
        }
        state.Resizable(name, *tensor);
      }
    } else {
      x = u = k = torch::Tensor();
    }
    state("lambda", damping.lambda);
    state("factor", damping.factor);
    state("acted", acted);
  }
};

class IlqrPolicy::Memory final : public PolicyMemory {
 public:
  Memory(int64_t rows, const IlqrConfig& config)
      : plans(static_cast<size_t>(rows)), ilqr(IlqrOptions{.max_iterations = config.iterations}) {}

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
    }
    made = gained = not_improved = 0;
    return metrics;
  }

  void VisitState(StateVisitor& state) override {
    state("made", made);
    state("gained", gained);
    state("not_improved", not_improved);
    for (size_t i = 0; i < plans.size(); ++i) {
      state("plan_" + std::to_string(i), plans[i]);
    }
  }

  // A plan made anew, which stands in `result`.
  void Count() {
    int64_t steps = 0;
    for (const IlqrIteration& iteration : result.iterations) {
      steps += iteration.alpha > 0 ? 1 : 0;
    }
    ++made;
    gained += steps;
    not_improved += steps == 0 ? 1 : 0;
  }

  std::vector<Plan> plans;
  Ilqr ilqr;
  IlqrResult result;
  int64_t made = 0;  // plans
  int64_t gained = 0;
  int64_t not_improved = 0;
};

IlqrPolicy::IlqrPolicy(const IlqrConfig& config, int64_t controls, ProblemFrom problem_from)
    : config_(config), controls_(controls), problem_from_(std::move(problem_from)) {}

std::unique_ptr<PolicyMemory> IlqrPolicy::NewMemory(int64_t rows) const {
  return std::make_unique<Memory>(rows, config_);
}

torch::Tensor IlqrPolicy::Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                              torch::Generator& generator) const {
  const int64_t count = input.obs.size(0);
  if (static_cast<int64_t>(input.envs.size()) != count) {
    throw std::invalid_argument("iLQR plans from the state of the environments that it acts in, not from observations");
  }
  if (memory == nullptr) {
    std::vector<int64_t> rows(static_cast<size_t>(count));
    std::iota(rows.begin(), rows.end(), int64_t{0});
    Memory none(count, config_);
    return Act({.obs = input.obs, .rows = rows, .envs = input.envs}, &none, mode, generator);
  }
  auto& own = dynamic_cast<Memory&>(*memory);
  torch::Tensor actions = torch::empty({count, controls_}, torch::kFloat32);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    actions[i] = Next(own, own.plans.at(static_cast<size_t>(input.rows[at])), *input.envs[at], generator);
  }
  return actions;
}

torch::Tensor IlqrPolicy::Next(Memory& memory, Plan& plan, const Env& env, torch::Generator& generator) const {
  ShootingProblem problem = problem_from_(env);
  problem.horizon = config_.horizon;
  if (!plan.u.defined()) {
    Begin(plan, problem, generator);
    ++memory.made;
  } else if (plan.acted % config_.replan_every == 0) {
    const int64_t steps = config_.replan_every;
    const torch::Tensor shifted =
        torch::cat({plan.u.slice(0, steps), plan.u.slice(0, config_.horizon - 1).expand({steps, controls_})});
    memory.ilqr.Solve(problem, shifted, plan.damping, &memory.result);
    memory.Count();
    if (IsUsable(memory.result.status)) {
      plan.Keep(memory.result);
    } else {
      plan.u = shifted;
      plan.x = torch::cat({plan.x.slice(0, steps), plan.x.slice(0, config_.horizon).expand({steps, plan.x.size(1)})});
      plan.k = torch::cat({plan.k.slice(0, steps), torch::zeros_like(plan.k.slice(0, 0, steps))});
    }
    plan.acted = 0;
  }
  const int64_t t = plan.acted++;
  torch::Tensor u = plan.u[t];
  if (t > 0) {  // a plan begins where the environment is
    torch::Tensor difference = torch::empty({1, problem.tangent_size}, torch::kFloat64);
    const torch::Tensor x = problem.start.unsqueeze(0);
    const torch::Tensor planned = plan.x.slice(0, t, t + 1).contiguous();
    if (problem.difference) {
      problem.difference(x, planned, difference);
    } else {
      difference = x - planned;
    }
    u = u + torch::mv(plan.k[t], difference[0]);
  }
  return u.clamp(-1, 1).to(torch::kFloat32);
}

void IlqrPolicy::Begin(Plan& plan, const ShootingProblem& problem, torch::Generator& generator) const {
  const IlqrOptions options{.max_iterations = config_.first_iterations};
  IlqrResult best;
  const auto keep = [&best](IlqrResult result) {
    if (IsUsable(result.status) && (!best.u.defined() || result.cost < best.cost)) {
      best = std::move(result);
    }
  };
  keep(SolveIlqr(problem, torch::zeros({config_.horizon, controls_}, torch::kFloat64), options));
  for (int64_t i = 0; i < config_.starts; ++i) {
    keep(SolveIlqr(problem, config_.start_std * torch::randn({config_.horizon, controls_}, generator, torch::kFloat64),
                   options));
  }
  if (config_.grow_by > 0) {
    keep(GrowHorizon(problem, std::max<int64_t>(config_.horizon / 5, 1), config_.grow_by, options));
  }
  if (!best.u.defined()) {
    throw std::runtime_error("iLQR finds no plan whose trajectory stays finite");
  }
  plan.Keep(best);
  plan.damping = {};
}

}  // namespace reverie
