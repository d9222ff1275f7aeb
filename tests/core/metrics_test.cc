#include "reverie/core/metrics.h"

#include <gtest/gtest.h>

namespace reverie {
namespace {

std::vector<std::string> Names(const Metrics& metrics) {
  std::vector<std::string> names;
  for (const auto& [name, value] : metrics) {
    names.push_back(name);
  }
  return names;
}

TEST(Metrics, KeepTheOrderOfTheirFirstSetting) {
  Metrics metrics;
  metrics.Set("b", 1);
  metrics.Set("a", 2);
  metrics.Set("b", 3);
  EXPECT_EQ(Names(metrics), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(metrics.Find("b"), 3);
  EXPECT_EQ(metrics.Find("c"), std::nullopt);
}

TEST(Metrics, MergeNamesByPrefixAndWithoutOneKeepsTheName) {
  Metrics part;
  part.Set("loss", 1);
  Metrics metrics;
  metrics.Set("loss", 0);
  metrics.Merge("sac", part);
  metrics.Merge("", part);
  EXPECT_EQ(Names(metrics), (std::vector<std::string>{"loss", "sac/loss"}));
  EXPECT_EQ(metrics.Find("loss"), 1);
}

}  // namespace
}  // namespace reverie
