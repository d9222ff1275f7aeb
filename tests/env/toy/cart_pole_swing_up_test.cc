#include "reverie/env/toy/cart_pole_swing_up.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace reverie {
namespace {

using E = CartPoleSwingUp;

// Of a uniform rod hinged on a cart, theta 0 hanging.
double Energy(const std::vector<double>& s) {
  const double kinetic = 0.5 * (E::kCartMass + E::kPoleMass) * s[2] * s[2] +
                         0.5 * E::kPoleMass * E::kPoleLength * std::cos(s[1]) * s[2] * s[3] +
                         E::kPoleMass * E::kPoleLength * E::kPoleLength * s[3] * s[3] / 6;
  return kinetic - 0.5 * E::kPoleMass * E::kGravity * E::kPoleLength * std::cos(s[1]);
}

double Momentum(const std::vector<double>& s) {
  return (E::kCartMass + E::kPoleMass) * s[2] + 0.5 * E::kPoleMass * E::kPoleLength * std::cos(s[1]) * s[3];
}

// The two balances of a system with two degrees of freedom leave its equations of motion no freedom.
TEST(CartPoleSwingUp, EnergyIsTheWorkOfTheForce) {
  E env("x", {.friction = 0});
  std::vector<double> obs(4);
  env.SetState(std::vector<double>{0.1, 0.7, -0.4, 3.0}, obs);
  for (int i = 0; i < 100; ++i) {
    const std::vector<double> before = obs;
    const double a = std::sin(0.3 * i);
    env.Step(std::vector<double>{a}, obs);
    EXPECT_NEAR(Energy(obs) - Energy(before), E::kMaxForce * a * (obs[0] - before[0]), 2e-4)
        << i;  // of about 1 J a step
  }
}

TEST(CartPoleSwingUp, MomentumIsTheImpulseOfForceAndFriction) {
  E env("x", {.friction = 0.3});
  std::vector<double> obs(4);
  env.SetState(std::vector<double>{0.1, 0.7, -0.4, 3.0}, obs);
  for (int i = 0; i < 100; ++i) {
    const std::vector<double> before = obs;
    const double a = std::sin(0.3 * i);
    env.Step(std::vector<double>{a}, obs);
    EXPECT_NEAR(Momentum(obs) - Momentum(before), E::kMaxForce * a * 0.04 - 0.3 * (obs[0] - before[0]), 2e-5) << i;
  }
}

TEST(CartPoleSwingUp, TheRewardIsOneUprightAndFallsWithTheDistanceOfTheTip) {
  E env("x", {});
  std::vector<double> obs(4);
  env.SetState(std::vector<double>{0, std::numbers::pi, 0, 0}, obs);
  EXPECT_NEAR(env.Step(std::vector<double>{0}, obs).reward, 1.0, 1e-12);
  env.SetState(std::vector<double>{0.3, std::numbers::pi, 0, 0}, obs);
  EXPECT_NEAR(env.Step(std::vector<double>{0}, obs).reward, std::exp(-0.09 / 0.36), 1e-12);
  env.SetState(std::vector<double>{0, 0, 0, 0}, obs);
  EXPECT_NEAR(env.Step(std::vector<double>{0}, obs).reward, std::exp(-1.44 / 0.36), 1e-12);
  env.SetState(std::vector<double>{0, 0, 0, 0}, obs);
  std::vector<double> moved(4);
  const double pushed = env.Step(std::vector<double>{1}, moved).reward;
  const double dx = moved[0] + 0.6 * std::sin(moved[1]);
  const double dy = -0.6 * std::cos(moved[1]) - 0.6;
  EXPECT_NEAR(pushed, std::exp(-(dx * dx + dy * dy) / 0.36) - 0.01, 1e-12);
}

TEST(CartPoleSwingUp, TheForceIsClippedAndTheCostIsNot) {
  E env("x", {});
  std::vector<double> one(4);
  std::vector<double> three(4);
  env.SetState(std::vector<double>{0, 0, 0, 0}, one);
  const double reward_one = env.Step(std::vector<double>{1}, one).reward;
  env.SetState(std::vector<double>{0, 0, 0, 0}, three);
  const double reward_three = env.Step(std::vector<double>{3}, three).reward;
  EXPECT_EQ(one, three);
  EXPECT_NEAR(reward_one - reward_three, 0.01 * (9 - 1), 1e-12);
}

TEST(CartPoleSwingUp, StartsHangingWithNormalNoise) {
  E env("x", {.reset_noise_scale = 0.2});
  RandomEngine rng(1);
  std::vector<double> obs(4);
  std::vector<double> sum(4), squares(4);
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    env.Reset(rng, obs);
    for (size_t j = 0; j < 4; ++j) {
      sum[j] += obs[j];
      squares[j] += obs[j] * obs[j];
    }
  }
  for (size_t j = 0; j < 4; ++j) {
    EXPECT_NEAR(sum[j] / kDraws, 0, 5 * 0.2 / std::sqrt(kDraws));
    EXPECT_NEAR(std::sqrt(squares[j] / kDraws), 0.2, 0.02);
  }
}

}  // namespace
}  // namespace reverie
