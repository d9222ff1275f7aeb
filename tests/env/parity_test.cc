// `reverie trace` against Gymnasium, which Python steps from the same states with the same actions.
//
// Both run the same libmujoco, so nothing but the rounding of costs and trigonometry may differ: 1e-9, absolute, also
// where contact forces reach thousands of newtons.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "reverie/apps/program.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-9;

// The tasks that have an end: the traces reach it, and go on.
const std::set<std::string> kEnding{"Ant-v5",      "Hopper-v5",           "Humanoid-v5",
                                    "Walker2d-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"};

// Those whose traces reach a time limit, their own or another.
const std::set<std::string> kCutOff{"Pendulum-v1", "Hopper-v5", "Reacher-v5", "Pusher-v5"};

std::vector<std::string> Lines(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  return lines;
}

std::vector<double> Numbers(const std::string& line) {
  std::vector<double> numbers;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');) {
    numbers.push_back(std::stod(cell));
  }
  return numbers;
}

int RunReverie(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size());
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  return RunProgram(static_cast<int>(argv.size()), argv.data());
}

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("reverie-parity-" + std::to_string(getpid()) + "-" + GetParam());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
};

TEST_P(Parity, TracesAreGymnasiums) {
  fs::create_directories(folder_);
  // MuJoCo's Python package leaves a log where it runs.
  const std::string python = "cd " + folder_.string() + " && " + REVERIE_TEST_PYTHON + " " + REVERIE_SOURCE_DIR +
                             "/tests/env/gymnasium_trace.py " + GetParam() + " " + (folder_ / "cases").string() +
                             " > python.txt 2>&1";
  ASSERT_EQ(std::system(python.c_str()), 0) << python;
  int cases = 0;
  int terminated = 0;
  int truncated = 0;
  double largest = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "cases")) {
    SCOPED_TRACE(entry.path().filename().string());
    std::vector<std::string> arguments{"reverie",
                                       "trace",
                                       GetParam(),
                                       "--state",
                                       entry.path() / "state.csv",
                                       "--actions",
                                       entry.path() / "actions.csv",
                                       "--out",
                                       entry.path() / "ours.csv"};
    for (const std::string& set : Lines(entry.path() / "sets.txt")) {
      arguments.insert(arguments.end(), {"--set", set});
    }
    ASSERT_EQ(RunReverie(arguments), 0);

    const std::vector<std::string> ours = Lines(entry.path() / "ours.csv");
    const std::vector<std::string> theirs = Lines(entry.path() / "trace.csv");
    ASSERT_EQ(ours.size(), 302);  // header, the state itself, 300 steps
    ASSERT_EQ(theirs.size(), ours.size());
    ASSERT_EQ(ours[0], theirs[0]);
    for (size_t row = 1; row < ours.size(); ++row) {
      const std::vector<double> a = Numbers(ours[row]);
      const std::vector<double> b = Numbers(theirs[row]);
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) {
        const double error = std::abs(a[i] - b[i]);
        largest = std::max(largest, error);
        ASSERT_LE(error, kTolerance) << "row " << row << ", column " << i << ": " << a[i] << ", Gymnasium " << b[i];
      }
      ASSERT_EQ(a[a.size() - 2], b[b.size() - 2]) << "terminated, row " << row;
      terminated += a[a.size() - 2] == 1 ? 1 : 0;
      ASSERT_EQ(a.back(), b.back()) << "truncated, row " << row;
      truncated += a.back() == 1 ? 1 : 0;
    }
    ++cases;
  }
  EXPECT_GE(cases, 6);  // at least two option sets, three seeds each
  EXPECT_EQ(truncated > 0, kCutOff.contains(GetParam())) << truncated << " steps truncated";
  EXPECT_EQ(terminated > 0, kEnding.contains(GetParam())) << terminated << " steps terminated";
  std::cout << GetParam() << ": " << cases << " traces, largest error " << largest << "\n";
}

INSTANTIATE_TEST_SUITE_P(Gymnasium, Parity,
                         testing::Values("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5",
                                         "HumanoidStandup-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5",
                                         "Reacher-v5", "Swimmer-v5", "Pusher-v5", "Pendulum-v1"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace reverie
