#include "reverie/data/snapshot_buffer.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

namespace reverie {
namespace {

// Adds snapshots (n, -n) for n in [begin, end).
void AddNumbers(SnapshotBuffer& buffer, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    const auto x = static_cast<double>(n) + 1e-12;  // beyond float32
    buffer.Add(std::array<double, 2>{x, -x});
  }
}

std::vector<double> FirstNumbers(const SnapshotBuffer& buffer) {
  const torch::Tensor column = buffer.At(torch::arange(buffer.size())).select(1, 0).contiguous();
  return {column.data_ptr<double>(), column.data_ptr<double>() + column.numel()};
}

std::vector<double> Exactly(std::vector<double> numbers) {
  for (double& number : numbers) {
    number += 1e-12;
  }
  return numbers;
}

TEST(SnapshotBuffer, ANewOneTakesThePlaceOfTheOldest) {
  SnapshotBuffer buffer(4);
  AddNumbers(buffer, 0, 3);
  EXPECT_EQ(FirstNumbers(buffer), Exactly({0, 1, 2}));
  AddNumbers(buffer, 3, 6);
  EXPECT_EQ(buffer.size(), 4);
  EXPECT_EQ(FirstNumbers(buffer), Exactly({4, 5, 2, 3}));
  EXPECT_EQ(buffer.At(torch::tensor({1, 1, 3}, torch::kInt64)).select(1, 1)[2].item<double>(), -3 - 1e-12);
  EXPECT_THROW(buffer.Add(std::array<double, 3>{}), std::logic_error);
}

TEST(SnapshotBuffer, ARestoredOneHasEveryPlaceAsItWas) {
  for (const int64_t added : {0, 3, 4, 6, 11}) {
    SnapshotBuffer buffer(4);
    AddNumbers(buffer, 0, added);
    StateTree tree = SaveState(buffer);
    SnapshotBuffer restored(4);
    LoadState(tree, restored);
    AddNumbers(buffer, added, added + 2);
    AddNumbers(restored, added, added + 2);
    EXPECT_EQ(FirstNumbers(restored), FirstNumbers(buffer)) << added;
  }
}

TEST(SnapshotBuffer, AnotherCapacityIsRefused) {
  SnapshotBuffer buffer(4);
  AddNumbers(buffer, 0, 6);
  StateTree tree = SaveState(buffer);
  SnapshotBuffer larger(9);
  EXPECT_THROW(LoadState(tree, larger), std::runtime_error);
}

TEST(SnapshotBuffer, OneThatIsLentIsNotOverwrittenBeforeItIsReturned) {
  SnapshotBuffer buffer(4);
  AddNumbers(buffer, 0, 4);
  StateTree tree = SaveState(buffer);
  RowLoan loan = tree.rows().at("rows").lend(0);
  std::atomic<bool> added = false;
  std::thread adding([&] {
    AddNumbers(buffer, 4, 5);
    added = true;
  });
  EXPECT_EQ(loan.Read(0, 4).select(1, 0)[0].item<double>(), 1e-12);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(added);
  loan.Return(1);
  adding.join();
  EXPECT_EQ(loan.Read(1, 4).select(1, 0)[0].item<double>(), 1 + 1e-12);
}

}  // namespace
}  // namespace reverie
