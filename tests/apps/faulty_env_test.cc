// What a run makes of an environment whose step fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "oracle.h"
#include "reverie/apps/program.h"
#include "reverie/env/registry.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/run_directory.h"

namespace reverie {
namespace {

using testing::StartsWith;

// What its 333rd step does.
enum class Fault { kReward, kObs, kMemory };
std::vector<std::pair<std::string, Fault>> EnumNames(Fault) {
  return {{"reward", Fault::kReward}, {"obs", Fault::kObs}, {"memory", Fault::kMemory}};
}

class FaultyEnv final : public Env {
 public:
  struct Options {
    Fault fault = Fault::kReward;
    std::vector<double> obs_low{-1}, action_low{-1}, action_high{1};
    int64_t time_limit = 50;
    void Visit(Fields& fields) {
      fields("fault", fault, "a number that is none, or what LibTorch throws where a GPU has no memory left");
      fields("obs_low", obs_low, "lower bounds of the observation");
      fields("action_low", action_low, "lower bounds of the action");
      fields("action_high", action_high, "upper bounds of the action");
      fields("time_limit", time_limit, "steps");
    }
  };
  FaultyEnv(const std::string& id, const Options& options) : options_(options) {
    spec_ = {.id = id,
             .obs_low = options.obs_low,
             .obs_high = {1},
             .action_low = options.action_low,
             .action_high = options.action_high,
             .time_limit = options.time_limit};
  }
  const EnvSpec& spec() const override { return spec_; }
  static TaskFunctions MakeTaskFunctions(const Options&) { return {}; }

 private:
  void DoReset(RandomEngine&, std::span<double> obs) override { obs[0] = 0; }
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    const bool now = ++steps_ == 333;
    TORCH_CHECK_WITH(OutOfMemoryError, !now || options_.fault != Fault::kMemory, "CUDA out of memory");
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    obs[0] = now && options_.fault == Fault::kObs ? kNone : 0;
    return {.reward = now && options_.fault == Fault::kReward ? kNone : action[0]};
  }
  void DoSetState(std::span<const double>, std::span<double> obs) override { obs[0] = 0; }
  std::vector<double> DoSnapshot() const override { return {static_cast<double>(steps_)}; }
  void DoRestore(std::span<const double> snapshot) override { steps_ = static_cast<int64_t>(snapshot[0]); }

  Options options_;
  EnvSpec spec_;
  int64_t steps_ = 0;
};

// The exit code of a run in `folder`/run with these options of the environment.
int TrainWith(const std::string& options, const std::filesystem::path& folder) {
  EnvRegistry envs;
  envs.Add<FaultyEnv>("Faulty-v0", "gives a number that is none");
  const std::string config = (folder / "c.yaml").string();
  std::ofstream(config) << "algorithm: sac\ntotal_steps: 500\nexploration_steps: 400\nthreads: 1\ndevice: cpu\n"
                        << "env: {id: Faulty-v0, options: {" << options << "}}\nsac: {hidden: [8]}\n"
                        << "eval: {episodes: 1}\ncheckpoint: {every_steps: 100}\n";
  std::vector<std::string> words{"reverie", "train", config, "--run-dir", (folder / "run").string()};
  std::vector<char*> arguments;
  arguments.reserve(words.size());
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  return RunProgram(static_cast<int>(arguments.size()), arguments.data(), envs);
}

TEST(FaultyEnv, BoundsThatNothingCanBeLearnedWithAreBadInput) {
  const std::string bounds = "error: Faulty-v0: the bounds of number 0 of the action are ";
  const std::string expected = "; expected finite ones in float32, the first below the second\n";
  const std::string counts = " upper bounds; expected as many of both, at least 1\n";
  for (const auto& [options, says] : std::vector<std::pair<std::string, std::string>>{
           {"action_high: [.inf]", bounds + "-1 and inf" + expected},
           {"action_low: [-.inf]", bounds + "-inf and 1" + expected},
           {"action_low: [-1e39]", bounds + "-1e+39 and 1" + expected},
           {"action_low: [-3e38], action_high: [3e38]", bounds + "-3e+38 and 3e+38" + expected},
           {"action_low: [1]", bounds + "1 and 1" + expected},
           {"action_low: [2]", bounds + "2 and 1" + expected},
           {"action_low: [], action_high: []", "error: Faulty-v0: the action has 0 lower and 0" + counts},
           {"action_low: [-1, -1]", "error: Faulty-v0: the action has 2 lower and 1" + counts},
           {"obs_low: []", "error: Faulty-v0: the observation has 0 lower and 1" + counts},
           {"time_limit: -1", "error: Faulty-v0: a time limit of -1 steps; expected at least 1, or 0 for none\n"}}) {
    const TemporaryFolder folder;
    testing::internal::CaptureStderr();
    EXPECT_EQ(TrainWith(options, folder.path()), 2);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), says);
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "run"));
  }
}

TEST(FaultyEnv, EndsTheRunWithAWordAndTheCheckpointBefore) {
  const std::string no_number = "Faulty-v0: the observation or reward of step 33 is not finite";
  for (const auto& [fault, says] : std::vector<std::pair<std::string, std::string>>{
           {"reward", no_number},
           {"obs", no_number},
           {"memory",
            "there is not enough memory (CUDA out of memory); lower the batch sizes, the widths in hidden, "}}) {
    const TemporaryFolder folder;
    const std::filesystem::path run = folder.path() / "run";
    EXPECT_EQ(TrainWith("fault: " + fault, folder.path()), 1);
    const RunRecord record = RunDirectory::Open(run).record();
    EXPECT_EQ(record.status, RunStatus::kFailed);
    EXPECT_THAT(record.reason, StartsWith("after env step 332: " + says));
    EXPECT_EQ(CheckpointFolder::Newest(run / "checkpoints")->filename(), "step-000000300.safetensors");
  }
}

}  // namespace
}  // namespace reverie
