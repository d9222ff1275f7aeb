// What is made of a run that was trained on another kind of device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "oracle.h"
#include "reverie/apps/program.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/run_directory.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kCommon =
    "total_steps: 300\nexploration_steps: 200\nthreads: 1\ndevice: cpu\neval: {every_steps: 300, episodes: 1}\n"
    "checkpoint: {every_steps: 100}\n";
constexpr const char* kModel =
    "model: {members: 2, elites: 2, hidden: [8], weight_decay: [0, 0], retrain_every: 50, max_epochs: 2}\n";

class OtherDevice : public testing::TestWithParam<std::string> {
 protected:
  int Program(std::vector<std::string> words) const {
    words.insert(words.begin(), "reverie");
    std::vector<char*> arguments;
    arguments.reserve(words.size());
    for (std::string& word : words) {
      arguments.push_back(word.data());
    }
    return RunProgram(static_cast<int>(arguments.size()), arguments.data());
  }
  std::string Log() const {
    std::ifstream log(run_ / "log.txt");
    return {std::istreambuf_iterator<char>(log), std::istreambuf_iterator<char>()};
  }
  static fs::path Newest(const fs::path& run) { return CheckpointFolder::Newest(run / "checkpoints").value(); }
  // Gives every random stream the 16 bytes that a GPU's has; how many there are.
  int64_t AsOfAGpu() const {
    TensorFile file = ReadTensorFile(Newest(run_));
    int64_t streams = 0;
    for (auto& [name, tensor] : file.tensors) {
      if (name.ends_with("generator")) {
        tensor = torch::tensor({7, 4}, torch::kInt64).view(torch::kByte);
        ++streams;
      }
    }
    WriteTensorFile(Newest(run_), file);
    return streams;
  }

  TemporaryFolder folder_;
  const fs::path run_ = folder_.path() / "run";
};

TEST_P(OtherDevice, IsEvaluatedAndExportedAsItIsAndGoneOnWithByNewStreams) {
  const std::string config = (folder_.path() / "c.yaml").string();
  std::ofstream(config) << GetParam() << kCommon;
  ASSERT_EQ(Program({"train", config, "--run-dir", run_.string()}), 0);
  const auto evaluation = [&] {
    testing::internal::CaptureStdout();
    EXPECT_EQ(Program({"eval", run_.string(), "--episodes", "1", "--json"}), 0);
    return testing::internal::GetCapturedStdout();
  };
  const std::string before = evaluation();
  const int64_t streams = AsOfAGpu();
  EXPECT_GE(streams, 2);
  EXPECT_EQ(evaluation(), before);
  EXPECT_EQ(Program({"export", run_.string(), "--out", (folder_.path() / "p.pt").string()}), 0);

  const fs::path again = folder_.path() / "again";
  fs::copy(run_, again, fs::copy_options::recursive);
  for (const fs::path& run : {again, run_}) {
    EXPECT_EQ(Program({"train", "--resume", run.string(), "--set", "total_steps=400"}), 0);
  }
  const auto tensors = ReadTensorFile(Newest(run_)).tensors;
  for (const auto& [name, tensor] : ReadTensorFile(Newest(again)).tensors) {
    EXPECT_TRUE(name == "wall_s" || name == "logged_s" || torch::equal(tensor, tensors.at(name))) << name;
  }
  EXPECT_THAT(Log(), HasSubstr("warning: the checkpoint was written on another kind of device than cpu: " +
                               std::to_string(streams) + " random streams begin anew from the seed and the step"));
  const RunRecord record = RunDirectory::Open(run_).record();
  EXPECT_EQ(record.status, RunStatus::kFinished);
  EXPECT_EQ(record.env_steps, 400);
}

INSTANTIATE_TEST_SUITE_P(
    Algorithms, OtherDevice,
    testing::Values("algorithm: sac\nenv: {id: Pendulum-v1}\nsac: {hidden: [8], batch_size: 16}\n",
                    std::string("algorithm: mbpo\nenv: {id: Pendulum-v1}\nupdates_per_step: 1\nepoch_length: 50\n"
                                "rollout: {start_states: 20, length: 1}\nsac: {hidden: [8], batch_size: 16}\n") +
                        kModel,
                    std::string("algorithm: pets\nenv: {id: CartPoleSwingUp-v0}\npropagation: {particles: 2}\n"
                                "planner: {kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: "
                                "2}}\n") +
                        kModel));

}  // namespace
}  // namespace reverie
