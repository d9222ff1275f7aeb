// A checkpoint of a replay buffer of Humanoid-v5's rows: what it costs training, and the disk. An iteration is one that
// follows another 10,000 env steps later; its time is that of the training thread, the first one's until the first rows
// are overwritten.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "reverie/core/timer.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/run/checkpoint_folder.h"

namespace reverie {
namespace {

constexpr TransitionLayout kHumanoid{.obs_dim = 348, .act_dim = 17};
constexpr int64_t kBetween = 10'000;

void CheckpointOfRows(benchmark::State& state) {
  std::string name = (std::filesystem::temp_directory_path() / "reverie-bench-XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(name.data());
  ReplayBuffer buffer(kHumanoid, state.range(0), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kHumanoid, kBetween, torch::kCPU);
  rows.rows.fill_(0.5);
  while (buffer.size() < buffer.capacity()) {
    buffer.Add(rows);
  }
  const auto save = [&](CheckpointFolder& checkpoints, int64_t env_steps) {
    StateTree tree = SaveState(buffer);
    checkpoints.Save(tree, env_steps);
  };
  {
    CheckpointFolder checkpoints(folder, 2);
    const Stopwatch first;
    save(checkpoints, 0);
    buffer.Add(rows);  // waits until what it overwrites is written
    state.counters["first_s"] = first.Seconds();
    checkpoints.Finish();
    state.counters["first_written_s"] = first.Seconds();
    Stopwatch written;
    int64_t env_steps = 0;
    double written_s = 0;
    for (auto _ : state) {
      buffer.Add(rows);
      written.Restart();
      save(checkpoints, env_steps += kBetween);
      state.SetIterationTime(written.Seconds());
      checkpoints.Finish();
      written_s += written.Seconds();
    }
    state.counters["written_s"] = written_s / static_cast<double>(state.iterations());
    uintmax_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      bytes += file.file_size();
    }
    state.counters["disk_by_buffer"] = static_cast<double>(bytes) / static_cast<double>(buffer.storage().nbytes());
    const Stopwatch reading;
    CheckpointFolder reader(folder, 2);
    Checkpoint checkpoint = reader.Resume();
    LoadState(checkpoint.state, buffer);
    state.counters["read_s"] = reading.Seconds();
  }
  std::filesystem::remove_all(folder);
}
BENCHMARK(CheckpointOfRows)
    ->Name("checkpoint")
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace reverie
