// What a model imagines of every registered environment with its default options.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>

#include "reverie/env/registry.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"

namespace reverie {
namespace {

constexpr int64_t kSteps = 1000;
constexpr int64_t kHorizon = 25;
constexpr int64_t kCandidates = 6;

struct Target {
  std::string name;
  ModelTarget target;
  bool normalize;
};
const std::vector<Target> kTargets{{"delta", ModelTarget::kDelta, false},
                                   {"next_obs", ModelTarget::kNextObs, false},
                                   {"normalised next_obs", ModelTarget::kNextObs, true}};

// The pendulum's one episode is a rest, hanging, that shows a thousandth of its circle. In units of that a network of
// next observations in their own units is steep, and the spread of particles, fed back to it, grows without bound.
bool HasNoBounds(const std::string& env, const Target& target, Propagation kind) {
  return env == "dm_control/pendulum-swingup" && target.name == "next_obs" && kind == Propagation::kDs;
}

class EveryEnv : public testing::TestWithParam<std::string> {
 protected:
  EveryEnv()
      : maker_(BuiltinEnvs().Find(GetParam()).maker()),
        collector_(maker_.make(), Rng(1), torch::kCPU),
        buffer_(collector_.layout(), kSteps, torch::kCPU, 0, "kSteps") {
    UniformPolicy policy(collector_.spec().act_dim(), torch::kCPU);
    for (int64_t i = 0; i < kSteps; ++i) {
      collector_.Step(policy, &buffer_);
    }
    const TransitionBatch rows = buffer_.All();
    const torch::Tensor first = rows.obs()[0];
    constant_ = (rows.obs() == first).all(0).logical_and((rows.next_obs() == first).all(0));
    first_ = first;
  }

  std::unique_ptr<GaussianEnsemble> Fitted(ModelTarget target, bool normalize_targets, bool deterministic) {
    const GaussianEnsembleConfig config{.members = 3,
                                        .elites = 3,
                                        .hidden = {64, 64},
                                        .weight_decay = {0, 0, 0},
                                        .holdout = {.ratio = 0, .max_epochs = 5},
                                        .target = target,
                                        .normalize_targets = normalize_targets,
                                        .deterministic = deterministic};
    auto model = std::make_unique<GaussianEnsemble>(
        config, ModelSpec{.layout = collector_.layout(), .features = maker_.task_functions().features}, Rng(2),
        torch::kCPU);
    model->Fit(buffer_, Rng(3));
    return model;
  }

  EnvMaker maker_;
  Collector collector_;
  ReplayBuffer buffer_;
  torch::Tensor constant_, first_;  // [obs_dim]: whether the column has but one value, and a row that has it
};

// The reward is what the constant columns have moved, so that a return of exactly 0 says that none ever did.
TEST_P(EveryEnv, StaysFiniteForTwentyFiveImaginedStepsAndConstantsStay) {
  TaskFunctions task;
  task.reward = [this](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return (next_obs - first_).masked_fill(constant_.logical_not(), 0).abs().sum(1).neg();
  };
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  const torch::Tensor actions =
      torch::rand({kCandidates, kHorizon, collector_.spec().act_dim()}, generator, torch::kFloat32) * 2 - 1;
  for (const Target& target : kTargets) {
    for (const bool deterministic : {false, true}) {
      const std::unique_ptr<GaussianEnsemble> model = Fitted(target.target, target.normalize, deterministic);
      const ModelEnv model_env(*model, task, collector_.spec(), torch::kCPU);
      for (const auto& [name, kind] : EnumNames(Propagation{})) {
        for (const bool with_gradients : {false, true}) {
          const torch::AutoGradMode mode(with_gradients);
          if (HasNoBounds(GetParam(), target, kind)) {
            continue;
          }
          const ImaginedReturn imagined(model_env, {.kind = kind, .particles = kind == Propagation::kE ? 1 : 3}, {});
          const torch::Tensor score = imagined.Score(buffer_.All().obs()[kSteps / 2], actions, generator).detach();
          EXPECT_TRUE(torch::equal(score, torch::zeros({kCandidates})))
              << name << ", " << target.name << (deterministic ? ", deterministic" : ", probabilistic")
              << (with_gradients ? ", gradients" : "") << "\n"
              << score;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryEnv, testing::ValuesIn(BuiltinEnvs().Ids()), [](const auto& one) {
  std::string name = one.param;
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name;
});

// That there is something to hold: goals, and contact forces or masses of what is fixed to the world.
TEST(EveryEnvs, SomeHaveColumnsThatDoNotVary) {
  for (const auto& [id, least] : std::map<std::string, int64_t>{{"Pusher-v5", 3}, {"Humanoid-v5", 10}, {"Ant-v5", 3}}) {
    const EnvMaker maker = BuiltinEnvs().Find(id).maker();
    Collector collector(maker.make(), Rng(1), torch::kCPU);
    ReplayBuffer buffer(collector.layout(), 100, torch::kCPU, 0, "rows");
    UniformPolicy policy(collector.spec().act_dim(), torch::kCPU);
    for (int64_t i = 0; i < 100; ++i) {
      collector.Step(policy, &buffer);
    }
    const torch::Tensor obs = buffer.All().obs();
    EXPECT_GE((obs == obs[0]).all(0).sum().item<int64_t>(), least) << id;
  }
}

}  // namespace
}  // namespace reverie
