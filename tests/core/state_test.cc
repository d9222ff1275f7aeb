#include "reverie/core/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <stdexcept>

namespace reverie {
namespace {

using testing::ThrowsMessage;

// A generator whose state is like a GPU's: 16 bytes, of a seed and how far its stream has come.
class CountingGenerator final : public c10::GeneratorImpl {
 public:
  CountingGenerator() : GeneratorImpl(torch::kCPU, c10::DispatchKeySet(c10::DispatchKey::CPU)) {}

  void set_current_seed(uint64_t seed) override { place_ = {static_cast<int64_t>(seed), 0}; }
  void set_offset(uint64_t offset) override { place_[1] = static_cast<int64_t>(offset); }
  uint64_t get_offset() const override { return static_cast<uint64_t>(place_[1]); }
  uint64_t current_seed() const override { return static_cast<uint64_t>(place_[0]); }
  uint64_t seed() override { return current_seed(); }
  void set_state(const c10::TensorImpl& state) override {
    TORCH_CHECK(state.numel() == 16, "RNG state is wrong size");
    std::memcpy(place_.data(), state.data(), 16);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    torch::Tensor state = torch::empty({16}, torch::kByte);
    std::memcpy(state.data_ptr(), place_.data(), 16);
    return state.getIntrusivePtr();
  }

 private:
  GeneratorImpl* clone_impl() const override {
    auto* clone = new CountingGenerator;
    clone->place_ = place_;
    return clone;
  }

  std::array<int64_t, 2> place_{};
};

// What has two streams, a buffer's rows and one parameter.
struct Learner {
  torch::Generator noise, shuffle;
  RandomEngine engine;
  StoredRows rows;
  torch::Tensor weight = torch::zeros({2});

  void VisitState(StateVisitor& state) {
    state("noise", noise);
    state("shuffle", shuffle);
    state("engine", engine);
    state("rows", rows);
    state("weight", weight);
  }
};

Learner OnCpu(uint64_t seed) {
  return {.noise = MakeGenerator(Rng(seed).Split("noise"), torch::kCPU),
          .shuffle = MakeGenerator(Rng(seed).Split("shuffle"), torch::kCPU)};
}
Learner Elsewhere(uint64_t seed) {
  Learner learner{.noise = at::make_generator<CountingGenerator>(), .shuffle = at::make_generator<CountingGenerator>()};
  learner.noise.set_current_seed(seed);
  learner.shuffle.set_current_seed(seed + 1);
  return learner;
}

// A saved one whose weight is 3.
StateTree Saved(Learner learner) {
  learner.weight.fill_(3);
  return SaveState(learner);
}

void Load(StateTree& tree, Learner& learner, NewStreams* new_streams = nullptr) {
  StateVisitor visitor = StateVisitor::Loading(tree, new_streams);
  learner.VisitState(visitor);
}

std::vector<float> Draws(const torch::Generator& generator) {
  const torch::Tensor draws = torch::rand({4}, generator);
  return {draws.data_ptr<float>(), draws.data_ptr<float>() + 4};
}

TEST(StateOfStreams, IsTakenUpOnTheSameKindOfDevice) {
  Learner before = OnCpu(1);
  Draws(before.noise);
  StateTree tree = Saved(before);
  Learner after = OnCpu(2);
  NewStreams new_streams{.rng = Rng(9)};
  Load(tree, after, &new_streams);
  EXPECT_EQ(new_streams.begun, 0);
  EXPECT_EQ(Draws(after.noise), Draws(before.noise));

  tree = Saved(Elsewhere(5));
  Learner elsewhere = Elsewhere(0);
  Load(tree, elsewhere, &new_streams);
  EXPECT_EQ(new_streams.begun, 0);
  EXPECT_EQ(elsewhere.shuffle.current_seed(), 6U);
}

TEST(StateOfStreams, OfAnotherKindOfDeviceBeginsAnewByItsPath) {
  StateTree tree = Saved(Elsewhere(5));
  const auto loaded = [&tree](uint64_t seed) {
    Learner learner = OnCpu(1);
    Draws(learner.noise);  // whatever was drawn before
    NewStreams new_streams{.rng = Rng(seed)};
    Load(tree, learner, &new_streams);
    EXPECT_EQ(new_streams.begun, 2);
    EXPECT_EQ(learner.weight[0].item<float>(), 3);
    return std::pair(Draws(learner.noise), Draws(learner.shuffle));
  };
  const auto [noise, shuffle] = loaded(9);
  EXPECT_NE(noise, shuffle);
  EXPECT_EQ(loaded(9), std::pair(noise, shuffle));
  EXPECT_NE(loaded(8).first, noise);
  torch::Generator by_all_of_the_seed = MakeGenerator(Rng(9).Split("noise"), torch::kCPU);
  EXPECT_EQ(Draws(by_all_of_the_seed), noise);

  tree = Saved(OnCpu(1));
  Learner elsewhere = Elsewhere(0);
  elsewhere.noise.set_offset(77);
  NewStreams new_streams{.rng = Rng(9)};
  Load(tree, elsewhere, &new_streams);
  EXPECT_EQ(new_streams.begun, 2);
  EXPECT_NE(elsewhere.noise.current_seed(), elsewhere.shuffle.current_seed());
  EXPECT_EQ(elsewhere.noise.get_offset(), 0U);
}

TEST(StateOfStreams, OfAnotherKindOfDeviceIsRefusedWhereNothingSaysWhereToBegin) {
  StateTree tree = Saved(Elsewhere(5));
  Learner learner = OnCpu(1);
  EXPECT_THAT([&] { Load(tree, learner); },
              ThrowsMessage<std::runtime_error>("the checkpoint's noise is a random stream of another kind of device"));
}

TEST(StateOfOlderVersions, IsTakenFromWhereItWas) {
  Learner before = OnCpu(1);
  struct House {
    Learner& learner;
    std::string name;
    void VisitState(StateVisitor& state) {
      state.Moved("cellar", "attic/room");
      state(name, learner);
    }
  };
  House older{before, "cellar"};
  StateTree tree = SaveState(older);
  Learner after = OnCpu(2);
  House today{after, "attic/room"};
  LoadState(tree, today);
  EXPECT_TRUE(torch::equal(after.weight, before.weight));
  EXPECT_EQ(after.engine, before.engine);
  EXPECT_EQ(Draws(after.noise), Draws(before.noise));
}

TEST(StateToAct, NeedsNeitherStreamsNorRowsAndLeavesThemAlone) {
  for (StateTree tree : {Saved(OnCpu(1)), Saved(Elsewhere(5))}) {
    TensorFile values = tree.values();
    values.tensors.erase("noise");
    values.texts.erase("engine");
    tree = StateTree(values, {});
    Learner learner = OnCpu(2);
    learner.rows.read = [](int64_t, int64_t) { return torch::Tensor(); };
    StateVisitor visitor = StateVisitor::LoadingToAct(tree);
    EXPECT_TRUE(visitor.loading());
    EXPECT_TRUE(visitor.to_act());
    learner.VisitState(visitor);
    EXPECT_EQ(learner.weight[1].item<float>(), 3);
    EXPECT_EQ(learner.engine, RandomEngine());
    EXPECT_FALSE(learner.rows.read);
    Learner untouched = OnCpu(2);
    EXPECT_EQ(Draws(learner.noise), Draws(untouched.noise));
    EXPECT_EQ(Draws(learner.shuffle), Draws(untouched.shuffle));
  }
}

}  // namespace
}  // namespace reverie
