#include "reverie/run/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "oracle.h"
#include "reverie/core/log.h"
#include "reverie/core/version.h"
#include "run/file_size_limit.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

const RunFacts kFacts{
    .algorithm = "mbpo", .variant = "no penalty", .env = "Hopper-v5", .seed = 7, .device = "cpu", .threads = 2};

std::string Text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A file as far as its name goes.
void TouchCheckpoint(const fs::path& run) { std::ofstream(run / "checkpoints" / "step-000000100.safetensors"); }

class RunDirectoryTest : public testing::Test {
 protected:
  RunDirectory Create(Existing existing = Existing::kRefuse) {
    return RunDirectory::Create(path_, "seed: 7\n", kFacts, existing);
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "runs" / "one";
};

TEST_F(RunDirectoryTest, TheDefaultPathNamesAlgorithmEnvAndSeed) {
  EXPECT_EQ(RunDirectory::DefaultPath("mbpo", "Hopper-v5", 7), fs::path("runs/mbpo-Hopper-v5/seed-7"));
  EXPECT_EQ(RunDirectory::DefaultPath("sac", "dm_control/walker-run", 0),
            fs::path("runs/sac-dm_control-walker-run/seed-0"));
}

TEST_F(RunDirectoryTest, ANewOneHoldsConfigRecordLogAndCheckpoints) {
  const RunDirectory directory = Create();
  LogInfo("hello");
  EXPECT_THAT(Names(path_), ElementsAre("checkpoints", "config.yaml", "lock", "log.txt", "run.json"));
  EXPECT_EQ(Text(directory.config_path()), "seed: 7\n");
  EXPECT_THAT(Text(path_ / "log.txt"), HasSubstr("info: hello"));
}

TEST_F(RunDirectoryTest, TheRecordSaysWhatRunsOnWhat) {
  const RunDirectory directory = Create();
  const auto json = nlohmann::json::parse(Text(path_ / "run.json"));
  EXPECT_EQ(json["version"], Version());
  EXPECT_EQ(json["git_revision"], GitRevision());
  EXPECT_EQ(json["algorithm"], "mbpo");
  EXPECT_EQ(json["variant"], "no penalty");
  EXPECT_EQ(json["env"], "Hopper-v5");
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["device"], "cpu");
  EXPECT_EQ(json["threads"], 2);
  EXPECT_EQ(json["status"], "running");
  EXPECT_EQ(json["reason"], "");
  for (const auto& [library, version] : LibraryVersions()) {
    EXPECT_EQ(json["libraries"][library], version);
  }
  EXPECT_THAT(json["started"].get<std::string>(),
              testing::MatchesRegex("20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z"));
}

TEST_F(RunDirectoryTest, TheStatusIsReplacedAndReadBack) {
  {
    RunDirectory directory = Create();
    directory.SetStatus(RunStatus::kFailed, "a \"quoted\" reason\nin two lines", 1234, 5.25);
  }
  const RunRecord record = RunDirectory::Open(path_).record();
  EXPECT_EQ(record.status, RunStatus::kFailed);
  EXPECT_EQ(record.reason, "a \"quoted\" reason\nin two lines");
  EXPECT_EQ(record.env_steps, 1234);
  EXPECT_EQ(record.wall_s, 5.25);
  EXPECT_EQ(record.facts.variant, "no penalty");
  EXPECT_THAT(record.resumed, ElementsAre());
}

TEST_F(RunDirectoryTest, AnExistingOneIsRefusedAndLeftAlone) {
  { const RunDirectory first = Create(); }
  std::ofstream(path_ / "mine.txt") << "kept";
  for (const bool can_go_on : {false, true}) {
    if (can_go_on) {
      TouchCheckpoint(path_);
    }
    const std::string advice = can_go_on ? "go on with it by --resume, replace" : "replace";
    EXPECT_THAT([&] { Create(); }, ThrowsMessage<std::invalid_argument>(HasSubstr(path_.string() + " exists already; " +
                                                                                  advice + " it with --overwrite")));
  }
  EXPECT_EQ(Text(path_ / "mine.txt"), "kept");
}

TEST_F(RunDirectoryTest, OverwriteBeginsAnEmptyOne) {
  {
    const RunDirectory first = Create();
    TouchCheckpoint(path_);
    std::ofstream(path_ / "train.csv") << "old";
    std::ofstream(path_ / "mine.txt") << "kept";
    std::ofstream(path_ / "checkpoints" / "step-mine.safetensors") << "kept";
  }
  const RunDirectory second = Create(Existing::kReplace);
  EXPECT_THAT(Names(path_), ElementsAre("checkpoints", "config.yaml", "lock", "log.txt", "mine.txt", "run.json"));
  EXPECT_THAT(Names(second.checkpoint_path()), ElementsAre("step-mine.safetensors"));
}

TEST_F(RunDirectoryTest, OnlyWhatNeverBeganIsReplacedAsSuch) {
  { RunDirectory::Create(path_, "seed: 6\n", kFacts, Existing::kRefuse); }
  {
    RunDirectory begun_anew = Create(Existing::kReplaceUnbegun);
    EXPECT_EQ(Text(path_ / "config.yaml"), "seed: 7\n");
    TouchCheckpoint(path_);
  }
  const auto refused = ThrowsMessage<std::invalid_argument>(HasSubstr("has gone on in another process meanwhile"));
  EXPECT_THAT([&] { Create(Existing::kReplaceUnbegun); }, refused);
  EXPECT_THAT(Names(path_ / "checkpoints"), ElementsAre("step-000000100.safetensors"));
  { Create(Existing::kReplace).SetStatus(RunStatus::kFinished, "", 0, 0); }
  EXPECT_THAT([&] { Create(Existing::kReplaceUnbegun); }, refused);
  EXPECT_EQ(RunDirectory::Open(path_).record().status, RunStatus::kFinished);
}

TEST_F(RunDirectoryTest, OverwriteRemovesNothingButARun) {
  fs::create_directories(path_);
  std::ofstream(path_ / "run.json") << R"({"algorithm": "of another program"})";
  EXPECT_THAT([&] { Create(Existing::kReplace); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("is not the folder of a run")));
  EXPECT_THAT(Names(path_), ElementsAre("run.json"));

  const fs::path file = folder_.path() / "file";
  std::ofstream(file) << "text";
  EXPECT_THROW(RunDirectory::Create(file, "", kFacts, Existing::kReplace), std::invalid_argument);
  EXPECT_EQ(Text(file), "text");
}

TEST_F(RunDirectoryTest, ARunThatIsStillGoingOnIsNotTouched) {
  const RunDirectory running = Create();
  TouchCheckpoint(path_);
  EXPECT_THAT(
      [&] { Create(Existing::kReplace); },
      ThrowsMessage<std::invalid_argument>(HasSubstr("still going on (process " + std::to_string(getpid()) + " on ")));
  EXPECT_THAT([&] { RunDirectory::Resume(path_, "seed: 7\n", kFacts); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("still going on")));
  EXPECT_FALSE(fs::is_empty(running.checkpoint_path()));
  EXPECT_NO_THROW(RunDirectory::Open(path_));
}

TEST_F(RunDirectoryTest, ResumingKeepsTheBeginningAndDescribesTheNewProcess) {
  std::string started;
  {
    RunDirectory directory = Create();
    started = directory.record().started;
    TouchCheckpoint(path_);
    directory.SetStatus(RunStatus::kInterrupted, "SIGTERM", 100, 3.5);
  }
  RunFacts facts = kFacts;
  facts.threads = 16;
  const std::string before = Text(path_ / "run.json");
  RunDirectory directory = RunDirectory::Resume(path_, "total_steps: 9\n", facts);
  EXPECT_EQ(directory.record().facts.threads, 16);
  EXPECT_EQ(Text(path_ / "run.json"), before);
  EXPECT_EQ(Text(path_ / "config.yaml"), "seed: 7\n");
  directory.GoOn();
  const RunRecord record = RunDirectory::Open(path_).record();
  EXPECT_EQ(record.started, started);
  EXPECT_EQ(record.resumed.size(), 1U);
  EXPECT_EQ(record.status, RunStatus::kRunning);
  EXPECT_EQ(record.reason, "");
  EXPECT_EQ(record.facts.threads, 16);
  EXPECT_EQ(record.wall_s, 3.5);
  EXPECT_EQ(Text(path_ / "config.yaml"), "total_steps: 9\n");
}

TEST_F(RunDirectoryTest, ResumingNeedsARunWithACheckpoint) {
  EXPECT_THROW(RunDirectory::Resume(path_, "seed: 7\n", kFacts), std::invalid_argument);
  EXPECT_FALSE(fs::exists(path_));
  {
    const RunDirectory directory = Create();
    std::ofstream(directory.checkpoint_path() / "failed-step-000000100.safetensors");
  }
  const std::string before = Text(path_ / "run.json");
  EXPECT_THAT([&] { RunDirectory::Resume(path_, "seed: 7\n", kFacts); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("no checkpoint")));
  EXPECT_EQ(Text(path_ / "run.json"), before);
}

TEST_F(RunDirectoryTest, AnEmptyFolderAndWhatAKilledBeginnerLeftAreBegunIn) {
  fs::create_directories(path_);
  std::ofstream(path_ / "run.json.partial") << "{";
  const RunDirectory directory = Create();
  EXPECT_THAT(Names(path_), ElementsAre("checkpoints", "config.yaml", "lock", "log.txt", "run.json"));
}

TEST_F(RunDirectoryTest, ARecordWithoutRoomIsAnErrorThatNamesTheFileAndLeavesTheOldOne) {
  RunDirectory directory = Create();
  {
    const FileSizeLimit limit(10);
    EXPECT_THAT([&] { directory.SetStatus(RunStatus::kFinished, "", 1, 1); },
                ThrowsMessage<std::runtime_error>(HasSubstr((path_ / "run.json").string())));
  }
  EXPECT_EQ(RunDirectory::Open(path_).record().status, RunStatus::kRunning);
}

TEST_F(RunDirectoryTest, AFolderThatCannotBeMadeIsAnErrorThatNamesIt) {
  std::ofstream(folder_.path() / "runs") << "a file in the way";
  EXPECT_THAT([&] { Create(); }, ThrowsMessage<std::runtime_error>(HasSubstr(path_.string())));
}

TEST_F(RunDirectoryTest, AnotherRunMayBeginWhereOneWasLetGo) {
  std::optional<RunDirectory> directory(Create());
  directory.reset();
  EXPECT_NO_THROW(Create(Existing::kReplace));
}

}  // namespace
}  // namespace reverie
