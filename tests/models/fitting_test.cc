// What fits of a model are made of: when they are due, the units of their rows, their end, and the networks that
// predict afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "models/early_stopping.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/hypothesis_networks.h"
#include "reverie/models/model_trainer.h"
#include "reverie/models/standardizer.h"

namespace reverie {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ModelTrainer, CountsFitsThatCameToTheirEnd) {
  const TransitionLayout layout{.obs_dim = 2, .act_dim = 1};
  ReplayBuffer data(layout, 100, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  data.Add({layout, torch::randn({100, layout.width()}, generator)});
  GaussianEnsemble model(
      {.members = 2, .elites = 2, .hidden = {8}, .weight_decay = {0, 0}, .holdout = {.max_epochs = 1}},
      {.layout = layout}, Rng(2), torch::kCPU);
  ModelTrainer trainer(/*retrain_every=*/50, Rng(3));
  EXPECT_FALSE(trainer.DueAfter(-50));
  EXPECT_TRUE(trainer.DueAfter(0));
  EXPECT_FALSE(trainer.DueAfter(49));
  EXPECT_TRUE(trainer.DueAfter(100));

  const torch::Tensor before = model.parameters().values().clone();
  EXPECT_EQ(trainer.Fit(model, data, [] { return true; }), std::nullopt);
  EXPECT_EQ(trainer.fits(), 0);
  EXPECT_TRUE(torch::equal(model.parameters().values(), before));
  const std::optional<Metrics> first = trainer.Fit(model, data, [] { return false; });
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(first->Find("open_loop_error_1")) << "the first fit has seen no rows before";
  EXPECT_EQ(trainer.fits(), 1);
  EXPECT_EQ(trainer.UnseenOf(data), 0);
  data.Add({layout, torch::randn({30, layout.width()}, generator)});
  EXPECT_EQ(trainer.UnseenOf(data), 30);
  const std::optional<Metrics> second = trainer.Fit(model, data, [] { return false; });
  for (const char* name : {"open_loop_error_1", "unseen/r2_1", "unseen/crps", "unseen/log_likelihood_ratio"}) {
    EXPECT_TRUE(second->Find(name)) << name;
  }
  EXPECT_FALSE(second->Find("unseen/open_loop_error_1"));
  EXPECT_EQ(trainer.fits(), 2);
  EXPECT_EQ(SaveState(trainer).values().tensors.at("fits").item<int64_t>(), 2);

  // As an older version saved it, which did not say what the last fit saw: the next one takes as many as are due.
  TensorFile values = SaveState(trainer).values();
  values.tensors.erase("seen");
  StateTree older(values, {});
  LoadState(older, trainer);
  EXPECT_EQ(trainer.UnseenOf(data), 0);
  EXPECT_TRUE(trainer.Fit(model, data, [] { return false; })->Find("unseen/crps"));
  StateTree newer = SaveState(trainer);
  LoadState(newer, trainer);
  data.Add({layout, torch::randn({7, layout.width()}, generator)});
  EXPECT_EQ(trainer.UnseenOf(data), 7);
}

TEST(Standardizer, PutsInputsAndTargetsIntoTheirUnits) {
  Standardizer units(2, 3, torch::kCPU);
  const torch::Tensor x = torch::tensor({{1.0F, 7.0F}, {3.0F, 7.0F}});
  EXPECT_TRUE(torch::equal(units.Inputs(x), x));
  units.FitInputs(x);
  EXPECT_TRUE(torch::equal(units.Inputs(x).select(1, 0), torch::tensor({-1.0F, 1.0F})));
  EXPECT_LT(units.Inputs(x + 1e6).select(1, 1).abs().max().item<float>(), 1e-20);  // never varied: not seen

  const torch::Tensor targets = torch::tensor({{2.0F, 1e-4F, 5.0F}, {6.0F, 3e-4F, 5.0F}});
  for (const double above : {1e-2, kInfinity}) {
    Standardizer of_targets(2, 3, torch::kCPU);
    of_targets.FitTargets(targets, targets.abs().amax(0), {.above = above});
    EXPECT_TRUE(torch::allclose(of_targets.target_std(), torch::tensor({2.0F, 1e-4F, 0.0F}), 1e-5, 0));
    const torch::Tensor y = of_targets.Scaled(targets);
    const float first = above == kInfinity ? -1.0F : 2.0F;  // in its own units, or as it is
    EXPECT_FLOAT_EQ(y[0][0].item<float>(), first);
    EXPECT_NEAR(y[0][1].item<float>(), -1, 1e-3);
    EXPECT_EQ(y[0][2].item<float>(), 0);
    EXPECT_TRUE(torch::allclose(of_targets.Target(y), targets, 1e-5, 0));
    EXPECT_EQ(of_targets.Target(y + 100)[0][2].item<float>(), 5) << "a target that does not vary is exact";
  }
}

// Deviations that pass the threshold from one fit to the next: what a network has learned keeps its meaning.
TEST(Standardizer, ATargetKeepsTheUnitThatItBeganWith) {
  struct {
    Standardizer units{1, 3, torch::kCPU};
    void VisitState(StateVisitor& visitor) { units.VisitState(visitor, /*scales_all=*/false); }
  } state;
  const auto two_rows = [](std::vector<float> deviations) {
    const torch::Tensor column = torch::tensor(deviations);
    return torch::stack({-column, column});
  };
  const auto scale_after = [&](std::vector<float> deviations) {
    const torch::Tensor rows = two_rows(std::move(deviations));
    state.units.FitTargets(rows, rows.abs().amax(0), {.above = 0.1, .at_most = 10});
    const torch::Tensor scale = state.units.target_scale();
    return std::vector<float>{scale.data_ptr<float>(), scale.data_ptr<float>() + 3};
  };
  // One that begins below, one that begins above, and one that varies from the second fit on.
  EXPECT_THAT(scale_after({0.05F, 2, 0}), ElementsAre(FloatEq(0.05F), FloatEq(1.0F), FloatEq(0.0F)));
  EXPECT_THAT(scale_after({0.5F, 0.02F, 30}), ElementsAre(FloatEq(0.5F), FloatEq(1.0F), FloatEq(30.0F)));
  EXPECT_THAT(scale_after({4, 40, 4}), ElementsAre(FloatEq(4.0F), FloatEq(1.0F), FloatEq(4.0F)));
  EXPECT_THAT(scale_after({0, 0, 4}), ElementsAre(FloatEq(0.0F), FloatEq(0.0F), FloatEq(4.0F)));

  TensorFile values = SaveState(state).values();
  values.tensors.erase("target_unit");  // as versions before it was kept
  StateTree older(values, {});
  LoadState(older, state);
  EXPECT_THAT(scale_after({1, 1, 1}), ElementsAre(FloatEq(1.0F), FloatEq(1.0F), FloatEq(1.0F)));
  EXPECT_THAT(scale_after({0.05F, 0.05F, 0.05F}), ElementsAre(FloatEq(1.0F), FloatEq(1.0F), FloatEq(0.05F)))
      << "of those that rested nothing is known";
}

TEST(EarlyStopping, EveryMemberGetsItsBestWeightsBack) {
  const MlpShape shape{.members = 2, .widths = {1, 1}};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  const EnsembleMlp mlp(shape, parameters);
  EarlyStopping stopping(mlp.parameters(), /*patience=*/1);
  const auto note = [&](float weight, float first, float second) {
    parameters.values().fill_(weight);
    return stopping.Note(torch::tensor({first, second}));
  };
  EXPECT_TRUE(note(1, 1.0F, 2.0F));
  EXPECT_TRUE(note(2, 0.995F, 1.0F));  // the first's half per cent is no improvement, the second's half is
  EXPECT_TRUE(note(3, 0.9F, 1.0F));    // the first's is
  EXPECT_TRUE(note(4, 1.0F, 1.0F));
  EXPECT_TRUE(stopping.wants_another_epoch());  // one without improvement
  EXPECT_TRUE(note(5, 1.0F, 1.0F));
  EXPECT_FALSE(stopping.wants_another_epoch());
  stopping.RestoreBest();
  EXPECT_EQ(mlp.weights()[0][0].item<float>(), 3);
  EXPECT_EQ(mlp.biases()[0][0].item<float>(), 3);
  EXPECT_EQ(mlp.weights()[0][1].item<float>(), 2);
  EXPECT_FALSE(note(6, std::nanf(""), 1.0F));
}

TEST(HypothesisNetworks, AreTheMembersThatWereTaken) {
  const MlpShape shape{.members = 4, .widths = {3, 16, 2}, .activation = Activation::kSilu};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  EnsembleMlp mlp(shape, parameters);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  mlp.InitTruncatedNormal(generator);
  MlpShape two = shape;
  two.members = 2;
  HypothesisNetworks networks(two, Precision::kFloat32, torch::kCPU);
  const torch::Tensor members = torch::tensor({3, 0}, torch::kInt64);
  networks.Take(mlp, members);
  const torch::Tensor x = torch::randn({20, 3}, generator);
  const torch::NoGradGuard no_grad;
  const torch::Tensor expected = mlp.Forward(x).index_select(0, members);
  EXPECT_TRUE(torch::allclose(networks.Infer(x), expected, 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(networks.mlp().weights()[1], mlp.weights()[1].index_select(0, members)));
  parameters.values().zero_();  // a copy
  EXPECT_TRUE(torch::allclose(networks.Infer(x), expected, 1e-5, 1e-6));
}

}  // namespace
}  // namespace reverie
