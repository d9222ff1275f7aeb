#include "reverie/models/imagine.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace reverie {
namespace {

// s' = 2 s + a with a = s / 2, reward s', ends from 40 on: from 1 and 3 the states are those times 2.5^t.
Imagined Doubling(const torch::Tensor& start, int64_t horizon) {
  return Imagine(
      start, horizon, [](const torch::Tensor& obs, int64_t) { return obs / 2; },
      [](const torch::Tensor& obs, const torch::Tensor& action, int64_t) -> ImaginedTransition {
        const torch::Tensor next = 2 * obs + action;
        return {.next_obs = next,
                .reward = next.select(1, 0),
                .ended = next.select(1, 0) >= 40,
                .finite = torch::isfinite(next.select(1, 0))};
      });
}

TEST(Imagine, ChainsStepsAndSaysWhatIsAlive) {
  const Imagined imagined = Doubling(torch::tensor({{1.0}, {3.0}}), 4);
  EXPECT_TRUE(torch::allclose(torch::cat(imagined.obs, 1),
                              torch::tensor({{1.0, 2.5, 6.25, 15.625, 39.0625}, {3.0, 7.5, 18.75, 46.875, 117.1875}})));
  EXPECT_TRUE(
      torch::allclose(torch::stack(imagined.reward, 1).slice(0, 0, 1), torch::tensor({{2.5, 6.25, 15.625, 39.0625}})));
  EXPECT_EQ(imagined.action.size(), 4);
  EXPECT_TRUE(torch::equal(imagined.Alive().t(),
                           torch::tensor({{true, true, true, true, true}, {true, true, true, false, false}})));
}

TEST(Imagine, IsDifferentiableThroughAllSteps) {
  const torch::Tensor start = torch::tensor({{1.0}, {3.0}}).requires_grad_();
  const torch::Tensor gradient = torch::autograd::grad({Doubling(start, 3).obs.back().sum()}, {start})[0];
  EXPECT_TRUE(torch::allclose(gradient, torch::full({2, 1}, 2.5 * 2.5 * 2.5)));
}

TEST(Imagine, OfNoStepsIsTheStart) {
  const torch::Tensor start = torch::ones({2, 1});
  const Imagined imagined = Doubling(start, 0);
  EXPECT_EQ(imagined.obs.size(), 1);
  EXPECT_TRUE(imagined.reward.empty());
  EXPECT_TRUE(torch::equal(imagined.Alive(), torch::tensor({{true, true}})));
}

}  // namespace
}  // namespace reverie
