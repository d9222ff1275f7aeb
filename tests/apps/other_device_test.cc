// What is made of a run that was trained on another kind of device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "oracle.h"
#include "reverie/algorithms/registry.h"
#include "reverie/apps/program.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/run_directory.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kCommon =
    "total_steps: 300\nthreads: 1\ndevice: cpu\neval: {every_steps: 300, episodes: 1}\n"
    "checkpoint: {every_steps: 100}\n";
constexpr const char* kExploration = "exploration_steps: 200\n";
constexpr const char* kModel =
    "model: {members: 2, elites: 2, hidden: [8], weight_decay: [0, 0], retrain_every: 50, max_epochs: 2}\n";

struct Trained {
  std::string algorithm;
  std::string yaml;
  bool exports = true;
};

class OtherDevice : public testing::TestWithParam<Trained> {
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
  std::ofstream(config) << "algorithm: " << GetParam().algorithm << "\n" << GetParam().yaml << kCommon;
  ASSERT_EQ(Program({"train", config, "--run-dir", run_.string()}), 0);
  const auto evaluation = [&] {
    testing::internal::CaptureStdout();
    EXPECT_EQ(Program({"eval", run_.string(), "--episodes", "1", "--json"}), 0);
    return testing::internal::GetCapturedStdout();
  };
  const std::string before = evaluation();
  const int64_t streams = AsOfAGpu();
  EXPECT_GE(streams, 1);
  EXPECT_EQ(evaluation(), before);
  EXPECT_EQ(Program({"export", run_.string(), "--out", (folder_.path() / "p.pt").string()}),
            GetParam().exports ? 0 : 2);

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

std::vector<Trained> EachAlgorithm() {
  const std::string sac = "sac: {hidden: [8], batch_size: 16}\n";
  const std::string pendulum = "env: {id: Pendulum-v1}\n";
  const std::string explores = kExploration;
  return {
      {"sac", pendulum + sac + explores},
      {"mbpo", pendulum + sac + kModel + explores +
                   "updates_per_step: 1\nepoch_length: 50\nrollout: {start_states: 20, length: 1}\n"},
      {"dhmbpo", pendulum + explores +
                     "first_iteration: 2\n"
                     "model: {members: 2, hidden: [8], weight_decay: [0, 0], dropout: [0.1, 0], batch_size: 16, "
                     "patience: 1, first_fit: 1, retrain_every: 50}\n"
                     "rollout: {start_states: 8, length: 2}\n"
                     "learner: {hidden: [8], horizon: 2, batch_size: 8, critics: {members: 2, hidden: [8]}}\n"},
      {"svg",
       pendulum + kModel + explores + "learner: {hidden: [8], horizon: 2, batch_size: 8, critics: {hidden: [8]}}\n"},
      {"pets", std::string("env: {id: CartPoleSwingUp-v0, max_episode_steps: 50}\npropagation: {particles: 2}\n") +
                   kModel + explores +
                   "planner: {kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}\n"},
      {"ilqr",
       std::string("env: {id: CartPoleSwingUp-v0, max_episode_steps: 50}\n") + kModel + explores +
           "ilqr: {horizon: 3, starts: 1, grow_by: 0, first_iterations: 3, iterations: 1}\n",
       /*exports=*/false},
      {"local_models", "env: {id: LinearQuadratic-v0, max_episode_steps: 20}\nrollouts: 5\n"},
      {"gps",
       "env: {id: LinearQuadratic-v0, max_episode_steps: 20, start_draws: 2}\nrollouts: 3\n"
       "learner: {hidden: [8], updates: 5}\n"},
      {"constrained_control",
       "env: {id: LinearQuadratic-v0, max_episode_steps: 20, start_draws: 2}\n"
       "ilqr: {starts: 1, grow_by: 10, iterations: 2}\nlearner: {hidden: [8], updates: 5}\n"},
      {"dagger",
       "env: {id: Pendulum-v1, max_episode_steps: 50}\nbeta: 0.5\nlearner: {hidden: [8], updates: 5}\n"
       "expert: {kind: value_iteration, options: {low: [-3.1416, -8], high: [3.1416, 8], points: [15, 15], "
       "periodic: [0], actions: 5}}\n"},
      {"plato",
       "env: {id: InvertedDoublePendulum-v5, observe: {columns: [0, 1, 2], frames: 2, differences: true}}\n"
       "expert: {kind: lqr, options: {state_weights: [1, 10, 10, 0.1, 0.1, 0.1], action_weights: [0.1]}}\n"
       "lessons: {episodes: 2, episode_steps: 40}\nlearner: {hidden: [8], updates: 5}\n"},
  };
}

TEST(OtherDevices, EachAlgorithmIsTried) {
  std::vector<std::string> tried, known;
  for (const Trained& one : EachAlgorithm()) {
    tried.push_back(one.algorithm);
  }
  for (const AlgorithmEntry& entry : Algorithms()) {
    known.push_back(entry.name);
  }
  EXPECT_THAT(tried, testing::UnorderedElementsAreArray(known));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, OtherDevice, testing::ValuesIn(EachAlgorithm()),
                         [](const auto& one) { return one.param.algorithm; });

}  // namespace
}  // namespace reverie
