// `reverie envs` and `reverie trace` on good and bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "reverie/apps/program.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct Outcome {
  int code;
  std::string out, err;
};

Outcome RunReverie(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "reverie");
  std::vector<char*> argv;
  argv.reserve(arguments.size());
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = RunProgram(static_cast<int>(argv.size()), argv.data());
  std::string out = testing::internal::GetCapturedStdout();
  return {code, std::move(out), testing::internal::GetCapturedStderr()};
}

class TraceTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("reverie-trace-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    Write("state.csv", "0.5,0.25\n");
    Write("actions.csv", "0.5\n-1\n");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  // Of the pendulum, with these arguments in place of the good ones.
  Outcome Trace(const std::string& id = "Pendulum-v1", const std::vector<std::string>& more = {},
                const std::string& out = "out.csv") const {
    std::vector<std::string> arguments{
        "trace", id, "--state", folder_ / "state.csv", "--actions", folder_ / "actions.csv", "--out", folder_ / out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunReverie(arguments);
  }

  void ExpectBadInput(const Outcome& outcome, const std::string& reason) const {
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(reason));
    size_t files = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_)) {
      ++files;
    }
    EXPECT_EQ(files, 2) << "only the input may lie there";
  }

  fs::path folder_;
};

TEST_F(TraceTest, WritesARowForTheStateAndOnePerAction) {
  EXPECT_EQ(Trace().code, 0);
  std::stringstream text;
  text << std::ifstream(folder_ / "out.csv").rdbuf();
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    lines.push_back(line);
  }
  ASSERT_EQ(lines.size(), 4);
  EXPECT_EQ(lines[0], "step,obs_0,obs_1,obs_2,reward,terminated,truncated");
  EXPECT_EQ(lines[1], "0,0.87758255004882812,0.47942554950714111,0.25,0,0,0");
  EXPECT_THAT(lines[2], testing::StartsWith("1,"));
  EXPECT_THAT(lines[3], testing::EndsWith(",0,0"));
}

TEST_F(TraceTest, ReadsCrLfBlanksAndALineWithoutEnd) {
  Write("state.csv", " +0.5 , 2.5e-1\r\n\r\n");
  Write("actions.csv", "0.5\r\n-1");
  EXPECT_EQ(Trace().code, 0);
  Write("state.csv", "\xef\xbb\xbf\"0.5\",\"0.25\"\r\n");
  EXPECT_EQ(Trace().code, 0);
}

TEST_F(TraceTest, OptionsChangeTheEnv) {
  EXPECT_EQ(Trace().code, 0);
  EXPECT_EQ(Trace("Pendulum-v1", {"--set", "env.options.g=0"}, "other.csv").code, 0);
  std::stringstream one, other;
  one << std::ifstream(folder_ / "out.csv").rdbuf();
  other << std::ifstream(folder_ / "other.csv").rdbuf();
  EXPECT_NE(one.str(), other.str());
}

TEST_F(TraceTest, MaxEpisodeStepsIsTheTimeLimit) {
  for (const auto& [steps, last] : {std::pair("1", "1"), std::pair("2", "1"), std::pair("3", "0")}) {
    EXPECT_EQ(Trace("Pendulum-v1", {"--set", std::string("env.max_episode_steps=") + steps}).code, 0);
    std::stringstream text;
    text << std::ifstream(folder_ / "out.csv").rdbuf();
    EXPECT_THAT(text.str(), testing::EndsWith(std::string(",0,") + last + "\n")) << steps;
  }
}

TEST_F(TraceTest, BadInputIsOneLineAndNoFile) {
  ExpectBadInput(Trace("Pendulm-v1"), "did you mean Pendulum-v1?");
  ExpectBadInput(Trace("Pendulum-v1", {"--set", "env.options.gravity=3"}), "env.options.gravity: no such key");
  ExpectBadInput(Trace("Pendulum-v1", {"--set", "env.options.g=heavy"}), "expected a number");
  ExpectBadInput(Trace("Pendulum-v1", {"--set", "g=3"}), "no such key");
  ExpectBadInput(Trace("Pendulum-v1", {"--set", "env.options.g"}), "env.options.g");
  ExpectBadInput(Trace("Pendulum-v1", {"--set", "env.max_episode_steps=0"}), "expected auto or an integer at least 1");
  ExpectBadInput(Trace("Hopper-v5", {"--set", "env.options.xml_file=none.xml"}),
                 "none.xml: Gymnasium has none of that name");
  ExpectBadInput(Trace("Hopper-v5"), "state.csv:1: expected 12 numbers, got 2");
  ExpectBadInput(Trace("Pendulum-v1", {}, "nowhere/out.csv"), "no such folder");
  Write("actions.csv", "0.5\n1,2\n");
  ExpectBadInput(Trace(), "actions.csv:2: has 2 fields, the first line 1");
  Write("actions.csv", "0.5\nx\n");
  ExpectBadInput(Trace(), "actions.csv:2: expected a finite number, got 'x'");
  Write("actions.csv", "0.5\n\n1\n");
  ExpectBadInput(Trace(), "actions.csv:3: a row after a blank line");
  Write("actions.csv", "nan\n");
  ExpectBadInput(Trace(), "expected a finite number, got 'nan'");
  Write("actions.csv", "1e999\n");
  ExpectBadInput(Trace(), "expected a finite number");
  Write("actions.csv", "0.5\n");
  Write("state.csv", "0.5,0.25\n0.5,0.25\n");
  ExpectBadInput(Trace(), "state.csv: expected one row, got 2");
  Write("state.csv", "0.5,\n");
  ExpectBadInput(Trace(), "state.csv:1: expected a finite number");
  Write("state.csv", "");
  ExpectBadInput(Trace(), "state.csv: expected one row, got 0");
}

TEST_F(TraceTest, AMissingFileIsBadInput) {
  fs::rename(folder_ / "actions.csv", folder_ / "elsewhere.csv");
  ExpectBadInput(Trace(), "actions.csv: no such file");
}

TEST(EnvsCommand, ListsEveryEnv) {
  const Outcome outcome = RunReverie({"envs"});
  EXPECT_EQ(outcome.code, 0);
  for (const std::string& id : BuiltinEnvs().Ids()) {
    EXPECT_THAT(outcome.out, HasSubstr(id + " "));
  }
}

TEST(EnvsCommand, ShowsSpacesTimesStateAndOptions) {
  const Outcome outcome = RunReverie({"envs", "Ant-v5"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* text : {"105 numbers", "8 numbers in [-1, 1]", "0.05 s", "1000 steps", "29 numbers", "qpos:root.0",
                           "healthy_z_range", "default [0.2, 1]", "include_cfrc_ext_in_observation"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
}

TEST(EnvsCommand, AnUnknownEnvIsBadInputWithAllKnownOnes) {
  const Outcome outcome = RunReverie({"envs", "Nothing-v9"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("Walker2d-v5"));
}

}  // namespace
}  // namespace reverie
