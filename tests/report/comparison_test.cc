#include "reverie/report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "oracle.h"

namespace reverie {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

RunData MakeRun(const std::string& task, const std::string& variant, int64_t seed, Series returns) {
  RunData run;
  run.path = task + "/" + variant + "/seed-" + std::to_string(seed);
  run.record.facts = {.algorithm = "mbpo", .variant = variant, .env = task, .seed = seed};
  run.record.status = RunStatus::kFinished;
  run.record.libraries = {{"LibTorch", "2.11.0"}};
  run.config = {
      {"seed", std::to_string(seed)}, {"env.id", task}, {"env.options.frame_skip", "5"}, {"sac.discount", "0.99"}};
  for (const double step : returns.x) {
    run.wall_s.push_back(3.6 * step);  // a thousand steps an hour
  }
  run.returns = std::move(returns);
  return run;
}

// Returns 0, 1, 2, ... times `slope` at steps 0, 100, ..., 1000.
Series Rising(double slope) {
  Series series;
  for (int64_t i = 0; i <= 10; ++i) {
    series.x.push_back(100.0 * static_cast<double>(i));
    series.y.push_back(slope * static_cast<double>(i));
  }
  return series;
}

TEST(Series, IsAStraightLineBetweenItsPoints) {
  const Series series{.x = {0, 10, 30}, .y = {1, 3, -1}};
  EXPECT_DOUBLE_EQ(ValueAt(series, 5), 2);
  EXPECT_DOUBLE_EQ(ValueAt(series, 10), 3);
  EXPECT_DOUBLE_EQ(ValueAt(series, 25), 0);
  EXPECT_DOUBLE_EQ(ValueAt(series, -1), 1);
  EXPECT_DOUBLE_EQ(ValueAt(series, 31), -1);
  EXPECT_DOUBLE_EQ(MeanHeight(series, 0, 30), (20 + 20) / 30.0);
  EXPECT_DOUBLE_EQ(MeanHeight(series, 5, 20), (12.5 + 20) / 15.0);
  EXPECT_THROW(MeanHeight(series, 0, 31), std::logic_error);
}

TEST(Compare, AScoreIsTheMeanOfTheLastEvaluationsAndNotTheBest) {
  Series best_in_the_middle{.x = {0, 500, 800, 900, 1000}, .y = {0, 5000, 10, 20, 30}};
  const Comparison comparison = Compare({MakeRun("T", "a", 0, best_in_the_middle)}, {.window = 0.2});
  const GroupReport& group = comparison.tasks.at(0).groups.at(0);
  EXPECT_EQ(comparison.tasks[0].window_begin, 800);
  EXPECT_THAT(group.scores, ElementsAre(25));
  EXPECT_EQ(group.iqm.value, 25);
}

TEST(Compare, ScoresAreTakenAtTheLastStepThatAllRunsOfTheTaskReached) {
  Series shorter = Rising(2);
  shorter.x.resize(6);
  shorter.y.resize(6);  // up to step 500
  const Comparison comparison =
      Compare({MakeRun("T", "a", 0, Rising(1)), MakeRun("T", "b", 0, shorter), MakeRun("U", "a", 0, Rising(3))}, {});
  EXPECT_EQ(comparison.tasks.at(0).horizon, 500);
  EXPECT_THAT(comparison.tasks[0].groups.at(0).scores, ElementsAre(5));
  EXPECT_THAT(comparison.tasks[0].groups.at(1).scores, ElementsAre(10));
  EXPECT_EQ(comparison.tasks.at(1).horizon, 1000);
  EXPECT_THAT(comparison.warnings, Contains(AllOf(HasSubstr("T: runs differ in length"), HasSubstr("step 500"))));
}

TEST(Compare, GivesAreaReturnsAtStepsAndWhenAReturnIsReached) {
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 3; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(static_cast<double>(seed + 1))));  // ends at 10, 20, 30
  }
  const Comparison comparison = Compare(runs, {.at_steps = {250, 2000}, .reach = {{"", 18}}});
  const GroupReport& group = comparison.tasks.at(0).groups.at(0);
  EXPECT_DOUBLE_EQ(group.area.value, 10);            // the mean of 5, 10, 15
  EXPECT_DOUBLE_EQ(group.at_steps.at(0).value, 5);   // of 2.5, 5, 7.5
  EXPECT_TRUE(std::isnan(group.at_steps[1].value));  // none came so far
  EXPECT_EQ(group.reached.value().runs, 2);          // after 900 and 600 steps
  EXPECT_EQ(group.reached->median_steps, 900);       // of never, 900, 600
  EXPECT_DOUBLE_EQ(group.reached->median_hours, 0.9);
  EXPECT_EQ(group.by_steps.x, runs[0].returns.x);
  EXPECT_DOUBLE_EQ(group.by_steps.y.at(4).value, 8);
  EXPECT_LT(group.by_steps.y[4].low, 8);
  EXPECT_GT(group.by_steps.y[4].high, 8);
}

TEST(Compare, AVariantIsAGroupAndWithoutOneTheAlgorithm) {
  const Comparison comparison = Compare({MakeRun("T", "b", 0, Rising(1)), MakeRun("T", "", 0, Rising(1))}, {});
  EXPECT_EQ(comparison.tasks.at(0).groups.at(0).name, "b");
  EXPECT_EQ(comparison.tasks[0].groups.at(1).name, "mbpo");
}

TEST(Compare, OverAllTasksRunsAreNormalisedByTheReferenceReturns) {
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 4; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(static_cast<double>(seed))));      // 0, 10, 20, 30
    runs.push_back(MakeRun("U", "a", seed, Rising(static_cast<double>(seed) - 5)));  // -50, -40, -30, -20
    runs.push_back(MakeRun("T", "b", seed, Rising(-1)));
    runs.push_back(MakeRun("U", "b", seed, Rising(-4.5)));
  }
  const Comparison comparison = Compare(runs, {.reference_returns = {{"T", {0, 20}}, {"U", {-50, -30}}}});
  const OverallReport& overall = comparison.overall.value();
  // 0, 0.5, 1, 1.5 twice: of eight scores the middle four.
  EXPECT_DOUBLE_EQ(overall.groups.at(0).iqm.value().value, 0.75);
  // On T all win, on U three of four.
  EXPECT_EQ(overall.improvements.at(0).x, 0);
  EXPECT_DOUBLE_EQ(overall.improvements[0].probability.value, 0.5 * (1 + 0.75));
  EXPECT_DOUBLE_EQ(overall.improvements.at(1).probability.value, 0.5 * 0.25);

  const Comparison raw = Compare(runs, {});
  EXPECT_FALSE(raw.overall.value().groups.at(0).iqm);
  EXPECT_DOUBLE_EQ(raw.overall->improvements.at(0).probability.value, 0.875);
}

TEST(Compare, OnlyKeysThatDifferBetweenGroupsAreListed) {
  RunData with_penalty = MakeRun("T", "b", 0, Rising(1));
  with_penalty.config["uncertainty.use"] = "penalty";
  with_penalty.config["variant"] = "b";
  RunData without = MakeRun("T", "a", 1, Rising(1));
  without.config["uncertainty.use"] = "none";
  const Comparison comparison = Compare({without, with_penalty}, {});
  ASSERT_EQ(comparison.tasks.at(0).differences.size(), 1);
  EXPECT_EQ(comparison.tasks[0].differences[0].key, "uncertainty.use");
  EXPECT_THAT(comparison.tasks[0].differences[0].values, ElementsAre("none", "penalty"));
}

TEST(Compare, AKeyThatSomeRunsDoNotListIsNoOtherConfig) {
  // The first run is an older version's, which listed what is not read and knew no env.max_episode_steps.
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 5; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(1)));
    runs.back().config.insert({{"uncertainty.use", "none"}, {"env.max_episode_steps", "auto"}});
  }
  runs[0].config["uncertainty.coefficient"] = "1";
  runs[0].config.erase("env.max_episode_steps");
  EXPECT_THAT(Compare(runs, {}).warnings, ElementsAre());
  runs[1].config["env.max_episode_steps"] = "50";
  EXPECT_THAT(Compare(runs, {}).warnings,
              ElementsAre("T: runs are not of the same task: env.max_episode_steps is 50 (1 run), auto (4 runs)."));
  runs[1].config["env.max_episode_steps"] = "auto";
  runs[0].config["uncertainty.use"] = "penalty";
  EXPECT_THAT(Compare(runs, {}).warnings,
              ElementsAre("T, a: its runs are not of one config: uncertainty.use is none (4 runs), penalty (1 run)."));
}

TEST(Compare, FilesAreKnownByTheirContentAndOlderOnesByTheirNames) {
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 5; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(1)));
  }
  const auto set = [&runs](size_t run, const std::string& value, const std::string& digest) {
    runs[run].config["env.options.xml_file"] = value;
    if (!digest.empty()) {
      runs[run].record.facts.files["env.options.xml_file"] = digest;
    }
  };
  set(0, "pole.xml (1a)", "1a");
  set(1, "renamed.xml (1a)", "1a");
  set(2, "/older/pole.xml", "");
  set(3, "pole.xml (1a)", "1a");
  set(4, "pole.xml (1a)", "1a");
  EXPECT_THAT(Compare(runs, {}).warnings, ElementsAre());
  set(2, "pole.xml", "");  // the task's own
  EXPECT_THAT(Compare(runs, {}).warnings,
              ElementsAre("T: runs are not of the same task: env.options.xml_file is pole.xml (1 run), "
                          "pole.xml (1a) (4 runs)."));
  set(2, "/older/cart.xml", "");
  set(3, "pole.xml (2b)", "2b");
  EXPECT_THAT(Compare(runs, {}).warnings,
              ElementsAre("T: runs are not of the same task: env.options.xml_file is /older/cart.xml (1 run), "
                          "pole.xml (1a) (3 runs), pole.xml (2b) (1 run)."));
}

TEST(Compare, HowARunWasComputedIsNoOtherConfig) {
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 5; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(1)));
    runs.back().config.insert({{"threads", std::to_string(1 + seed % 2)}, {"device", seed == 0 ? "cuda" : "cpu"}});
  }
  EXPECT_THAT(Compare(runs, {}).warnings, ElementsAre());
}

TEST(Compare, SaysWhatAReaderShouldKnow) {
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 5; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(1)));
  }
  EXPECT_THAT(Compare(runs, {}).warnings, ElementsAre());

  runs[1].record.status = RunStatus::kRunning;
  runs[2].record.libraries[0].second = "2.10.0";
  runs[3].config["env.options.frame_skip"] = "7";
  runs[4].config["sac.discount"] = "0.9";
  runs[4].remarks = {"A remark."};
  RunData begun = MakeRun("T", "a", 9, {});
  runs.push_back(begun);
  runs.push_back(MakeRun("T", "b", 0, Rising(1)));
  const std::vector<std::string> warnings = Compare(runs, {}).warnings;
  EXPECT_THAT(warnings, Contains("T/a/seed-9 has no evaluation yet and is left out."));
  EXPECT_THAT(warnings, Contains("T, b: 1 seed says nothing about spread."));
  EXPECT_THAT(warnings, Contains("Not finished: T/a/seed-1."));
  EXPECT_THAT(warnings, Contains("Runs used different versions of LibTorch: 2.10.0 (1 run), 2.11.0 (5 runs)."));
  EXPECT_THAT(warnings, Contains("T: runs are not of the same task: env.options.frame_skip is 5 (5 runs), 7 (1 run)."));
  EXPECT_THAT(warnings, Contains("T, a: its runs are not of one config: sac.discount is 0.9 (1 run), 0.99 (4 runs)."));
  EXPECT_THAT(warnings, Contains("A remark."));
  EXPECT_EQ(Compare(runs, {.finished_only = true}).tasks.at(0).groups.at(0).scores.size(), 4);
}

TEST(Compare, ASeedThatIsThereTwiceDividesItsGroupByFolders) {
  std::vector<RunData> runs;
  for (const std::string folder : {"apart/", "sweep/"}) {
    for (int64_t seed = 0; seed < 3; ++seed) {
      runs.push_back(MakeRun("T", "a", seed, Rising(folder == "apart/" ? 1 : 2)));
      runs.back().path = folder + "seed-" + std::to_string(seed) + (seed == 2 ? "/" : "");
    }
  }
  runs.push_back(MakeRun("T", "b", 0, Rising(3)));
  runs.push_back(MakeRun("U", "a", 0, Rising(4)));
  const Comparison comparison = Compare(runs, {});
  ASSERT_EQ(comparison.tasks.at(0).groups.size(), 3);
  for (const size_t i : {0, 1}) {
    const GroupReport& group = comparison.tasks[0].groups[i];
    EXPECT_EQ(group.name, i == 0 ? "a in apart" : "a in sweep");
    EXPECT_THAT(group.scores, ElementsAre(i == 0 ? 10 : 20, i == 0 ? 10 : 20, i == 0 ? 10 : 20));
    EXPECT_EQ(comparison.runs[group.runs.at(2)].group(), group.name);
  }
  EXPECT_EQ(comparison.tasks[0].groups[2].name, "b");
  EXPECT_EQ(comparison.tasks.at(1).groups.at(0).name, "a in .");
  EXPECT_THAT(comparison.warnings,
              Contains(HasSubstr("compared as groups by their folders: ., apart, sweep.")).Times(1));
}

TEST(Compare, SweepsOfSeveralTasksAreDividedAlikeOnAll) {
  std::vector<RunData> runs;
  for (const std::string sweep : {"old/", "new/"}) {
    for (const std::string task : {"T", "U"}) {
      for (int64_t seed = 0; seed < 3; ++seed) {
        runs.push_back(MakeRun(task, "a", seed, Rising(sweep == "old/" ? 1 : 2)));
        runs.back().path = sweep + task + "/a/seed-" + std::to_string(seed);
      }
    }
  }
  const Comparison comparison = Compare(runs, {.reference_returns = {{"T", {0, 20}}, {"U", {0, 20}}}});
  const OverallReport& overall = comparison.overall.value();
  ASSERT_EQ(overall.groups.size(), 2);
  EXPECT_EQ(overall.groups[0].name, "a in old");
  EXPECT_DOUBLE_EQ(overall.groups[0].iqm.value().value, 0.5);
  EXPECT_EQ(overall.groups[1].name, "a in new");
  EXPECT_DOUBLE_EQ(overall.groups[1].iqm.value().value, 1);
}

TEST(Compare, SweepsAreDividedAlikeWhateverTheirTasksAndVariantsAreNamed) {
  const TemporaryFolder folder;
  std::vector<RunData> runs;
  for (const std::string sweep : {"old", "new"}) {
    for (const std::string task : {"T", "U"}) {
      const std::filesystem::path out = folder.path() / sweep;
      const std::string file = "task-" + task;  // a config's
      std::filesystem::create_directories(out / "configs" / file);
      std::ofstream(out / "configs" / file / "before.yaml") << "\n";
      for (int64_t seed = 0; seed < 3; ++seed) {
        runs.push_back(MakeRun(task, "renamed", seed, Rising(sweep == "old" ? 1 : 2)));
        runs.back().path = out / file / "before" / ("seed-" + std::to_string(seed));
      }
    }
  }
  const Comparison comparison = Compare(runs, {.reference_returns = {{"T", {0, 20}}, {"U", {0, 20}}}});
  const OverallReport& overall = comparison.overall.value();
  ASSERT_EQ(overall.groups.size(), 2);
  EXPECT_EQ(overall.groups[0].name, "renamed in " + (folder.path() / "old").string());
  EXPECT_EQ(overall.groups[1].name, "renamed in " + (folder.path() / "new").string());
}

TEST(Compare, RefusesASeedTwiceAndNothingAtAll) {
  EXPECT_THAT(
      [] {
        Compare({MakeRun("T", "a", 3, Rising(1)), MakeRun("T", "a", 3, Rising(2))}, {});
      },
      ThrowsMessage<std::invalid_argument>(
          HasSubstr("T/a/seed-3 and T/a/seed-3 are the same seed, 3, of a in T/a on T, which counts once; leave one")));
  EXPECT_THAT([] { Compare({MakeRun("T", "a", 3, {})}, {}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("no evaluation yet")));
  EXPECT_THROW(Compare({MakeRun("T", "a", 3, Rising(1))}, {.window = 0}), std::invalid_argument);
}

TEST(Compare, TheSameRunsGiveTheSameIntervals) {
  std::vector<RunData> runs;
  for (int64_t seed = 0; seed < 6; ++seed) {
    runs.push_back(MakeRun("T", "a", seed, Rising(std::sqrt(static_cast<double>(seed)))));
  }
  const Estimate first = Compare(runs, {}).tasks.at(0).groups.at(0).iqm;
  runs.push_back(MakeRun("S", "z", 0, Rising(1)));  // another task shifts nothing
  const Estimate second = Compare(runs, {}).tasks.at(0).groups.at(0).iqm;
  EXPECT_EQ(first.low, second.low);
  EXPECT_EQ(first.high, second.high);
}

class ReferencesTest : public testing::Test {
 protected:
  std::filesystem::path Write(const std::string& text) const {
    std::ofstream(folder_.path() / "file") << text;
    return folder_.path() / "file";
  }
  TemporaryFolder folder_;
};

TEST_F(ReferencesTest, PublishedMarksMayLackADeviation) {
  const auto marks = ReadPublishedMarks(Write(
      "task,algorithm,env_step,return_mean,return_std,source\nT,MBPO,10000,1769,547,paper\nT,MBPO,3e5,12585,,paper\n"));
  ASSERT_EQ(marks.size(), 2);
  EXPECT_EQ(marks[0].return_std, 547);
  EXPECT_EQ(marks[1].env_step, 300'000);
  EXPECT_FALSE(marks[1].return_std);
  const Comparison comparison =
      Compare({MakeRun("T", "a", 0, Rising(1)), MakeRun("U", "a", 0, Rising(1))}, {.published = marks});
  EXPECT_EQ(comparison.tasks.at(0).published.size(), 2);
  EXPECT_EQ(comparison.tasks.at(1).published.size(), 0);
  EXPECT_EQ(comparison.tasks[0].groups.size(), 1);  // a mark is no run
}

TEST_F(ReferencesTest, AMarkThatIsNoNumberIsRefusedWithItsLine) {
  EXPECT_THAT([&] { ReadPublishedMarks(Write("task,algorithm,env_step,return_mean,return_std,source\nT,M,1,,,p\n")); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("file:2: return_mean: expected a finite number")));
}

TEST_F(ReferencesTest, ReferenceReturnsNeedALowBelowTheHigh) {
  EXPECT_EQ(ReadReferenceReturns(Write("Hopper-v5: [20, 3000]\n")).at("Hopper-v5")[1], 3000);
  EXPECT_THAT([&] { ReadReferenceReturns(Write("A: [0, 1]\nB: [3, 2]\n")); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("file:2: B: expected [LOW, HIGH]")));
}

}  // namespace
}  // namespace reverie
