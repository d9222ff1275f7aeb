#include "reverie/planning/expert.h"

#include <gtest/gtest.h>

namespace reverie {
namespace {

// An expert of that kind whose keys have been given values by `set`.
ExpertMaker MakerOf(const std::string& kind) {
  for (const Kind<ExpertMaker>& one : Experts()) {
    if (one.name == kind) {
      return one.maker();
    }
  }
  throw std::logic_error("no such expert");
}

template <class T>
void Set(const ExpertMaker& maker, const std::string& key, T value) {
  const Fields options = maker.options();
  for (const Field& field : options.list()) {
    if (field.name == key) {
      *std::get<T*>(field.target) = value;
      return;
    }
  }
  throw std::logic_error("no such key");
}

// LinearQuadratic-v0 costs x'x + u'u for each step, where the regulator's own sum has the same minimiser: far from its
// end a plan's first action is the regulator's, and so is what another action costs.
TEST(Experts, OfOptimalControlAndOfTheRegulatorAgreeOnALinearTask) {
  const EnvMaker task = BuiltinEnvs().Find("LinearQuadratic-v0").maker();
  const std::unique_ptr<Env> env = task.make();
  std::vector<double> obs(env->spec().obs_low.size());
  env->SetState(std::vector<double>{0.2, -0.1, 0.05, 0.1}, obs);

  // Weights of the task, from its own cost at unit states and actions.
  const auto cost = [&](const std::vector<double>& x, const std::vector<double>& u) {
    const auto row = [](const std::vector<double>& values) {
      return torch::tensor(values, torch::kFloat64).unsqueeze(0);
    };
    return task.task_functions().state_cost(row(x), row(u), row(x)).item<double>();
  };
  const size_t m = env->spec().action_low.size();
  std::vector<double> state_weights;
  for (size_t i = 0; i < 4; ++i) {
    std::vector<double> x(4, 0.0);
    x[i] = 1;
    state_weights.push_back(cost(x, std::vector<double>(m, 0.0)));
  }
  std::vector<double> action_weights;
  for (size_t i = 0; i < m; ++i) {
    std::vector<double> u(m, 0.0);
    u[i] = env->spec().action_high[i];
    action_weights.push_back(cost(std::vector<double>(4, 0.0), u));
  }
  ExpertMaker lqr = MakerOf("lqr");
  Set(lqr, "state_weights", state_weights);
  Set(lqr, "action_weights", action_weights);
  ExpertMaker ilqr = MakerOf("ilqr");
  Set(ilqr, "horizon", int64_t{300});
  EXPECT_EQ(lqr.misfit(task), "");
  const Advice regulated = lqr.make(task)(*env);
  const Advice planned = ilqr.make(task)(*env);
  EXPECT_LT((regulated.action - planned.action).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(torch::allclose(regulated.curvature, planned.curvature, 1e-4, 1e-8))
      << regulated.curvature << planned.curvature;
}

TEST(Experts, SayTheSameInTheSameState) {
  const EnvMaker task = BuiltinEnvs().Find("Pendulum-v1").maker();
  const std::unique_ptr<Env> env = task.make();
  std::vector<double> obs(env->spec().obs_low.size());
  ExpertMaker maker = MakerOf("ilqr");
  Set(maker, "horizon", int64_t{20});
  const Expert expert = maker.make(task);
  const std::vector<double> hanging{3.0, 0.5};
  env->SetState(hanging, obs);
  const torch::Tensor first = expert(*env).action;
  env->Step(std::vector<double>{2.0}, obs);
  expert(*env);
  env->SetState(hanging, obs);
  EXPECT_TRUE(torch::equal(expert(*env).action, first));
}

TEST(Experts, SayWhatTheyCannotTeach) {
  ExpertMaker lqr = MakerOf("lqr");
  const EnvMaker pendulum = BuiltinEnvs().Find("Pendulum-v1").maker();
  Set(lqr, "state_weights", std::vector<double>{1, 2, 3});
  EXPECT_EQ(lqr.misfit(pendulum), "state_weights: expected 2 numbers, or one for all, got 3");
  EXPECT_NE(MakerOf("ilqr").misfit(BuiltinEnvs().Find("Swimmer-v5").maker()), "");
  EXPECT_NE(MakerOf("value_iteration").misfit(pendulum), "");
  EXPECT_FALSE(MakerOf("value_iteration").knows_curvature);
}

}  // namespace
}  // namespace reverie
