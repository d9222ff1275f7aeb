#include "reverie/core/rng.h"

#include <gtest/gtest.h>

#include <set>

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

}  // namespace
}  // namespace reverie
