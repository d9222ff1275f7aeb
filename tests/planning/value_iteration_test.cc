#include "reverie/planning/value_iteration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace reverie {
namespace {

// x' = x + 0.2 u, cost x^2 + 0.1 u^2; it ends beyond 2.
class Slider final : public Env {
 public:
  Slider() {
    spec_ = {.id = "Slider",
             .obs_low = {-10},
             .obs_high = {10},
             .action_low = {-4},
             .action_high = {4},
             .dt = 1,
             .time_limit = 50,
             .state_names = {"x"}};
  }
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine&, std::span<double> obs) override { obs[0] = x_ = 1; }
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    const double cost = x_ * x_ + 0.1 * action[0] * action[0];
    obs[0] = x_ += 0.2 * action[0];
    return {.reward = -cost, .terminated = x_ > 2};
  }
  void DoSetState(std::span<const double> state, std::span<double> obs) override { obs[0] = x_ = state[0]; }
  std::vector<double> DoState() const override { return {x_}; }
  std::vector<double> DoSnapshot() const override { return {x_}; }
  void DoRestore(std::span<const double> snapshot) override { x_ = snapshot[0]; }

  EnvSpec spec_;
  double x_ = 0;
};

EnvMaker SliderMaker() {
  return {.options = [] { return Fields(); },
          .make = [] { return std::make_unique<Slider>(); },
          .task_functions = [] { return TaskFunctions(); }};
}

ValueIterationConfig SliderGrid() {
  return {.low = {-2.0}, .high = {2.0}, .points = {401}, .actions = 81, .discount = 0.9, .tolerance = 1e-6};
}

// P of the discounted scalar Riccati equation P = 1 + g P - (g b P)^2 / (0.1 + g b^2 P), b = 0.2, by its fixed point.
double Riccati() {
  double p = 1;
  for (int i = 0; i < 1000; ++i) {
    p = 1 + 0.9 * p - std::pow(0.9 * 0.2 * p, 2) / (0.1 + 0.9 * 0.04 * p);
  }
  return p;
}

TEST(ValueIteration, FindsTheValueAndTheActionsOfALinearQuadraticTask) {
  ValueIteration table(SliderGrid(), SliderMaker());
  table.Solve();
  const double p = Riccati();
  const double k = -0.9 * 0.2 * p / (0.1 + 0.9 * 0.04 * p);
  for (const double x : {-1.5, -0.33, 0.0, 0.5}) {  // from where the end costs more than the way to 0
    EXPECT_NEAR(table.Value(torch::tensor({{x}}, torch::kFloat64)).item<double>(), -p * x * x, 0.01 * p) << x;
    EXPECT_NEAR(4 * table.Action({x})[0].item<double>(), std::max(-4.0, std::min(4.0, k * x)), 0.1) << x;
  }
}

// From 1.99 the end, after which nothing is to be paid, costs less than the way back.
TEST(ValueIteration, SeesTheEndOfAnEpisode) {
  ValueIteration table(SliderGrid(), SliderMaker());
  table.Solve();
  const double action = 4 * table.Action({1.99})[0].item<double>();
  EXPECT_GT(1.99 + 0.2 * action, 2);
  EXPECT_NEAR(table.Value(torch::tensor({{1.99}}, torch::kFloat64)).item<double>(), -1.99 * 1.99, 0.05);
}

TEST(ValueIteration, GoesRoundWhereAnAngleDoes) {
  constexpr double kPi = std::numbers::pi;
  ValueIteration table(
      {.low = {-kPi, -8}, .high = {kPi, 8}, .points = {41, 41}, .periodic = {0}, .actions = 7, .discount = 0.98},
      BuiltinEnvs().Find("Pendulum-v1").maker());
  table.Solve();
  const auto value = [&](double theta, double speed) {
    return table.Value(torch::tensor({{theta, speed}}, torch::kFloat64)).item<double>();
  };
  EXPECT_NEAR(value(kPi - 1e-9, 1), value(-kPi + 1e-9, 1), 1e-5);
  EXPECT_NEAR(value(0.3 + 2 * kPi, 1), value(0.3, 1), 1e-9);
  EXPECT_NEAR(value(2.2, 12), value(2.2, 8), 1e-9);                       // beyond the grid: its border
  EXPECT_NEAR(value(1, 2), value(-1, -2), 0.02 * std::abs(value(1, 2)));  // a mirror image
}

TEST(ValueIteration, RefusesAGridOfOtherStates) {
  const EnvMaker pendulum = BuiltinEnvs().Find("Pendulum-v1").maker();
  EXPECT_EQ(SliderGrid().Misfit(pendulum),
            "low: expected 2 numbers, one for each of a state of Pendulum-v1 (theta, theta_dot), got 1");
  const ValueIterationConfig fine{.low = {-1, -1}, .high = {1, 1}, .points = {5000, 5000}};
  EXPECT_EQ(fine.Misfit(pendulum), "points: with the actions they are more than 20000000 steps of the environment");
  EXPECT_THROW(ValueIteration(fine, pendulum), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
