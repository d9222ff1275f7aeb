// Every task of the suite against dm_control itself, which Python steps from the same states with the same actions.
//
// Both run the same libmujoco: nothing but the rounding of observations and rewards may differ.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "oracle.h"
#include "reverie/core/rng.h"
#include "reverie/env/dm_control/tolerance.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-9;
const std::string kSuite = "dm_control/";

using Rows = std::vector<std::vector<double>>;

Rows ReadCsv(const fs::path& path) {
  Rows rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    rows.emplace_back();
    for (std::string cell; std::getline(in, cell, ',');) {
      rows.back().push_back(std::strtod(cell.c_str(), nullptr));  // stod refuses what is below the normal numbers
    }
  }
  return rows;
}

// Without "dm_control/".
std::vector<std::string> Tasks() {
  std::vector<std::string> tasks;
  for (const std::string& id : BuiltinEnvs().Ids()) {
    if (id.starts_with(kSuite)) {
      tasks.push_back(id.substr(kSuite.size()));
    }
  }
  return tasks;
}

std::unique_ptr<Env> Make(const std::string& task) { return BuiltinEnvs().Find(kSuite + task).maker().make(); }

TEST(DmControlParity, TracesAreDmControls) {
  const TemporaryFolder folder;
  std::ofstream list(folder.path() / "tasks.txt");
  for (const std::string& task : Tasks()) {
    list << task << "\n";
  }
  list.close();
  ASSERT_EQ(RunPython("env/dm_control/dm_control_oracle.py", folder.path(), "trace . > out.txt 2>&1"), 0);
  double largest = 0;
  for (const std::string& task : Tasks()) {
    const std::unique_ptr<Env> env = Make(task);
    std::vector<double> obs(env->spec().obs_low.size());
    double task_return = 0;
    for (const char* name : {"0", "1", "2"}) {
      SCOPED_TRACE(task + "/" + name);
      const fs::path test_case = folder.path() / task / name;
      const Rows actions = ReadCsv(test_case / "actions.csv");
      const Rows theirs = ReadCsv(test_case / "trace.csv");
      ASSERT_EQ(actions.size(), 200);
      ASSERT_EQ(theirs.size(), 201);
      env->SetState(ReadCsv(test_case / "state.csv").at(0), obs);
      double reward = 0;
      for (size_t row = 0; row < theirs.size(); ++row) {
        if (row > 0) {
          const StepResult result = env->Step(actions[row - 1], obs);
          reward = result.reward;
          task_return += reward;
          ASSERT_FALSE(result.terminated || result.truncated);
        }
        ASSERT_EQ(theirs[row].size(), obs.size() + 1);
        for (size_t i = 0; i <= obs.size(); ++i) {
          const double ours = i < obs.size() ? obs[i] : reward;
          const double error = std::abs(ours - theirs[row][i]);
          largest = std::max(largest, error);
          ASSERT_LE(error, kTolerance * std::max(1.0, std::abs(ours)))
              << "row " << row << ", column " << i << ": " << ours << ", dm_control " << theirs[row][i];
        }
      }
    }
    EXPECT_GT(task_return, 1) << task << ": the traces miss what is rewarded";
  }
  std::cout << Tasks().size() << " tasks, largest error " << largest << "\n";
}

TEST(DmControlParity, TolerancesAreDmControls) {
  const TemporaryFolder folder;
  ASSERT_EQ(RunPython("env/dm_control/dm_control_oracle.py", folder.path(), "tolerance . > out.txt 2>&1"), 0);
  const Rows table = ReadCsv(folder.path() / "table.csv");
  ASSERT_GT(table.size(), 5000);
  std::map<int, int> between;  // per sigmoid: values that are neither 0 nor 1
  for (const std::vector<double>& row : table) {
    const dm_control::Tolerance tolerance{.lower = row[1],
                                          .upper = row[2],
                                          .margin = row[3],
                                          .sigmoid = static_cast<dm_control::Sigmoid>(row[0]),
                                          .value_at_margin = row[4]};
    const double x = row[5];
    const double expected = row[6];
    ASSERT_NEAR(tolerance(x), expected, 1e-12) << testing::PrintToString(row);
    const torch::Tensor batch = torch::tensor({x, x}, torch::kFloat64).requires_grad_();
    const torch::Tensor values = tolerance(batch);
    ASSERT_NEAR(values[1].item<double>(), expected, 1e-12) << testing::PrintToString(row);
    ASSERT_NEAR(tolerance(batch.to(torch::kFloat32))[0].item<double>(), expected, row[3] == 0 ? 1 : 1e-5);
    if (values.requires_grad()) {
      values.sum().backward();
      ASSERT_TRUE(batch.grad().isfinite().all().item<bool>()) << testing::PrintToString(row);
    }
    between[static_cast<int>(row[0])] += expected > 0 && expected < 1 ? 1 : 0;
  }
  EXPECT_EQ(between.size(), 8);
  for (const auto& [sigmoid, count] : between) {
    EXPECT_GT(count, 50) << sigmoid;
  }
}

// Of tasks that start alike, the first alone is drawn from.
TEST(DmControlParity, SpacesTimesAndStartsAreDmControls) {
  const TemporaryFolder folder;
  nlohmann::json facts;
  std::string before;
  for (const std::string& task : Tasks()) {
    const std::unique_ptr<Env> env = Make(task);
    const EnvSpec& spec = env->spec();
    facts[task] = {{"action_low", spec.action_low},
                   {"action_high", spec.action_high},
                   {"obs_dim", spec.obs_dim()},
                   {"dt", spec.dt},
                   {"time_limit", spec.time_limit}};
    const std::string start = task.starts_with("cartpole-swingup") || task.starts_with("finger-turn")
                                  ? task.substr(0, 11)
                                  : task.substr(0, task.find('-'));
    if (start == before) {
      continue;
    }
    before = start;
    std::vector<double> obs(spec.obs_low.size());
    RandomEngine rng = Rng(31).Engine();
    std::ofstream file(folder.path() / (task + ".csv"));
    file.precision(17);
    // The starts of these cost many simulation steps.
    const int count = start == "quadruped" ? 150 : start == "cheetah" || start == "humanoid" ? 300 : 1500;
    for (int i = 0; i < count; ++i) {
      env->Reset(rng, obs);
      std::string comma;
      for (const double x : env->mujoco()->State()) {
        file << std::exchange(comma, ",") << x;
      }
      file << "\n";
    }
  }
  std::ofstream(folder.path() / "facts.json") << facts.dump();
  const int status = RunPython("env/dm_control/dm_control_oracle.py", folder.path(), "facts . > out.txt 2>&1");
  std::stringstream out;
  out << std::ifstream(folder.path() / "out.txt").rdbuf();
  EXPECT_EQ(status, 0) << out.str();
}

}  // namespace
}  // namespace reverie
