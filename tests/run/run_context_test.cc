#include "reverie/run/run_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "oracle.h"
#include "run/file_size_limit.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

using Row = std::map<std::string, std::string>;

std::vector<Row> Rows(const fs::path& path) {
  std::ifstream file(path);
  const auto cells_of = [](const std::string& line) {
    std::vector<std::string> cells;
    std::istringstream in(line + ",");
    for (std::string cell; std::getline(in, cell, ',');) {
      cells.push_back(cell);
    }
    return cells;
  };
  std::string line;
  std::getline(file, line);
  const std::vector<std::string> header = cells_of(line);
  std::vector<Row> rows;
  while (std::getline(file, line)) {
    const std::vector<std::string> cells = cells_of(line);
    Row row;
    for (size_t i = 0; i < header.size(); ++i) {
      row[header[i]] = cells.at(i);
    }
    rows.push_back(row);
  }
  return rows;
}

std::vector<std::string> Column(const fs::path& path, const std::string& name) {
  std::vector<std::string> values;
  for (const Row& row : Rows(path)) {
    values.push_back(row.at(name));
  }
  return values;
}

std::string HeaderOf(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// A training loop whose only state is how often it stepped.
class RunContextTest : public testing::Test {
 protected:
  RunContextTest() {
    config_.total_steps = 40;
    config_.eval.every_steps = 10;
    config_.log.every_steps = 10;
    config_.checkpoint.every_steps = 20;
  }

  // A context on a new directory, or on the one that is there.
  void Open(bool resume) {
    run_.reset();
    directory_.reset();
    const RunFacts facts{.algorithm = "test", .env = "Test-v0", .device = "cpu", .threads = 1};
    directory_.emplace(resume ? RunDirectory::Resume(path_, "", facts)
                              : RunDirectory::Create(path_, "", facts, Existing::kRefuse));
    run_.emplace(config_, *directory_,
                 RunHooks{.evaluate = [this](int64_t env_steps) -> std::optional<EvalResult> {
                            if (evaluations_stop_ && StopSignals::Received() != 0) {
                              return std::nullopt;
                            }
                            std::this_thread::sleep_for(evaluation_);
                            return EvalResult{.returns = {static_cast<double>(env_steps), 1}, .lengths = {10, 20}};
                          },
                          .visit_state = [this](StateVisitor& state) { state("steps", steps_); },
                          .export_policy =
                              [this] {
                                exported_at_ = steps_;
                                status_at_export_ = Record().status;
                                if (exports_fail_) {
                                  throw std::runtime_error("the file is not\nthe policy");
                                }
                              }});
  }

  // Steps until `last`, or until a signal.
  void StepTo(int64_t last, int64_t stride = 1) {
    while (steps_ < last && !run_->stopping()) {
      steps_ += stride;
      if (on_step_) {
        on_step_();
      }
      run_->Tick(steps_, 2 * steps_, "learner", [this] {
        Metrics metrics;
        metrics.Set("steps", static_cast<double>(steps_));
        return metrics;
      });
    }
  }

  fs::path Train() const { return path_ / "train.csv"; }
  fs::path Eval() const { return path_ / "eval.csv"; }
  std::string Log() const {
    std::ifstream log(path_ / "log.txt");
    return {std::istreambuf_iterator<char>(log), std::istreambuf_iterator<char>()};
  }
  std::string Newest() const { return CheckpointFolder::Newest(path_ / "checkpoints").value().filename(); }
  RunRecord Record() const { return RunDirectory::Open(path_).record(); }

  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "run";
  RunConfig config_;
  milliseconds evaluation_{0};
  bool evaluations_stop_ = false;  // at a signal
  std::function<void()> on_step_;
  int64_t steps_ = 0;
  int64_t exported_at_ = -1;
  bool exports_fail_ = false;
  std::optional<RunStatus> status_at_export_;
  std::optional<RunDirectory> directory_;
  std::optional<RunContext> run_;
};

TEST_F(RunContextTest, EvalRowsAreAtStepZeroWhenDueAndAtTheEndOnce) {
  config_.total_steps = 25;
  Open(false);
  run_->Begin(false);
  StepTo(25);
  EXPECT_EQ(run_->End(), 0);
  EXPECT_EQ(HeaderOf(Eval()), "env_step,wall_s,return_mean,return_std,return_min,return_max,length_mean,episodes");
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "25"));
  EXPECT_THAT(Column(Eval(), "return_mean"), ElementsAre("0.5", "5.5", "10.5", "13"));
  EXPECT_THAT(Column(Eval(), "length_mean"), ElementsAre("15", "15", "15", "15"));
  EXPECT_THAT(Column(Eval(), "episodes"), ElementsAre("2", "2", "2", "2"));
}

TEST_F(RunContextTest, ALastStepThatIsAlsoAnEvalStepHasOneRow) {
  Open(false);
  run_->Begin(false);
  StepTo(40);
  run_->End();
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "30", "40"));
  EXPECT_THAT(Column(Train(), "env_step"), ElementsAre("10", "20", "30", "40"));
}

TEST_F(RunContextTest, StepsInStridesAreRowsWhereTheyPassAMultiple) {
  Open(false);
  run_->Begin(false);
  StepTo(40, /*stride=*/7);
  run_->End();
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "14", "21", "35", "42"));
  EXPECT_THAT(Column(Train(), "env_step"), ElementsAre("14", "21", "35", "42"));
}

TEST_F(RunContextTest, TrainRowsHoldWhatWasLoggedSinceTheLastOne) {
  on_step_ = [this] {
    if (steps_ == 3) {
      run_->Log("model", [] {
        Metrics fit;
        fit.Set("epochs", 12);
        return fit;
      }());
    }
    if (steps_ == 4 || steps_ == 9) {
      run_->NoteEpisode(EpisodeStats{.episode_return = static_cast<double>(steps_), .length = 10 * steps_});
    }
    run_->NoteEpisode(std::nullopt);
    run_->Timed("phase", [] {});
  };
  Open(false);
  run_->Begin(false);
  StepTo(40);
  run_->End();
  const std::vector<Row> rows = Rows(Train());
  EXPECT_EQ(HeaderOf(Train()).substr(0, 8), "env_step");
  EXPECT_EQ(rows[0].at("model/epochs"), "12");
  EXPECT_EQ(rows[1].at("model/epochs"), "");
  EXPECT_EQ(rows[0].at("episode/count"), "2");
  EXPECT_EQ(rows[0].at("episode/return"), "6.5");
  EXPECT_EQ(rows[0].at("episode/length"), "65");
  EXPECT_EQ(rows[1].at("episode/count"), "0");
  EXPECT_EQ(rows[1].at("episode/return"), "");
  EXPECT_EQ(rows[3].at("learner/steps"), "40");
  EXPECT_EQ(rows[3].at("updates"), "80");
  EXPECT_THAT(rows[0],
              AllOf(Contains(testing::Key("time/phase_s")), Contains(testing::Key("memory/phase_mib")),
                    Contains(testing::Key("memory/resident_mib")), Contains(testing::Key("rate/env_steps_per_s")),
                    Contains(testing::Key("rate/updates_per_s"))));
}

TEST_F(RunContextTest, TwoEqualRunsDifferOnlyWhereTheNamesSaySo) {
  std::vector<std::vector<Row>> runs;
  for (const char* name : {"a", "b"}) {
    path_ = folder_.path() / name;
    steps_ = 0;
    Open(false);
    run_->Begin(false);
    on_step_ = [&] { std::this_thread::sleep_for(milliseconds(std::string(name) == "a" ? 0 : 1)); };
    StepTo(40);
    run_->End();
    std::vector<Row> rows = Rows(Train());
    for (Row& row : rows) {
      std::erase_if(row, [](const auto& cell) {
        return cell.first.starts_with("time/") || cell.first.starts_with("rate/") || cell.first.starts_with("memory/");
      });
      EXPECT_THAT(row, testing::SizeIs(6));
    }
    runs.push_back(rows);
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST_F(RunContextTest, WallTimeIsWithoutEvaluation) {
  evaluation_ = milliseconds(300);
  on_step_ = [] { std::this_thread::sleep_for(milliseconds(1)); };
  config_.total_steps = 20;
  Open(false);
  run_->Begin(false);
  StepTo(20);
  run_->End();
  const std::vector<std::string> walls = Column(Eval(), "wall_s");
  EXPECT_LT(std::stod(walls[0]), 0.3);
  EXPECT_GE(std::stod(walls[2]), 0.02);
  EXPECT_LT(std::stod(walls[2]), 0.3);
  EXPECT_LT(Record().wall_s, 0.3);
}

TEST_F(RunContextTest, AFinishedRunSaysSoAndHasCheckpointAndPolicy) {
  Open(false);
  run_->Begin(false);
  EXPECT_EQ(Record().status, RunStatus::kRunning);
  StepTo(40);
  run_->End();
  EXPECT_EQ(Record().status, RunStatus::kFinished);
  EXPECT_EQ(Record().env_steps, 40);
  EXPECT_EQ(Newest(), "step-000000040.safetensors");
  EXPECT_EQ(exported_at_, 40);
}

TEST_F(RunContextTest, ASignalEndsTheRunWithACheckpointAndNoExtraRow) {
  on_step_ = [this] {
    if (steps_ == 33) {
      std::raise(SIGTERM);
    }
  };
  Open(false);
  run_->Begin(false);
  StepTo(40);
  EXPECT_EQ(steps_, 33);
  EXPECT_EQ(run_->End(), SIGTERM);
  EXPECT_EQ(Record().status, RunStatus::kInterrupted);
  EXPECT_EQ(Record().reason, "SIGTERM");
  EXPECT_EQ(Newest(), "step-000000033.safetensors");
  EXPECT_EQ(exported_at_, 33);
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "30"));
}

TEST_F(RunContextTest, ASignalDuringTheLastStepChangesNothing) {
  on_step_ = [this] {
    if (steps_ == 40) {
      std::raise(SIGINT);
    }
  };
  Open(false);
  run_->Begin(false);
  StepTo(40);
  EXPECT_EQ(run_->End(), 0);
  EXPECT_EQ(Record().status, RunStatus::kFinished);
}

TEST_F(RunContextTest, AnEvaluationThatASignalStoppedIsMadeUpForOnce) {
  on_step_ = [this] {
    if (steps_ == 20 && directory_->record().resumed.empty()) {
      std::raise(SIGTERM);
    }
  };
  evaluations_stop_ = true;
  Open(false);
  run_->Begin(false);
  StepTo(40);
  EXPECT_EQ(run_->End(), SIGTERM);
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10"));
  for (int i = 0; i < 2; ++i) {  // the first of these dies before its next checkpoint
    Open(true);
    run_->Begin(true);
    EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20"));
  }
  StepTo(40);
  EXPECT_EQ(run_->End(), 0);
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "30", "40"));
}

TEST_F(RunContextTest, AnEvaluationStoppedAtTheEndKeepsTheRunFromBeingFinished) {
  on_step_ = [this] {
    if (steps_ == 40) {
      std::raise(SIGTERM);
    }
  };
  evaluations_stop_ = true;
  Open(false);
  run_->Begin(false);
  StepTo(40);
  EXPECT_EQ(run_->End(), SIGTERM);
  Open(true);
  run_->Begin(true);
  EXPECT_EQ(run_->End(), 0);
  EXPECT_EQ(Record().status, RunStatus::kFinished);
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "30", "40"));
}

TEST_F(RunContextTest, AResumedRunGoesOnFromItsCheckpointWithoutTheRowsAfterIt) {
  Open(false);
  run_->Begin(false);
  StepTo(35);  // and then the process dies
  Open(true);
  run_->Begin(true);
  EXPECT_EQ(steps_, 20);
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20"));
  EXPECT_THAT(Column(Train(), "env_step"), ElementsAre("10", "20"));
  StepTo(40);
  run_->End();
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "30", "40"));
  EXPECT_THAT(Column(Train(), "env_step"), ElementsAre("10", "20", "30", "40"));
}

TEST_F(RunContextTest, WhatWasLoggedBeforeTheStopIsInTheNextRowAfterIt) {
  on_step_ = [this] {
    if (steps_ == 12) {
      Metrics fit;
      fit.Set("epochs", 7);
      fit.Set("loss", -0.1);
      run_->Log("model", fit);
      run_->NoteEpisode(EpisodeStats{.episode_return = 1, .length = 4});
    }
    if (steps_ == 17) {
      std::raise(SIGINT);
    }
    if (steps_ == 18) {
      run_->NoteEpisode(EpisodeStats{.episode_return = 2, .length = 8});
    }
  };
  Open(false);
  run_->Begin(false);
  StepTo(40);
  EXPECT_EQ(run_->End(), SIGINT);
  Open(true);
  run_->Begin(true);
  StepTo(40);
  run_->End();
  const Row row = Rows(Train())[1];
  EXPECT_EQ(row.at("env_step"), "20");
  EXPECT_EQ(row.at("model/epochs"), "7");
  EXPECT_EQ(row.at("model/loss"), "-0.1");
  EXPECT_EQ(row.at("episode/return"), "1.5");
  EXPECT_EQ(row.at("episode/length"), "6");
}

TEST_F(RunContextTest, WallTimeAddsUpOverAResume) {
  on_step_ = [] { std::this_thread::sleep_for(milliseconds(2)); };
  Open(false);
  run_->Begin(false);
  StepTo(20);
  std::this_thread::sleep_for(milliseconds(500));  // lost with the process: after the checkpoint
  Open(true);
  run_->Begin(true);
  StepTo(40);
  run_->End();
  const std::vector<std::string> walls = Column(Eval(), "wall_s");
  ASSERT_EQ(walls.size(), 5U);
  EXPECT_GE(std::stod(walls[2]), 0.04);
  EXPECT_GE(std::stod(walls[4]) - std::stod(walls[2]), 0.04);
  EXPECT_LT(std::stod(walls[4]), 0.5);
  // The first row after the resume is of 10 steps of at least 2 ms each.
  EXPECT_LE(std::stod(Rows(Train())[2].at("rate/env_steps_per_s")), 500);
}

TEST_F(RunContextTest, ResumingAFinishedRunWritesNoRowTwice) {
  Open(false);
  run_->Begin(false);
  StepTo(40);
  run_->End();
  Open(true);
  run_->Begin(true);
  StepTo(40);
  EXPECT_EQ(run_->End(), 0);
  EXPECT_THAT(Column(Eval(), "env_step"), ElementsAre("0", "10", "20", "30", "40"));
  EXPECT_EQ(Record().status, RunStatus::kFinished);
}

TEST_F(RunContextTest, TensorBoardHoldsTheRows) {
  Open(false);
  run_->Begin(false);
  StepTo(35);
  Open(true);
  run_->Begin(true);
  StepTo(40);
  run_->End();
  EXPECT_EQ(RunPython("run/tensorboard_oracle.py", folder_.path(), "rows run"), 0);
}

TEST_F(RunContextTest, AFailureSavesTheStateWhereNoRunGoesOnFromIt) {
  Open(false);
  run_->Begin(false);
  StepTo(33);
  Metrics fit;
  fit.Set("loss", 1e30);
  run_->Log("model", fit);
  exported_at_ = -1;
  run_->Fail("the model's loss is not finite");
  EXPECT_EQ(Record().status, RunStatus::kFailed);
  EXPECT_EQ(Record().reason, "after env step 33: the model's loss is not finite");
  EXPECT_TRUE(fs::exists(path_ / "checkpoints" / "failed-step-000000033.safetensors"));
  EXPECT_EQ(Newest(), "step-000000020.safetensors");
  EXPECT_EQ(exported_at_, -1);
  EXPECT_EQ(Rows(Train()).back().at("env_step"), "33");
  EXPECT_EQ(Rows(Train()).back().at("model/loss"), "1e+30");
  EXPECT_THAT(Log(), HasSubstr("error: after env step 33: the model's loss is not finite"));
}

TEST_F(RunContextTest, AnExportThatFailsEndsNoRun) {
  exports_fail_ = true;
  Open(false);
  run_->Begin(false);
  StepTo(40);
  EXPECT_THAT(Log(), HasSubstr("error: the policy of env step 20 was not exported: the file is not\n"));
  EXPECT_EQ(status_at_export_, RunStatus::kRunning);
  EXPECT_EQ(run_->End(), 0);
  EXPECT_EQ(exported_at_, 40);
  EXPECT_EQ(status_at_export_, RunStatus::kFinished);
  EXPECT_EQ(Record().status, RunStatus::kFinished);
  EXPECT_EQ(Newest(), "step-000000040.safetensors");
}

TEST_F(RunContextTest, AnExportThatFailsLeavesAnInterruptedRunInterrupted) {
  exports_fail_ = true;
  Open(false);
  run_->Begin(false);
  StepTo(15);
  std::raise(SIGTERM);
  EXPECT_EQ(run_->End(), SIGTERM);
  EXPECT_EQ(status_at_export_, RunStatus::kInterrupted);
  EXPECT_EQ(Record().reason, "SIGTERM");
}

TEST_F(RunContextTest, AFileThatCannotBeWrittenEndsTheRunWithItsName) {
  Open(false);
  run_->Begin(false);
  const FileSizeLimit limit(fs::file_size(Eval()) + 5);
  EXPECT_THAT([&] { StepTo(40); },
              ThrowsMessage<std::runtime_error>(AllOf(HasSubstr(path_.string()), HasSubstr("cannot write"))));
}

TEST_F(RunContextTest, ARowIsThereOnceThoughTensorBoardsFileHasNoRoomForIt) {
  Open(false);
  run_->Begin(false);
  StepTo(15);
  uintmax_t size = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    size = entry.path().filename().string().starts_with("events.") ? entry.file_size() : size;
  }
  ASSERT_GT(size, fs::file_size(Train()) + 200);
  const FileSizeLimit limit(size + 5);
  EXPECT_THAT([&] { StepTo(40); }, ThrowsMessage<std::runtime_error>(HasSubstr("events.out")));
  run_->Fail("full");
  EXPECT_THAT(Column(Train(), "env_step"), ElementsAre("10", "20"));
}

TEST_F(RunContextTest, WhatCannotBeSavedAtAFailureDoesNotHideIt) {
  Open(false);
  run_->Begin(false);
  StepTo(15);
  fs::remove_all(path_ / "checkpoints");
  run_->Fail("broken");
  EXPECT_EQ(Record().status, RunStatus::kFailed);
}

}  // namespace
}  // namespace reverie
