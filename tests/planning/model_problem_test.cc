#include "reverie/planning/model_problem.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "reverie/control/ilqr.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/homoscedastic_ensemble.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 3, .act_dim = 2};
const EnvSpec kSpec{
    .id = "made up", .obs_low = {-9, -9, -9}, .obs_high = {9, 9, 9}, .action_low = {-2, -1}, .action_high = {2, 3}};
constexpr int64_t kHypotheses = 3;

double Distance(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

// A reward whose Hessian is full in all three arguments.
torch::Tensor Reward(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& next) {
  return torch::cos(obs.select(1, 0) + action.select(1, 1)) - next.square().sum(1) * (2 + action.select(1, 0)) -
         (obs * next).sum(1);
}

std::unique_ptr<DynamicsModel> FittedModel(bool homoscedastic, bool learn_reward) {
  torch::Generator generator = MakeGenerator(Rng(11), torch::kCPU);
  TransitionBatch batch = TransitionBatch::Empty(kLayout, 400, torch::kCPU);
  batch.rows.zero_();
  batch.obs().normal_(0, 1, generator);
  batch.action().uniform_(-1, 1, generator);
  batch.next_obs().copy_(batch.obs() + 0.3 * torch::sin(2 * batch.obs().roll(1, 1)) +
                         0.2 * torch::cat({batch.action(), batch.action().slice(1, 0, 1)}, 1));
  batch.reward().copy_(torch::sin(batch.obs().select(1, 1)) * batch.action().select(1, 0));
  ReplayBuffer buffer(kLayout, 400, torch::kCPU);
  buffer.Add(batch);
  const ModelSpec spec{.layout = kLayout, .learn_reward = learn_reward, .features = {}};
  std::unique_ptr<DynamicsModel> model;
  if (homoscedastic) {
    model = std::make_unique<HomoscedasticEnsemble>(HomoscedasticEnsembleConfig{.members = kHypotheses,
                                                                                .hidden = {16, 16},
                                                                                .batch_size = 32,
                                                                                .weight_decay = {0, 0, 0},
                                                                                .dropout = {0, 0, 0},
                                                                                .patience = 0.1},
                                                    spec, Rng(3), torch::kCPU);
  } else {
    model = std::make_unique<GaussianEnsemble>(GaussianEnsembleConfig{.members = 4,
                                                                      .elites = kHypotheses,
                                                                      .hidden = {16, 16},
                                                                      .learning_rate = 3e-3,
                                                                      .batch_size = 64,
                                                                      .weight_decay = {1e-5, 2e-5, 3e-5},
                                                                      .holdout = {.max_epochs = 5}},
                                               spec, Rng(3), torch::kCPU);
  }
  model->Fit(buffer, Rng(4));
  return model;
}

// The problem written down plainly: the state of each trajectory by Next in float64, the sums of the header.
struct Plain {
  const DynamicsModel& model;
  TrajectoryConfig config;

  int64_t trajectories() const { return config.kind == Propagation::kTsInf ? kHypotheses : 1; }

  // f_h of s, and its reward, all rows by one hypothesis.
  ModelStep By(int64_t hypothesis, const torch::Tensor& s, const torch::Tensor& u) const {
    const int64_t rows = s.size(0);
    const ModelStep all =
        model.Next(s.repeat({kHypotheses, 1}), u.repeat({kHypotheses, 1}), MeanDraws(model, kHypotheses * rows));
    return {.next_obs = all.next_obs.narrow(0, hypothesis * rows, rows),
            .reward = all.reward.defined() ? all.reward.narrow(0, hypothesis * rows, rows) : torch::Tensor()};
  }
  torch::Tensor Of(const torch::Tensor& x, int64_t i) const { return x.slice(1, 3 * i, 3 * i + 3); }

  torch::Tensor Dynamics(const torch::Tensor& x, const torch::Tensor& u) const {
    std::vector<torch::Tensor> parts;
    for (int64_t h = 0; h < kHypotheses; ++h) {
      parts.push_back(By(h, Of(x, trajectories() == 1 ? 0 : h), u).next_obs);
    }
    return trajectories() == 1 ? torch::stack(parts).mean(0) : torch::cat(parts, 1);
  }

  torch::Tensor Cost(const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next) const {
    const torch::Tensor action = torch::stack({2 * u.select(1, 0), 1 + 2 * u.select(1, 1)}, 1);
    torch::Tensor cost = torch::zeros_like(x.select(1, 0));
    for (int64_t h = 0; h < kHypotheses; ++h) {
      const int64_t i = trajectories() == 1 ? 0 : h;
      cost = cost - (model.learns_reward() ? By(h, Of(x, i), u).reward : Reward(Of(x, i), action, Of(next, i))) /
                        static_cast<double>(kHypotheses);
    }
    for (int64_t d = 0; d < 3 && trajectories() > 1; ++d) {
      const torch::Tensor values = torch::stack({next.select(1, d), next.select(1, 3 + d), next.select(1, 6 + d)});
      const auto std = model.target_std()[d].item<double>();
      cost = cost + config.disagreement_penalty / 3 * (values / std).var(0, /*unbiased=*/false);
    }
    return cost;
  }
};

class ModelProblemTest : public testing::Test {
 protected:
  // Both problems, and a trajectory of the model's about which they are looked at.
  void Check(bool homoscedastic, bool learn_reward, const TrajectoryConfig& config) {
    SCOPED_TRACE(testing::Message() << "homoscedastic " << homoscedastic << ", learned reward " << learn_reward
                                    << ", one trajectory " << (config.kind == Propagation::kE) << ", kappa "
                                    << config.disagreement_penalty);
    const std::unique_ptr<DynamicsModel> model = FittedModel(homoscedastic, learn_reward);
    const ModelEnv model_env(*model, {.reward = Reward, .terminated = {}, .state_cost = {}, .features = {}}, kSpec,
                             torch::kCPU);
    ShootingProblem problem = ModelProblem(model_env, kSpec, config);
    problem.horizon = 4;
    problem.start = ModelStart(problem, torch::tensor({0.5, -1.0, 0.25}));
    const Plain plain{.model = *model, .config = config};
    ShootingProblem oracle =
        ProblemOf({.dynamics = [&](const torch::Tensor& x, const torch::Tensor& u) { return plain.Dynamics(x, u); },
                   .cost = [&](const torch::Tensor& x, const torch::Tensor& u,
                               const torch::Tensor& next) { return plain.Cost(x, u, next); },
                   .terminal_cost = {}},
                  problem.start, 2);
    const int64_t n = problem.state_size;
    ASSERT_EQ(n, 3 * plain.trajectories());

    torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
    const torch::Tensor u = torch::rand({4, 2}, generator, torch::kFloat64) * 2 - 1;
    torch::Tensor x = torch::zeros({5, n}, torch::kFloat64);
    x[0] = problem.start;
    for (int64_t t = 0; t < 4; ++t) {
      torch::Tensor next = torch::empty({1, n}, torch::kFloat64);
      torch::Tensor expected = torch::empty({1, n}, torch::kFloat64);
      problem.step(t, x.slice(0, t, t + 1), u.slice(0, t, t + 1), next);
      oracle.step(t, x.slice(0, t, t + 1), u.slice(0, t, t + 1), expected);
      EXPECT_LT(Distance(next, expected), 1e-5);
      x[t + 1] = next[0];
    }
    // Two rows of each step, the second another trajectory's.
    const torch::Tensor rows = torch::stack({x, x + 0.1}, 1);
    const torch::Tensor controls = torch::stack({u, -u}, 1);
    torch::Tensor costs = torch::empty({4, 2}, torch::kFloat64);
    torch::Tensor expected_costs = torch::empty({4, 2}, torch::kFloat64);
    problem.cost(rows.slice(0, 0, 4), controls, rows.slice(0, 1), costs);
    oracle.cost(rows.slice(0, 0, 4), controls, rows.slice(0, 1), expected_costs);
    EXPECT_LT(Distance(costs, expected_costs), 1e-5);

    LinearDynamics dynamics = LinearDynamics::Of(4, n, 2);
    LinearDynamics expected_dynamics = LinearDynamics::Of(4, n, 2);
    problem.linearise(x, u, &dynamics);
    oracle.linearise(x, u, &expected_dynamics);
    EXPECT_LT(Distance(dynamics.a, expected_dynamics.a), 1e-5);
    EXPECT_LT(Distance(dynamics.b, expected_dynamics.b), 1e-5);
    EXPECT_GT(dynamics.b.abs().max().item<double>(), 1e-2);

    QuadraticCost cost = QuadraticCost::Of(4, n, 2);
    QuadraticCost expected = QuadraticCost::Of(4, n, 2);
    problem.quadratise(x, u, expected_dynamics, {}, &cost);
    oracle.quadratise(x, u, expected_dynamics, {}, &expected);
    for (const auto& [name, one, other] : {std::tuple("xx", &cost.xx, &expected.xx),
                                           {"ux", &cost.ux, &expected.ux},
                                           {"uu", &cost.uu, &expected.uu},
                                           {"x", &cost.x, &expected.x},
                                           {"u", &cost.u, &expected.u}}) {
      EXPECT_LT(Distance(*one, *other), 1e-9) << name;
      EXPECT_GT(other->abs().max().item<double>(), 1e-3) << name;
    }
  }
};

TEST_F(ModelProblemTest, IsTheProblemOfItsHeader) {
  for (const bool homoscedastic : {false, true}) {
    for (const bool learn_reward : {false, true}) {
      Check(homoscedastic, learn_reward, {.kind = Propagation::kE});
      for (const double penalty : {0.0, 0.7}) {
        Check(homoscedastic, learn_reward, {.kind = Propagation::kTsInf, .disagreement_penalty = penalty});
      }
    }
  }
}

TEST_F(ModelProblemTest, JacobiansDoNotDependOnHowManyAreTakenAtOnce) {
  const std::unique_ptr<DynamicsModel> model = FittedModel(false, false);
  const torch::Tensor obs = torch::randn({kHypotheses, 7, 3});
  const torch::Tensor action = torch::rand({kHypotheses, 7, 2}) * 2 - 1;
  const torch::Tensor whole = StepJacobian(*model, obs, action);
  EXPECT_LT(Distance(whole, StepJacobian(*model, obs, action, 20)), 1e-6);
  EXPECT_LT(Distance(whole, StepJacobian(*model, obs, action, 1)), 1e-6);
  EXPECT_FALSE(whole.requires_grad());
}

TEST_F(ModelProblemTest, ControlsThatItSolvesAreStationary) {
  const std::unique_ptr<DynamicsModel> model = FittedModel(false, false);
  // Convex in what the controls reach, so that a minimum lies inside their bounds.
  const ModelEnv model_env(
      *model,
      {.reward = [](const torch::Tensor&, const torch::Tensor& action,
                    const torch::Tensor& next) { return -next.square().sum(1) - action.square().sum(1); },
       .terminated = {},
       .state_cost = {},
       .features = {}},
      kSpec, torch::kCPU);
  const TrajectoryConfig config{.kind = Propagation::kTsInf, .disagreement_penalty = 0.1};
  ShootingProblem problem = ModelProblem(model_env, kSpec, config);
  problem.horizon = 6;
  problem.start = ModelStart(problem, torch::tensor({0.3, -0.4, 0.2}));
  const torch::Tensor zeros = torch::zeros({6, 2}, torch::kFloat64);
  const IlqrResult result = SolveIlqr(problem, zeros, {.cost_tolerance = 1e-9});
  ASSERT_TRUE(IsUsable(result.status));

  const Plain plain{.model = *model, .config = config};
  const auto total = [&](const torch::Tensor& u) {
    torch::Tensor x = problem.start.unsqueeze(0);
    torch::Tensor sum = torch::zeros({}, torch::kFloat64);
    for (int64_t t = 0; t < 6; ++t) {
      const torch::Tensor next = plain.Dynamics(x, u.slice(0, t, t + 1));
      const torch::Tensor action = torch::stack({2 * u[t][0], 1 + 2 * u[t][1]});
      for (int64_t h = 0; h < kHypotheses; ++h) {
        sum = sum + (plain.Of(next, h).square().sum() + action.square().sum()) / static_cast<double>(kHypotheses);
      }
      const torch::Tensor values = next.view({kHypotheses, 3}) / model->target_std();
      sum = sum + 0.1 / 3 * values.var(0, /*unbiased=*/false).sum();
      x = next;
    }
    return sum;
  };
  const torch::Tensor u = result.u.clone().requires_grad_();
  const torch::Tensor gradient = torch::autograd::grad({total(u)}, {u})[0];
  EXPECT_NEAR(total(u).item<double>(), result.cost, 1e-4);
  EXPECT_LT(total(u).item<double>(), 0.9 * total(zeros).item<double>());
  const torch::Tensor inside = (u.abs() < 1).to(torch::kFloat64);
  EXPECT_GT(inside.sum().item<double>(), 6);
  EXPECT_LT((gradient * inside).abs().max().item<double>(), 1e-2);
}

TEST_F(ModelProblemTest, APropagationThatDrawsIsRefused) {
  const std::unique_ptr<DynamicsModel> model = FittedModel(false, true);
  const ModelEnv model_env(*model, {}, kSpec, torch::kCPU);
  for (const Propagation kind : {Propagation::kTs1, Propagation::kDs}) {
    EXPECT_THROW(ModelProblem(model_env, kSpec, {.kind = kind}), std::invalid_argument);
  }
}

}  // namespace
}  // namespace reverie
