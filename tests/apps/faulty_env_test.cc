// What a run makes of an environment whose step fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "oracle.h"
#include "reverie/apps/program.h"
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
    void Visit(Fields& fields) {
      fields("fault", fault, "a number that is none, or what LibTorch throws where a GPU has no memory left");
    }
  };
  FaultyEnv(const std::string& id, const Options& options) : options_(options) {
    spec_ = {.id = id, .obs_low = {-1}, .obs_high = {1}, .action_low = {-1}, .action_high = {1}, .time_limit = 50};
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

TEST(FaultyEnv, EndsTheRunWithAWordAndTheCheckpointBefore) {
  EnvRegistry envs;
  envs.Add<FaultyEnv>("Faulty-v0", "gives a number that is none");
  const std::string no_number = "Faulty-v0: the observation or reward of step 33 is not finite";
  for (const auto& [fault, says] : std::vector<std::pair<std::string, std::string>>{
           {"reward", no_number},
           {"obs", no_number},
           {"memory",
            "there is not enough memory (CUDA out of memory); lower the batch sizes, the widths in hidden, "}}) {
    const TemporaryFolder folder;
    const std::filesystem::path run = folder.path() / "run";
    const std::string config = (folder.path() / "c.yaml").string();
    std::ofstream(config) << "algorithm: sac\ntotal_steps: 500\nexploration_steps: 400\nthreads: 1\ndevice: cpu\n"
                          << "env: {id: Faulty-v0, options: {fault: " << fault << "}}\nsac: {hidden: [8]}\n"
                          << "eval: {episodes: 1}\ncheckpoint: {every_steps: 100}\n";
    std::vector<std::string> words{"reverie", "train", config, "--run-dir", run.string()};
    std::vector<char*> arguments;
    arguments.reserve(words.size());
    for (std::string& word : words) {
      arguments.push_back(word.data());
    }
    EXPECT_EQ(RunProgram(static_cast<int>(arguments.size()), arguments.data(), envs), 1);
    const RunRecord record = RunDirectory::Open(run).record();
    EXPECT_EQ(record.status, RunStatus::kFailed);
    EXPECT_THAT(record.reason, StartsWith("after env step 332: " + says));
    EXPECT_EQ(CheckpointFolder::Newest(run / "checkpoints")->filename(), "step-000000300.safetensors");
  }
}

}  // namespace
}  // namespace reverie
