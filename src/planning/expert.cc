#include "reverie/planning/expert.h"

#include <memory>
#include <stdexcept>

#include "reverie/planning/ilqr_policy.h"
#include "reverie/planning/regulator.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/planning/state_feedback_policy.h"
#include "reverie/planning/value_iteration.h"

namespace reverie {
namespace {

constexpr double kLeastCurvature = 1e-6;  // of the largest, in any direction

// Symmetric and positive definite. Where a plan's last pass found no expansion at all it is one for every action.
torch::Tensor Convex(const torch::Tensor& curvature) {
  if (!torch::isfinite(curvature).all().item<bool>()) {
    return torch::eye(curvature.size(0), torch::kFloat64);
  }
  const auto [values, vectors] = torch::linalg_eigh(0.5 * (curvature + curvature.t()));
  const double largest = values.abs().max().item<double>();
  const torch::Tensor raised = values.clamp_min(largest > 0 ? kLeastCurvature * largest : 1);
  return torch::matmul(vectors * raised, vectors.t()).contiguous();
}

struct Regulated {
  std::shared_ptr<SimulatorDynamics> dynamics;
  Regulator regulator;
};

Regulated Regulate(const RegulatorConfig& config, const EnvMaker& maker) {
  const std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine engine = Rng(0).Split("regulator").Engine();
  env->Reset(engine, obs);
  Regulated regulated{.dynamics = std::make_shared<SimulatorDynamics>(maker, 1), .regulator = {}};
  regulated.regulator = RegulatorOf(*regulated.dynamics, *env, config);
  return regulated;
}

ExpertMaker LqrExpert() {
  auto config = std::make_shared<RegulatorConfig>();
  return {.options = [config] { return Fields::Of(*config); },
          .misfit = [config](const EnvMaker& maker) -> std::string {
            try {
              Regulate(*config, maker);
            } catch (const std::exception& error) {
              return error.what();
            }
            return "";
          },
          .make = [config](const EnvMaker& maker) -> Expert {
            const Regulated regulated = Regulate(*config, maker);
            const Regulator& about = regulated.regulator;
            const auto policy =
                std::make_shared<StateFeedbackPolicy>(regulated.dynamics, about.x, about.u, about.solution.k);
            // The regulator's cost has no half.
            return [policy, q_uu = 2 * about.q_uu](const Env& env) {
              return Advice{.action = policy->Unbounded(env), .curvature = q_uu};
            };
          },
          .knows_curvature = true};
}

ExpertMaker IlqrExpert() {
  auto config = std::make_shared<IlqrConfig>();
  return {.options =
              [config] {
                Fields fields;
                config->VisitFirstPlan(fields);
                return fields;
              },
          .misfit = SimulatorProblemMisfit,
          .make = [config](const EnvMaker& maker) -> Expert {
            const auto dynamics = std::make_shared<SimulatorDynamics>(maker, 1);
            ShootingProblem problem = SimulatorProblem(dynamics, maker);
            problem.horizon = config->horizon;
            return [config = *config, dynamics, problem](const Env& env) {
              torch::Generator generator = MakeGenerator(Rng(0).Split("expert"), torch::kCPU);
              const IlqrResult plan = FirstPlan(config, FollowedFrom(problem, *dynamics, &env), generator);
              if (!IsUsable(plan.status)) {
                throw std::runtime_error(std::string("no plan of the expert's: ") + Text(plan.status));
              }
              const int64_t m = problem.controls;
              return Advice{.action = plan.u[0].clone(),
                            .curvature = Convex(plan.lqr.quu.defined() ? plan.lqr.quu[0]
                                                                       : torch::zeros({m, m}, torch::kFloat64))};
            };
          },
          .knows_curvature = true};
}

ExpertMaker ValueIterationExpert() {
  auto config = std::make_shared<ValueIterationConfig>();
  return {.options = [config] { return Fields::Of(*config); },
          .misfit = [config](const EnvMaker& maker) { return config->Misfit(maker); },
          .make = [config](const EnvMaker& maker) -> Expert {
            const auto table = std::make_shared<ValueIteration>(*config, maker);
            return [table](const Env& env) {
              if (!table->solved()) {
                table->Solve();
              }
              return Advice{.action = table->Action(env.GetState()), .curvature = {}};
            };
          }};
}

}  // namespace

const std::vector<Kind<ExpertMaker>>& Experts() {
  static const std::vector<Kind<ExpertMaker>> kTable{
      {"lqr", "the linear-quadratic regulator about a state", LqrExpert, {}},
      {"ilqr", "optimal control from each state on, found anew there", IlqrExpert, {}},
      {"value_iteration", "dynamic programming on a grid of states", ValueIterationExpert, {}},
  };
  return kTable;
}

void ExpertConfig::Visit(Fields& fields) {
  choice.VisitKind(fields, "what is imitated");
  fields.Section("options", "options of the expert", [this](Fields& options) { choice.VisitOptions(options); });
}

std::string ExpertConfig::Misfit(const EnvMaker& env) const {
  const std::string misfit = choice.maker().misfit(env);
  const Fields options = choice.maker().options();
  for (const Field& option : options.list()) {
    if (misfit.starts_with(option.name + ": ")) {
      return "options: " + misfit;
    }
  }
  return misfit;
}

}  // namespace reverie
