// What the hot loops ask of LibTorch's allocators, counted in a process of its own.
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include "reverie/learners/sac_learner.h"
#include "reverie/models/gaussian_ensemble.h"

namespace reverie {
namespace {

// LibTorch's own allocator for the CPU, counted.
class CountingAllocator final : public c10::Allocator {
 public:
  CountingAllocator() : inner_(*c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, /*priority=*/100); }
  c10::DataPtr allocate(size_t bytes) override {
    ++count;
    return inner_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_.raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override { inner_.copy_data(to, from, bytes); }

  int64_t count = 0;

 private:
  c10::Allocator& inner_;
};

CountingAllocator& Counter() {
  static CountingAllocator counter;
  return counter;
}

const TransitionLayout kLayout{.obs_dim = 17, .act_dim = 6};

ReplayBuffer RandomBuffer(int64_t rows, bool weighted) {
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, torch::kCPU);
  batch.rows.normal_(0, 1, generator);
  batch.action().tanh_();
  batch.terminated().zero_();
  if (!weighted) {
    batch.log_weight().zero_();
  }
  ReplayBuffer buffer(kLayout, rows, torch::kCPU);
  buffer.Add(batch);
  return buffer;
}

TEST(Allocations, SacUpdatesNeedNoneOnceTheyAreUnderWay) {
  const ReplayBuffer real = RandomBuffer(500, false);
  const ReplayBuffer model = RandomBuffer(5000, true);
  MixedSampler sampler(real, model, 0.05);
  SacLearner learner({}, kLayout, Rng(2), torch::kCPU);
  const auto count = [&](int64_t updates) {
    const int64_t before = Counter().count;
    learner.Update(sampler, updates);
    return Counter().count - before;
  };
  ASSERT_GT(count(1), 0) << "the counter counts";
  EXPECT_EQ(count(10), count(30));
}

TEST(Allocations, AnEnsemblesMinibatchesNeedNoneOnceTheyAreUnderWay) {
  const GaussianEnsembleConfig config;
  GaussianEnsemble ensemble(config, {.layout = kLayout, .learn_reward = true}, Rng(2), torch::kCPU);
  const torch::Tensor inputs = torch::randn({config.members, config.batch_size, 23});
  const torch::Tensor targets = torch::randn({config.members, config.batch_size, 18});
  const auto count = [&](int64_t minibatches) {
    const torch::NoGradGuard no_grad;
    const int64_t before = Counter().count;
    for (int64_t i = 0; i < minibatches; ++i) {
      ensemble.ComputeGradients(inputs, targets);
      ensemble.ApplyGradients();
    }
    return Counter().count - before;
  };
  ASSERT_GT(count(1), 0) << "the counter counts";
  EXPECT_EQ(count(10), count(30));
}

}  // namespace
}  // namespace reverie

int main(int argc, char** argv) {
  reverie::Counter();
  at::set_num_threads(1);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
