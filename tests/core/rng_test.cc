#include "reverie/core/rng.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "reverie/core/state.h"

namespace reverie {
namespace {

TEST(Rng, AStreamDependsOnItsNameAndParentAlone) {
  const Rng root(7);
  const uint64_t before = root.Split("model").Split("bootstrap").seed();
  root.Split("another consumer");
  EXPECT_EQ(root.Split("model").Split("bootstrap").seed(), before);
  EXPECT_NE(root.Split("bootstrap").Split("model").seed(), before);
  EXPECT_NE(Rng(8).Split("model").Split("bootstrap").seed(), before);
}

TEST(Rng, IndexedStreamsDoNotCollide) {
  std::set<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (uint64_t index = 0; index < 100; ++index) {
      seeds.insert(Rng(seed).Split(index).seed());
    }
  }
  EXPECT_EQ(seeds.size(), 10'000U);
}

TEST(Rng, EnginesOfEqualStreamsAgreeAndOfOthersDoNot) {
  RandomEngine a = Rng(1).Split("x").Engine();
  RandomEngine b = Rng(1).Split("x").Engine();
  RandomEngine c = Rng(1).Split("y").Engine();
  EXPECT_EQ(a(), b());
  EXPECT_NE(a(), c());
}

// The standard library's engine is the witness.
TEST(Rng, GeneratorsOfTensorsTakeAllBitsOfAStreamsSeed) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, (uint64_t{1} << 32) + 1, ~uint64_t{0}}) {
    torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
    EXPECT_EQ(generator.current_seed(), seed);
    std::seed_seq words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    std::mt19937 engine(words);
    for (int i = 0; i < 2000; ++i) {  // three times its state
      ASSERT_EQ(generator.get<at::CPUGeneratorImpl>()->random(), engine()) << seed << ", draw " << i;
    }
  }
  torch::Generator one = MakeGenerator(Rng(5), torch::kCPU);
  torch::Generator other = MakeGenerator(Rng(5 + (uint64_t{1} << 32)), torch::kCPU);
  EXPECT_FALSE(torch::randn({8}, one).equal(torch::randn({8}, other)));
}

TEST(Rng, AGeneratorsStateIsTakenUpWhereItWas) {
  torch::Generator one = MakeGenerator(Rng(uint64_t{7} << 40), torch::kCPU);
  torch::randn({3}, one);
  torch::Generator other = MakeGenerator(Rng(0), torch::kCPU);
  other.set_state(one.get_state());
  EXPECT_TRUE(torch::randn({700}, one).equal(torch::randn({700}, other)));
}

}  // namespace
}  // namespace reverie
