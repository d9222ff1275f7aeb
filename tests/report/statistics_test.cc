#include "reverie/report/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "oracle.h"

namespace reverie {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Resamples Of(const std::vector<int64_t>& runs_per_task, int64_t draws = 2000) { return {runs_per_task, draws, Rng(0)}; }

TEST(InterquartileMean, LeavesAQuarterOutAtEachEnd) {
  const std::vector<double> five{100, 3, 1, 2, -50};
  EXPECT_DOUBLE_EQ(InterquartileMean(five, Of({5})).value, 2);
  const std::vector<double> eight{0, 1, 2, 3, 4, 5, 6, 1000};
  EXPECT_DOUBLE_EQ(InterquartileMean(eight, Of({8})).value, 3.5);
  const std::vector<double> three{0, 1, 5};  // a quarter of three is less than one
  EXPECT_DOUBLE_EQ(InterquartileMean(three, Of({3})).value, 2);
}

TEST(InterquartileMean, OneRunHasNoInterval) {
  const std::vector<double> one{7};
  const Estimate estimate = InterquartileMean(one, Of({1}));
  EXPECT_EQ(estimate.value, 7);
  EXPECT_TRUE(std::isnan(estimate.low));
  EXPECT_TRUE(std::isnan(estimate.high));
}

TEST(Resamples, DrawAsManyRunsOfEachTaskAsItHas) {
  const Resamples resamples = Of({3, 5});
  ASSERT_EQ(resamples.runs(), 8);
  std::vector<int64_t> drawn(8);
  for (int64_t draw = 0; draw < resamples.draws(); ++draw) {
    const auto counts = resamples.Counts(draw);
    ASSERT_EQ(counts[0] + counts[1] + counts[2], 3);
    ASSERT_EQ(counts[3] + counts[4] + counts[5] + counts[6] + counts[7], 5);
    for (size_t run = 0; run < 8; ++run) {
      drawn[run] += counts[run];
    }
  }
  for (const int64_t count : drawn) {  // 2000 each, standard deviation at most 40
    EXPECT_NEAR(static_cast<double>(count), 2000, 200);
  }
}

TEST(Mean, ItsIntervalIsThatOfTheMeanOfResampledRuns) {
  // Of {0, 1} two are drawn: the mean is 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
  const std::vector<double> two{0, 1};
  const Estimate estimate = Mean(two, Of({2}));
  EXPECT_EQ(estimate.value, 0.5);
  EXPECT_EQ(estimate.low, 0);
  EXPECT_EQ(estimate.high, 1);
}

TEST(ShareAbove, CountsWhatIsAboveAndNotWhatIsEqual) {
  const std::vector<double> scores{1, 2, 3, 4};
  EXPECT_EQ(ShareAbove(scores, 2, Of({4})).value, 0.5);
  EXPECT_EQ(ShareAbove(scores, 4, Of({4})).value, 0);
}

TEST(ProbabilityOfImprovement, CountsPairsWithTiesByHalfAndTakesTheMeanOverTasks) {
  // Task 1: of four pairs one is won, two are ties. Task 2: all are won.
  const std::vector<ScoresOfTwo> tasks{{.x = {1, 2}, .y = {1, 2}}, {.x = {5}, .y = {1, 2, 3}}};
  EXPECT_DOUBLE_EQ(ProbabilityOfImprovement(tasks, Of({2, 1}), Of({2, 3})).value, 0.5 * (0.5 + 1));
}

TEST(Median, TakesTheMiddleAndKeepsInfinity) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(Median({1, kInf, kInf}), kInf);
  EXPECT_EQ(Median({1, 2, kInf, kInf}), kInf);
  EXPECT_TRUE(std::isnan(Median({})));
}

nlohmann::json ToJson(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

// Made-up scores of two algorithms, ten runs of three tasks; the oracle has rliable's word on the same numbers.
TEST(Statistics, AgreeWithRliable) {
  constexpr int64_t kRuns = 10;
  constexpr int64_t kTasks = 3;
  std::mt19937_64 engine(3);
  std::normal_distribution<double> normal;
  nlohmann::json report;
  std::vector<ScoresOfTwo> tasks(kTasks);
  std::map<std::string, std::vector<double>> scores;
  for (int64_t task = 0; task < kTasks; ++task) {
    for (int64_t run = 0; run < kRuns; ++run) {
      const auto place = static_cast<double>(task);
      tasks[task].x.push_back(place + std::exp(normal(engine)));
      tasks[task].y.push_back(std::round(4 * (place + 0.8 * std::exp(normal(engine)))) / 4);
    }
    tasks[task].x[0] = tasks[task].y[0];  // a tie
    for (const auto& [name, list] : {std::pair{"x", &tasks[task].x}, {"y", &tasks[task].y}}) {
      scores[name].insert(scores[name].end(), list->begin(), list->end());
      report[name]["scores"].push_back(*list);
    }
  }
  const std::vector<int64_t> shape(kTasks, kRuns);
  const Resamples x(shape, 5000, Rng(1));
  const Resamples y(shape, 5000, Rng(2));
  const std::vector<double> levels{0.5, 1, 1.5, 2, 3};
  report["levels"] = levels;
  for (const auto& [name, resamples] : {std::pair{"x", &x}, {"y", &y}}) {
    report[name]["iqm"] = ToJson(InterquartileMean(scores[name], *resamples));
    report[name]["mean"] = ToJson(Mean(scores[name], *resamples));
    for (const double level : levels) {
      report[name]["profile"].push_back(ToJson(ShareAbove(scores[name], level, *resamples)));
    }
  }
  report["improvement"] = ToJson(ProbabilityOfImprovement(tasks, x, y));
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "statistics.json") << report.dump();
  EXPECT_EQ(RunPython("report/rliable_oracle.py", folder.path(), "statistics.json"), 0);
}

}  // namespace
}  // namespace reverie
