#include "reverie/data/replay_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>

#include "oracle.h"
#include "reverie/core/memory.h"
#include "reverie/data/mixed_sampler.h"
#include "reverie/run/checkpoint_folder.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 2, .act_dim = 1};

// Rows whose first number counts from `first`.
TransitionBatch Rows(int64_t first, int64_t count) {
  TransitionBatch batch = TransitionBatch::Empty(kLayout, count, torch::kCPU);
  batch.rows.zero_();
  batch.obs().select(1, 0).copy_(torch::arange(first, first + count));
  return batch;
}

std::vector<float> FirstNumbers(const TransitionBatch& batch) {
  const torch::Tensor column = batch.obs().select(1, 0).contiguous();
  return {column.data_ptr<float>(), column.data_ptr<float>() + column.numel()};
}

TEST(TransitionBatch, ColumnsArePackedInOrderAndAliasTheRow) {
  TransitionBatch batch = TransitionBatch::Empty(kLayout, 1, torch::kCPU);
  batch.rows.copy_(torch::arange(9).view({1, 9}));
  EXPECT_TRUE(torch::equal(batch.obs(), torch::tensor({{0.F, 1.F}})));
  EXPECT_TRUE(torch::equal(batch.action(), torch::tensor({{2.F}})));
  EXPECT_TRUE(torch::equal(batch.obs_action(), torch::tensor({{0.F, 1.F, 2.F}})));
  EXPECT_TRUE(torch::equal(batch.next_obs(), torch::tensor({{3.F, 4.F}})));
  EXPECT_EQ(batch.reward().item<float>(), 5);
  EXPECT_EQ(batch.terminated().item<float>(), 6);
  EXPECT_EQ(batch.truncated().item<float>(), 7);
  EXPECT_EQ(batch.log_weight().item<float>(), 8);
  batch.reward().fill_(50);
  EXPECT_EQ(batch.rows[0][5].item<float>(), 50);
}

TEST(ReplayBuffer, OverwritesOldestWhenFull) {
  ReplayBuffer buffer(kLayout, 5, torch::kCPU);
  buffer.Add(Rows(0, 3));
  EXPECT_EQ(FirstNumbers(buffer.All()), (std::vector<float>{0, 1, 2}));
  buffer.Add(Rows(3, 4));
  EXPECT_EQ(buffer.size(), 5);
  EXPECT_EQ(buffer.total_added(), 7);
  EXPECT_EQ(FirstNumbers(buffer.All()), (std::vector<float>{2, 3, 4, 5, 6}));
  EXPECT_EQ(FirstNumbers(buffer.Newest(3)), (std::vector<float>{4, 5, 6}));
  buffer.Add(Rows(7, 12));
  EXPECT_EQ(FirstNumbers(buffer.All()), (std::vector<float>{14, 15, 16, 17, 18}));
}

TEST(ReplayBuffer, ChangingCapacityKeepsTheNewest) {
  ReplayBuffer buffer(kLayout, 4, torch::kCPU);
  buffer.Add(Rows(0, 6));
  buffer.SetCapacity(6);
  EXPECT_EQ(FirstNumbers(buffer.All()), (std::vector<float>{2, 3, 4, 5}));
  buffer.Add(Rows(6, 3));
  EXPECT_EQ(FirstNumbers(buffer.All()), (std::vector<float>{3, 4, 5, 6, 7, 8}));
  buffer.SetCapacity(2);
  EXPECT_EQ(FirstNumbers(buffer.All()), (std::vector<float>{7, 8}));
  EXPECT_EQ(buffer.total_added(), 9);
}

// Wherever the ring's end is, and whether or not the memory for it was foreseen.
TEST(ReplayBuffer, ChangingCapacityKeepsTheOrder) {
  for (const int64_t foreseen : {0, 11}) {
    for (int64_t added = 0; added < 20; ++added) {
      for (const int64_t capacity : {1, 3, 7, 8, 11}) {
        ReplayBuffer buffer(kLayout, 7, torch::kCPU, foreseen);
        for (int64_t i = 0; i < added; ++i) {
          buffer.Add(Rows(i, 1));
        }
        const int64_t kept = std::min({added, capacity, int64_t{7}});
        std::vector<float> expected(static_cast<size_t>(kept));
        std::iota(expected.begin(), expected.end(), static_cast<float>(added - kept));
        buffer.SetCapacity(capacity);
        ASSERT_EQ(FirstNumbers(buffer.All()), expected) << added << " rows, capacity " << capacity;
        buffer.Add(Rows(added, 1));
        expected.push_back(static_cast<float>(added));
        expected.erase(expected.begin(), expected.end() - std::min<int64_t>(capacity, kept + 1));
        ASSERT_EQ(FirstNumbers(buffer.All()), expected) << added << " rows, capacity " << capacity;
      }
    }
  }
}

// Most resident memory since the last call, in MiB.
double PeakMibSinceLastCall() {
  std::ifstream status("/proc/self/status");
  std::string word;
  double kib = 0;
  while (status >> word) {
    if (word == "VmHWM:") {
      status >> kib;
    }
  }
  std::ofstream("/proc/self/clear_refs") << 5;
  return kib / 1024;
}

// Grows a buffer with the rollout length, as a run does, and fills it.
int64_t GrowAndFill(const TransitionLayout& layout, int64_t rows_per_step, int64_t longest) {
  const int64_t chunk = 1000;
  const TransitionBatch batch{layout, torch::ones({chunk, layout.width()})};
  ReplayBuffer buffer(layout, rows_per_step, torch::kCPU, rows_per_step * longest);
  for (int64_t length = 1; length <= longest; length += 4) {
    buffer.SetCapacity(rows_per_step * length);
    for (int64_t rows = 0; rows < rows_per_step * (length + length / 3); rows += chunk) {
      buffer.Add(batch);
    }
  }
  return buffer.size();
}

// The model buffer of a published Humanoid run, a twentieth of its rows.
TEST(ReplayBuffer, GrowingTakesNoMoreMemoryThanTheRowsThemselves) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers have memory of their own";
#endif
  const TransitionLayout humanoid{.obs_dim = 45, .act_dim = 17};
  GrowAndFill(humanoid, 4000, 13);  // the program's own pages and threads are there before the measurement
  PeakMibSinceLastCall();
  const double before = ResidentMib();
  const int64_t size = GrowAndFill(humanoid, 25'000, 25);
  ASSERT_EQ(size, 25'000 * 25);
  const int64_t numbers = 2 * humanoid.obs_dim + humanoid.act_dim + 2;  // s, a, r, s', whether it ended
  const double raw = static_cast<double>(size * numbers) * sizeof(float) / (1024.0 * 1024.0);
  const double taken = PeakMibSinceLastCall() - before;
  EXPECT_GT(taken, raw);
  EXPECT_LT(taken, 1.05 * raw);
}

TEST(ReplayBuffer, SamplesUniformly) {
  ReplayBuffer buffer(kLayout, 8, torch::kCPU);
  buffer.Add(Rows(0, 10));  // holds 2 ... 9
  TransitionBatch drawn = TransitionBatch::Empty(kLayout, 80'000, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  buffer.SampleInto(drawn.rows, torch::empty({drawn.size()}, torch::kInt64), generator);
  const torch::Tensor counts = torch::bincount(drawn.obs().select(1, 0).to(torch::kInt64), {}, 10);
  EXPECT_EQ(counts[0].item<int64_t>() + counts[1].item<int64_t>(), 0);
  for (int64_t i = 2; i < 10; ++i) {
    EXPECT_NEAR(counts[i].item<double>(), 10'000, 500);  // five standard deviations
  }
}

TEST(ReplayBuffer, AnEmptyOneGivesNoBatch) {
  const ReplayBuffer buffer(kLayout, 8, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  EXPECT_THROW(buffer.SampleInto(torch::empty({1, kLayout.width()}), torch::empty({1}, torch::kInt64), generator),
               std::logic_error);
  EXPECT_THROW(ReplayBuffer(kLayout, 0, torch::kCPU), std::invalid_argument);
  EXPECT_THROW(ReplayBuffer(kLayout, 1, torch::kCPU, int64_t{1} << 55), std::runtime_error);
}

TEST(ReplayBuffer, ARestoredOneDrawsTheSameRowsAndGoesOnTheSame) {
  ReplayBuffer buffer(kLayout, 5, torch::kCPU);
  buffer.Add(Rows(0, 7));
  StateTree tree = SaveState(buffer);
  ReplayBuffer restored(kLayout, 3, torch::kCPU);
  LoadState(tree, restored);
  for (ReplayBuffer* b : {&buffer, &restored}) {
    b->Add(Rows(7, 1));
  }
  TransitionBatch drawn = TransitionBatch::Empty(kLayout, 50, torch::kCPU);
  TransitionBatch drawn_again = TransitionBatch::Empty(kLayout, 50, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  torch::Generator generator_again = MakeGenerator(Rng(0), torch::kCPU);
  buffer.SampleInto(drawn.rows, torch::empty({drawn.size()}, torch::kInt64), generator);
  restored.SampleInto(drawn_again.rows, torch::empty({drawn_again.size()}, torch::kInt64), generator_again);
  EXPECT_TRUE(torch::equal(drawn.rows, drawn_again.rows));
  EXPECT_EQ(FirstNumbers(restored.All()), (std::vector<float>{3, 4, 5, 6, 7}));
}

TEST(ReplayBuffer, ACheckpointHoldsTheRowsThereAreAndNoMore) {
  ReplayBuffer buffer(kLayout, 100'000, torch::kCPU, 1'000'000);
  buffer.Add(Rows(0, 10));
  StateTree tree = SaveState(buffer);
  const TemporaryFolder folder;
  CheckpointFolder checkpoints(folder.path(), 1);
  checkpoints.Save(tree, 1);
  checkpoints.Finish();
  uintmax_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    bytes += file.file_size();
  }
  EXPECT_LT(bytes, 10'000);
  Checkpoint saved = checkpoints.Resume();
  ReplayBuffer restored(kLayout, 1, torch::kCPU);
  LoadState(saved.state, restored);
  EXPECT_TRUE(torch::equal(restored.All().rows, buffer.All().rows));
}

TEST(ReplayBuffer, RowsThatAreLentAreNotOverwrittenBeforeTheyAreReturned) {
  for (const std::string change : {"add", "more than fits", "capacity", "clear"}) {
    ReplayBuffer buffer(kLayout, 6, torch::kCPU);
    buffer.Add(Rows(0, 8));
    StateTree tree = SaveState(buffer);
    const StoredRows& rows = tree.rows().at("rows");
    std::vector<float> read;
    std::thread borrower([&read, loan = rows.lend(2)]() mutable {
      for (int64_t number = 2; number < 8; ++number) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        read.push_back(loan.Read(number, 8)[0][0].item<float>());
        loan.Return(number + 1);
      }
    });
    if (change == "add") {
      for (int64_t i = 8; i < 14; ++i) {
        buffer.Add(Rows(i, 1));  // each over the oldest
      }
    } else if (change == "more than fits") {
      buffer.Add(Rows(8, 20));
    } else if (change == "capacity") {
      buffer.SetCapacity(3);
    } else {
      buffer.Clear();
      buffer.Add(Rows(8, 6));
    }
    borrower.join();
    EXPECT_EQ(read, (std::vector<float>{2, 3, 4, 5, 6, 7})) << change;
  }
}

TEST(ReplayBuffer, RowsThatAreLentDoNotKeepNewOnesFromTheirPlaces) {
  ReplayBuffer buffer(kLayout, 10, torch::kCPU);
  buffer.Add(Rows(0, 4));
  StateTree tree = SaveState(buffer);
  {
    const RowLoan loan = tree.rows().at("rows").lend(2);
    buffer.Add(Rows(4, 6));
    buffer.Add(Rows(10, 2));  // over rows that were not lent
    EXPECT_EQ(FirstNumbers({kLayout, loan.Read(2, 4)}), (std::vector<float>{2, 3}));
  }
  buffer.Add(Rows(12, 5));  // all are returned
  EXPECT_EQ(buffer.total_added(), 17);
}

TEST(MixedSampler, MixesInsideEachBatchAndScalesImaginedWeightsToMeanOne) {
  ReplayBuffer real(kLayout, 100, torch::kCPU);
  ReplayBuffer model(kLayout, 100, torch::kCPU);
  real.Add(Rows(0, 100));
  TransitionBatch batch = TransitionBatch::Empty(kLayout, 256, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  MixedSampler sampler(real, model, 0.05);
  sampler.SampleInto(batch, generator);  // nothing imagined yet
  EXPECT_LT(batch.obs().select(1, 0).max().item<float>(), 100);

  TransitionBatch imagined = Rows(1000, 100);
  imagined.log_weight().copy_(torch::linspace(-402, -400, 100));  // exp of these is 0 in float32
  model.Add(imagined);
  EXPECT_EQ(sampler.RealRows(256), 12);
  sampler.SampleInto(batch, generator);
  const torch::Tensor is_model = batch.obs().select(1, 0) >= 1000;
  EXPECT_EQ(is_model.sum().item<int64_t>(), 244);
  EXPECT_FALSE(is_model.narrow(0, 0, 12).any().item<bool>());
  const torch::Tensor weight = batch.log_weight().exp();
  EXPECT_NEAR(weight.narrow(0, 12, 244).mean().item<double>(), 1, 1e-4);
  EXPECT_GT(weight.narrow(0, 12, 244).std().item<double>(), 0.1);
  EXPECT_EQ(weight.narrow(0, 0, 12).min().item<float>(), 1);
  EXPECT_EQ(weight.narrow(0, 0, 12).max().item<float>(), 1);
}

}  // namespace
}  // namespace reverie
