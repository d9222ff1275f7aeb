#include "reverie/env/toy/linear_quadratic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace reverie {
namespace {

using E = LinearQuadratic;
constexpr int64_t kSteps = 200;

std::vector<double> Optimal(const E::Solution& solution, const std::vector<double>& state) {
  std::vector<double> force(E::kForces, 0.0);
  for (size_t i = 0; i < E::kForces; ++i) {
    for (size_t j = 0; j < E::kStates; ++j) {
      force[i] -= solution.k[i][j] * state[j];
    }
  }
  return force;
}

double Roll(const std::vector<double>& start,
            const std::function<std::vector<double>(int64_t, std::vector<double>)>& u) {
  E env("x", {});
  std::vector<double> obs(E::kStates);
  env.SetState(start, obs);
  double sum = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    sum += env.Step(u(step, obs), obs).reward;
  }
  return sum;
}

// One feedback per number of steps left.
const std::vector<E::Solution>& Solutions() {
  static const std::vector<E::Solution> kSolutions = [] {
    std::vector<E::Solution> list;
    list.reserve(kSteps + 1);
    for (int64_t left = 0; left <= kSteps; ++left) {
      list.push_back(E::Solve(left));
    }
    return list;
  }();
  return kSolutions;
}

const std::vector<double> kStart{0.3, -0.2, 0.1, 0.05};

TEST(LinearQuadratic, TheOptimalFeedbackEarnsTheOptimalReturn) {
  const double sum = Roll(kStart, [](int64_t step, const std::vector<double>& x) {
    return Optimal(Solutions()[static_cast<size_t>(kSteps - step)], x);
  });
  EXPECT_NEAR(sum, E::OptimalReturn(kStart, kSteps), 1e-10);
  EXPECT_LT(sum, -0.1);
}

TEST(LinearQuadratic, EveryDeviationEarnsLess) {
  const double best = E::OptimalReturn(kStart, kSteps);
  for (const int64_t when : {0, 5, 60}) {
    for (size_t which = 0; which < E::kForces; ++which) {
      std::vector<double> loss;
      for (const double deviation : {-0.1, 0.1}) {
        loss.push_back(best - Roll(kStart, [&](int64_t step, const std::vector<double>& x) {
                         std::vector<double> u = Optimal(Solutions()[static_cast<size_t>(kSteps - step)], x);
                         u[which] += step == when ? deviation : 0.0;
                         return u;
                       }));
      }
      EXPECT_GT(loss[0], 1e-3);
      EXPECT_NEAR(loss[0], loss[1], 1e-10) << "the slope at an optimum is zero";
    }
  }
}

TEST(LinearQuadratic, TheOptimumStaysInsideTheBoundsFromEveryStart) {
  // Forces are linear in the start, so that the corners of the box of starts have the largest.
  double largest = 0;
  for (int corner = 0; corner < 16; ++corner) {
    std::vector<double> start;
    start.reserve(4);
    for (int i = 0; i < 4; ++i) {
      start.push_back(((corner >> i) & 1 ? 1 : -1) * (i < 2 ? 0.3 : 0.1));
    }
    Roll(start, [&](int64_t step, const std::vector<double>& x) {
      std::vector<double> u = Optimal(Solutions()[static_cast<size_t>(kSteps - step)], x);
      largest = std::max({largest, std::abs(u[0]), std::abs(u[1])});
      return u;
    });
  }
  EXPECT_LT(largest, 1.0);
  EXPECT_GT(largest, 0.1);
}

TEST(LinearQuadratic, StartsAreInTheirBox) {
  E env("x", {});
  RandomEngine rng(1);
  std::vector<double> obs(4);
  std::vector<double> largest(4);
  for (int i = 0; i < 2000; ++i) {
    env.Reset(rng, obs);
    for (size_t j = 0; j < 4; ++j) {
      largest[j] = std::max(largest[j], std::abs(obs[j]));
    }
  }
  for (size_t j = 0; j < 4; ++j) {
    const double bound = j < 2 ? 0.3 : 0.1;
    EXPECT_LE(largest[j], bound);
    EXPECT_GT(largest[j], 0.99 * bound);
  }
}

}  // namespace
}  // namespace reverie
