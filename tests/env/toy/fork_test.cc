#include "reverie/env/toy/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

namespace reverie {
namespace {

double NormalCdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

TEST(Fork, AStepIsDrawnFromTheTwoSides) {
  constexpr int kDraws = 20'000;
  Fork env("Fork-v0", {});
  RandomEngine engine = Rng(1).Engine();
  std::vector<double> obs(1);
  env.Reset(engine, obs);
  std::vector<double> next;
  for (int i = 0; i < kDraws; ++i) {
    env.SetState(std::vector<double>{0.3}, obs);  // the noise goes on
    const StepResult step = env.Step(std::vector<double>{-0.5}, obs);
    next.push_back(obs[0]);
    EXPECT_EQ(step.reward, std::abs(obs[0]) < 0.1 ? -1 : 0);
    EXPECT_FALSE(step.terminated);
  }
  std::sort(next.begin(), next.end());
  double distance = 0;  // of Kolmogorov and Smirnov
  for (int i = 0; i < kDraws; ++i) {
    const double x = next[static_cast<size_t>(i)];
    const double cdf = 0.5 * (NormalCdf((x + 0.25) / 0.05) + NormalCdf((x - 0.75) / 0.05));
    distance = std::max({distance, std::abs(cdf - static_cast<double>(i) / kDraws),
                         std::abs(cdf - static_cast<double>(i + 1) / kDraws)});
  }
  EXPECT_LT(distance, 1.63 / std::sqrt(kDraws)) << "p < 0.01";
}

TEST(Fork, DimensionsAreThrownToOneSide) {
  Fork env("Fork-v0", {.dimensions = 2, .distance = 1});
  RandomEngine engine = Rng(2).Engine();
  std::vector<double> obs(2);
  env.Reset(engine, obs);
  int right = 0, in_pit = 0;
  for (int i = 0; i < 1000; ++i) {
    env.SetState(std::vector<double>{1, 1}, obs);
    const StepResult step = env.Step(std::vector<double>{0, 0.5}, obs);
    EXPECT_EQ(obs[0] > 1, obs[1] > 1);
    EXPECT_NE(obs[0] - 1, obs[1] - 1.05) << "the noise is each dimension's own";
    right += obs[0] > 1 ? 1 : 0;
    EXPECT_EQ(step.reward, std::abs(obs[0]) < 0.1 && std::abs(obs[1]) < 0.1 ? -1 : 0);
    in_pit += step.reward < 0 ? 1 : 0;
  }
  EXPECT_NEAR(right, 500, 60);
  // 1/2 P(|0.05 xi| < 0.1) P(|0.05 + 0.05 xi| < 0.1)
  EXPECT_NEAR(in_pit, 1000 * 0.5 * 0.9545 * 0.8400, 60);
}

TEST(Fork, OnlyACopyWithASeedOfItsOwnDoesNotForesee) {
  Fork env("Fork-v0", {}), copy("Fork-v0", {});
  RandomEngine engine = Rng(3).Engine();
  std::vector<double> obs(1), copied(1);
  env.Reset(engine, obs);
  const auto roll = [](Fork& of) {
    std::vector<double> record, at(1);
    for (int i = 0; i < 20; ++i) {
      of.Step(std::vector<double>{0}, at);
      record.push_back(at[0]);
    }
    return record;
  };
  roll(env);
  const std::vector<double> snapshot = env.Snapshot();
  const std::vector<double> future = roll(env);
  copy.Restore(snapshot);
  EXPECT_EQ(roll(copy), future);
  std::vector<std::vector<double>> imagined;
  for (const uint64_t seed : {uint64_t{1}, ~uint64_t{0}, uint64_t{1}}) {
    copy.Restore(snapshot);
    copy.Reseed(seed);
    imagined.push_back(roll(copy));
    Fork third("Fork-v0", {});
    copy.Restore(snapshot);
    copy.Reseed(seed);
    third.Restore(copy.Snapshot());
    EXPECT_EQ(roll(third), imagined.back()) << "of all 64 bits of a seed";
  }
  EXPECT_EQ(imagined[0], imagined[2]);
  EXPECT_NE(imagined[0], imagined[1]);
  EXPECT_NE(imagined[0], future);
}

// Value iteration over 20 steps on a grid, with the environment's distribution of a step or the Gaussian of the same
// moments.
class GridPlanner {
 public:
  using Density = std::function<double(double change, double action)>;

  explicit GridPlanner(const Density& density) {
    for (const double action : kActions) {
      std::vector<double>& kernel = kernels_.emplace_back();
      double sum = 0;
      for (int i = -kReach; i <= kReach; ++i) {
        kernel.push_back(density(i * kGrid, action));
        sum += kernel.back();
      }
      for (double& p : kernel) {
        p /= sum;
      }
    }
    value_.assign(kStates, 0.0);
    for (int left = 1; left <= kEpisode; ++left) {
      std::vector<double> better(kStates, -kEpisode);
      std::vector<double>& policy = policies_.emplace_back(kStates);
      for (size_t k = 0; k < kernels_.size(); ++k) {
        for (int s = 0; s < kStates; ++s) {
          double q = 0;
          for (int i = -kReach; i <= kReach; ++i) {
            const int to = std::clamp(s + i, 0, kStates - 1);
            q += kernels_[k][static_cast<size_t>(i + kReach)] * (value_[static_cast<size_t>(to)] - ShareInPit(to));
          }
          if (q > better[static_cast<size_t>(s)]) {
            better[static_cast<size_t>(s)] = q;
            policy[static_cast<size_t>(s)] = kActions[k];
          }
        }
      }
      value_.swap(better);
    }
  }

  double Action(double state, int left) const { return policies_[static_cast<size_t>(left - 1)][Index(state)]; }
  // Of an episode, on average over its start.
  double Value() const {
    const size_t begin = Index(-0.5), end = Index(0.5);
    double sum = 0;  // by trapezoids
    for (size_t i = begin; i < end; ++i) {
      sum += 0.5 * (value_[i] + value_[i + 1]);
    }
    return sum / static_cast<double>(end - begin);
  }
  static constexpr int kEpisode = 20;

 private:
  // Of a cell of the grid: those on the pit's edge lie in it by half.
  static double ShareInPit(int cell) {
    const double beyond = std::abs(cell - kStates / 2) * kGrid - 0.1;
    return std::clamp(0.5 - beyond / kGrid, 0.0, 1.0);
  }
  static size_t Index(double state) {
    return static_cast<size_t>(std::clamp(static_cast<int>(std::lround(state / kGrid)) + kStates / 2, 0, kStates - 1));
  }

  static constexpr double kGrid = 0.02;
  static constexpr int kStates = 601;  // from -6 to 6
  static constexpr int kReach = 120;
  static constexpr std::array kActions{-1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0};
  std::vector<std::vector<double>> kernels_;
  std::vector<std::vector<double>> policies_;  // by steps left
  std::vector<double> value_;
};

// The mean return of many episodes.
double Earned(const std::function<double(double state, int left)>& policy) {
  constexpr int kEpisodes = 5000;
  Fork env("Fork-v0", {});
  RandomEngine engine = Rng(4).Engine();
  std::vector<double> obs(1);
  double sum = 0;
  for (int i = 0; i < kEpisodes; ++i) {
    env.Reset(engine, obs);
    for (int left = GridPlanner::kEpisode; left > 0; --left) {
      sum += env.Step(std::vector<double>{policy(obs[0], left)}, obs).reward;
    }
  }
  return sum / kEpisodes;
}

TEST(Fork, AGaussianMisleadsThePlansThatAreOptimalUnderIt) {
  const auto normal = [](double x, double std) { return std::exp(-0.5 * x * x / (std * std)) / std; };
  const GridPlanner with_truth([&](double change, double action) {
    return normal(change - 0.1 * action - 0.5, 0.05) + normal(change - 0.1 * action + 0.5, 0.05);
  });
  const GridPlanner with_gaussian(
      [&](double change, double action) { return normal(change - 0.1 * action, std::sqrt(0.25 + 0.0025)); });
  EXPECT_NEAR(with_truth.Value(), -0.026, 0.002);
  EXPECT_NEAR(Earned([&](double s, int left) { return with_truth.Action(s, left); }), -0.026, 0.01);
  EXPECT_NEAR(Earned([&](double s, int left) { return with_gaussian.Action(s, left); }), -0.769, 0.06);
  RandomEngine engine = Rng(5).Engine();
  std::uniform_real_distribution<double> uniform(-1, 1);
  EXPECT_NEAR(Earned([&](double, int) { return uniform(engine); }), -1.077, 0.06);
}

}  // namespace
}  // namespace reverie
