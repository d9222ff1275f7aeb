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

TEST(ModelTrainer, CountsFitsThatCameToTheirEnd) {
  const TransitionLayout layout{.obs_dim = 2, .act_dim = 1};
  ReplayBuffer data(layout, 100, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  data.Add({layout, torch::randn({100, layout.width()}, generator)});
  GaussianEnsemble model({.members = 2, .elites = 2, .hidden = {8}, .weight_decay = {0, 0}, .max_epochs = 1},
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
  const std::optional<Metrics> second = trainer.Fit(model, data, [] { return false; });
  EXPECT_TRUE(second->Find("open_loop_error_1"));
  EXPECT_EQ(trainer.fits(), 2);
  EXPECT_EQ(SaveState(trainer).values().tensors.at("fits").item<int64_t>(), 2);
}

TEST(Standardizer, PutsInputsAndTargetsIntoTheirUnits) {
  Standardizer units(2, 3, torch::kCPU);
  const torch::Tensor x = torch::tensor({{1.0F, 7.0F}, {3.0F, 7.0F}});
  EXPECT_TRUE(torch::equal(units.Inputs(x), x));
  units.FitInputs(x);
  EXPECT_TRUE(torch::equal(units.Inputs(x).select(1, 0), torch::tensor({-1.0F, 1.0F})));
  EXPECT_LT(units.Inputs(x + 1e6).select(1, 1).abs().max().item<float>(), 1e-20);  // never varied: not seen

  const torch::Tensor targets = torch::tensor({{2.0F, 1e-4F, 5.0F}, {6.0F, 3e-4F, 5.0F}});
  for (const bool plain : {true, false}) {
    units.FitTargets(targets, targets.abs().amax(0), plain ? Standardizer::Plain{1e-2, 10} : Standardizer::Plain{});
    EXPECT_TRUE(torch::allclose(units.target_std(), torch::tensor({2.0F, 1e-4F, 0.0F}), 1e-5, 0));
    const torch::Tensor y = units.Scaled(targets);
    const float first = plain ? 2.0F : -1.0F;  // in its own units, or as it is
    EXPECT_FLOAT_EQ(y[0][0].item<float>(), first);
    EXPECT_NEAR(y[0][1].item<float>(), -1, 1e-3);
    EXPECT_EQ(y[0][2].item<float>(), 0);
    EXPECT_TRUE(torch::allclose(units.Target(y), targets, 1e-5, 0));
    EXPECT_EQ(units.Target(y + 100)[0][2].item<float>(), 5) << "a target that does not vary is exact";
  }
  units.FitTargets(targets, targets.abs().amax(0), {.least = 1e-2, .most = 1.9});  // below the first one's 2
  EXPECT_FLOAT_EQ(units.Scaled(targets)[0][0].item<float>(), -1);
  const torch::Tensor calmer = targets * torch::tensor({0.5F, 1.0F, 1.0F});
  units.FitTargets(calmer, calmer.abs().amax(0), {.least = 1e-2, .most = 1.9});
  EXPECT_FLOAT_EQ(units.Scaled(calmer)[0][0].item<float>(), -1) << "it stays in its unit";
}

TEST(EarlyStopping, EveryMemberGetsItsBestWeightsBack) {
  const MlpShape shape{.members = 2, .widths = {1, 1}};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  const EnsembleMlp mlp(shape, parameters);
  EarlyStopping stopping(mlp, /*patience=*/1);
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
