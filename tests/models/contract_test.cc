// Every kind of learned model, held against the contract of DynamicsModel.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "reverie/config/reader.h"
#include "reverie/env/toy/linear_quadratic.h"
#include "reverie/models/model_env.h"
#include "reverie/models/registry.h"
#include "reverie/models/report_card.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"

namespace reverie {
namespace {

struct ModelCase {
  std::string kind;
  std::string options;                   // YAML, what the model is
  std::string learning = "patience: 5";  // more of it, for what it has to learn
  std::string brief = "max_epochs: 4";   // for what it has to be
  std::string name() const {
    std::string text = kind + options;
    std::erase_if(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
    return text.substr(0, 60);
  }
};

const TransitionLayout kLayout{.obs_dim = 4, .act_dim = 2};

class ModelContract : public testing::TestWithParam<ModelCase> {
 protected:
  static ModelMaker Maker(const std::string& more = GetParam().learning) {
    for (const Kind<ModelMaker>& kind : LearnedModels({})) {
      if (kind.name == GetParam().kind) {
        ModelMaker maker = kind.maker();
        ConfigDocument::FromText("{" + GetParam().options + ", " + more + "}", "options").ReadInto(maker.options());
        return maker;
      }
    }
    throw std::logic_error("no kind " + GetParam().kind);
  }
  static std::unique_ptr<DynamicsModel> Make(const std::string& more = GetParam().learning, uint64_t seed = 1) {
    return Maker(more).make({.layout = kLayout, .learn_reward = true}, Rng(seed), torch::kCPU);
  }
  // Whose fits are short.
  static std::unique_ptr<DynamicsModel> MakeBrief(uint64_t seed = 1) { return Make(GetParam().brief, seed); }
  // Likewise, with as many draws for what is said of them that it is nearly exact, where the model draws.
  static constexpr int64_t kSaidDraws = 2048;
  static std::unique_ptr<DynamicsModel> MakeExact() {
    return MakeBrief()->has_mixture() ? MakeBrief()
                                      : Make(GetParam().brief + ", moment_samples: " + std::to_string(kSaidDraws));
  }
  // As few rows as a fit takes.
  static int64_t LeastRows() {
    int64_t rows = 1;
    while (!Maker().lacks_of(rows).empty()) {
      ++rows;
    }
    return rows;
  }
};

// Of LinearQuadratic-v0 under random forces.
ReplayBuffer LinearQuadraticRows(int64_t rows, uint64_t seed = 5) {
  Collector collector(std::make_unique<LinearQuadratic>("LinearQuadratic-v0", LinearQuadratic::Options{}), Rng(seed),
                      torch::kCPU);
  const UniformPolicy policy(collector.spec().act_dim(), torch::kCPU);
  ReplayBuffer buffer(collector.layout(), rows, torch::kCPU);
  for (int64_t i = 0; i < rows; ++i) {
    collector.Step(policy, &buffer);
  }
  return buffer;
}

ReplayBuffer BufferOf(const TransitionBatch& rows) {
  ReplayBuffer buffer(rows.layout, rows.size(), torch::kCPU);
  buffer.Add(rows);
  return buffer;
}

ModelSample SampleFor(const TransitionBatch& rows, const DynamicsModel& model) {
  return {.next_obs = torch::full({rows.size(), kLayout.obs_dim}, NAN),
          .reward = model.learns_reward() ? torch::full({rows.size()}, NAN) : torch::Tensor(),
          .hypothesis = torch::empty({rows.size()}, torch::kInt64)};
}

std::map<std::string, torch::Tensor> TensorsOf(DynamicsModel& model) {
  std::map<std::string, torch::Tensor> copies;
  const StateTree state = SaveState(model);
  for (const auto& [name, tensor] : state.values().tensors) {
    copies[name] = tensor.clone();
  }
  return copies;
}

void ExpectEqual(const std::map<std::string, torch::Tensor>& a, const std::map<std::string, torch::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_TRUE(torch::equal(tensor, b.at(name))) << name;
  }
}

TEST_P(ModelContract, TheCardSaysWhatTheModelIs) {
  const ModelCard card = Maker().card();
  const auto model = MakeBrief();
  EXPECT_EQ(model->hypotheses().size(0), card.hypotheses);
  EXPECT_EQ(model->noise_dim() > 0, card.has_variance);
  EXPECT_EQ(model->is_gaussian(), card.is_gaussian);
  EXPECT_TRUE(model->learns_reward());
  model->Fit(LinearQuadraticRows(100), Rng(2));
  EXPECT_EQ(model->holdout().size() > 0, card.has_holdout);
  const TransitionBatch rows = LinearQuadraticRows(7).All();
  const GaussianPrediction all = model->Predict(rows.obs(), rows.action(), Members::kAll);
  EXPECT_EQ(all.mean.sizes(), (std::vector<int64_t>{card.networks, 7, 5}));
  EXPECT_EQ((all.var == 0).all().item<bool>(), !card.has_variance);
  EXPECT_TRUE(model->has_mixture() || !card.is_gaussian);
}

TEST_P(ModelContract, LearnsLinearDynamics) {
  const auto model = Make();
  model->Fit(LinearQuadraticRows(2000), Rng(2));
  const TransitionBatch rows = LinearQuadraticRows(1000, 9).All();
  const torch::NoGradGuard no_grad;
  const torch::Tensor change = rows.next_obs() - rows.obs();
  const torch::Tensor error = MeanNextObs(*model, rows.obs(), rows.action()) - rows.next_obs();
  const torch::Tensor r2 = 1 - error.square().mean(0) / change.var(0, /*unbiased=*/false);
  EXPECT_GT(r2.min().item<double>(), 0.99) << r2;
  const torch::Tensor reward = model->Predict(rows.obs(), rows.action(), Members::kElites).mean.select(2, 4).mean(0);
  EXPECT_LT((reward - rows.reward()).square().mean().item<double>(), 0.05 * rows.reward().var().item<double>());
}

TEST_P(ModelContract, TheSameNoiseGivesTheSameStep) {
  const auto model = MakeBrief();
  model->Fit(LinearQuadraticRows(300), Rng(2));
  const TransitionBatch rows = LinearQuadraticRows(50, 9).All();
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const StepDraws draws = DrawStep(*model, rows.size(), generator);
  ModelSample one = SampleFor(rows, *model), two = SampleFor(rows, *model);
  model->Step(rows.obs(), rows.action(), draws, one);
  model->Step(rows.obs(), rows.action(), draws, two);
  EXPECT_TRUE(torch::equal(one.next_obs, two.next_obs));
  EXPECT_TRUE(torch::equal(one.reward, two.reward));
  EXPECT_TRUE(torch::equal(one.hypothesis, HypothesisOfRows(draws.deal, model->hypotheses().size(0))));
  const ModelStep next = model->Next(rows.obs(), rows.action(), draws);
  EXPECT_TRUE(torch::allclose(next.next_obs, one.next_obs, 1e-4, 1e-5));
  EXPECT_TRUE(torch::allclose(next.reward, one.reward, 1e-4, 1e-4));
  const ModelStep other = model->Next(rows.obs(), rows.action(), DrawStep(*model, rows.size(), generator));
  EXPECT_FALSE(torch::allclose(next.next_obs, other.next_obs, 1e-4, 1e-5)) << "another noise, another step";
}

TEST_P(ModelContract, ASavedModelGoesOnBitForBit) {
  const auto model = MakeBrief();
  model->Fit(LinearQuadraticRows(200), Rng(2));
  const auto resumed = MakeBrief(/*seed=*/77);
  StateTree state = SaveState(*model);
  LoadState(state, *resumed);
  const TransitionBatch rows = LinearQuadraticRows(20, 9).All();
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const StepDraws draws = DrawStep(*model, rows.size(), generator);
  ModelSample one = SampleFor(rows, *model), two = SampleFor(rows, *resumed);
  model->Step(rows.obs(), rows.action(), draws, one);
  resumed->Step(rows.obs(), rows.action(), draws, two);
  EXPECT_TRUE(torch::equal(one.next_obs, two.next_obs));
  const ReplayBuffer more = LinearQuadraticRows(260);
  model->Fit(more, Rng(4));
  resumed->Fit(more, Rng(4));
  ExpectEqual(TensorsOf(*model), TensorsOf(*resumed));
}

TEST_P(ModelContract, AFitThatIsStoppedLeavesTheModelAsItWas) {
  const auto model = MakeBrief();
  model->Fit(LinearQuadraticRows(200), Rng(2));
  const auto before = TensorsOf(*model);
  const TransitionBatch rows = LinearQuadraticRows(20, 9).All();
  const torch::NoGradGuard no_grad;
  const torch::Tensor predicted = model->Predict(rows.obs(), rows.action(), Members::kElites).mean.clone();
  int calls = 0;
  const auto stop = [&] { return ++calls == 5; };
  EXPECT_FALSE(model->Fit(LinearQuadraticRows(260), Rng(4), stop).has_value());
  EXPECT_EQ(calls, 5) << "asked after every minibatch";
  ExpectEqual(TensorsOf(*model), before);
  EXPECT_TRUE(torch::equal(model->Predict(rows.obs(), rows.action(), Members::kElites).mean, predicted));
}

TEST_P(ModelContract, DegenerateRowsGiveFiniteSteps) {
  const TransitionBatch usual = LinearQuadraticRows(200).All();
  TransitionBatch resting{usual.layout, usual.rows.clone()};  // a target that never varies, and a constant reward
  resting.next_obs().select(1, 2).copy_(resting.obs().select(1, 2).fill_(3));
  resting.reward().fill_(-2);
  TransitionBatch constant{usual.layout, usual.rows.narrow(0, 0, 1).repeat({50, 1})};  // nothing varies
  const TransitionBatch few{usual.layout, usual.rows.narrow(0, 0, LeastRows())};
  const TransitionBatch twice{usual.layout, usual.rows.narrow(0, 0, 20).repeat({5, 1})};
  for (const TransitionBatch& rows : {resting, constant, few, twice}) {
    const auto model = Make();
    model->Fit(BufferOf(rows), Rng(2));
    torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
    ModelSample sample = SampleFor(rows, *model);
    model->Step(rows.obs(), rows.action(), DrawStep(*model, rows.size(), generator), sample);
    EXPECT_TRUE(torch::isfinite(sample.next_obs).all().item<bool>());
    EXPECT_TRUE(torch::isfinite(sample.reward).all().item<bool>());
    const torch::NoGradGuard no_grad;
    const GaussianPrediction predicted = model->Predict(rows.obs(), rows.action(), Members::kElites);
    EXPECT_TRUE(torch::isfinite(predicted.mean).all().item<bool>());
    EXPECT_TRUE(torch::isfinite(predicted.var).all().item<bool>());
    if (rows.rows.is_same(resting.rows)) {
      EXPECT_TRUE((sample.next_obs.select(1, 2) == 3).all().item<bool>()) << "exactly";
      EXPECT_TRUE((sample.reward == -2).all().item<bool>());
      EXPECT_TRUE((predicted.var.select(2, 2) == 0).all().item<bool>());
      EXPECT_TRUE((predicted.mean.select(2, 4) == -2).all().item<bool>());
      const TransitionBatch moved{resting.layout, resting.rows.clone()};
      moved.next_obs().select(1, 2).add_(1000);
      if (const std::optional<torch::Tensor> density = model->LogDensity(resting)) {
        EXPECT_TRUE(torch::allclose(*model->LogDensity(moved), *density)) << "of targets that vary";
      }
      EXPECT_TRUE((predicted.var.select(2, 4) == 0).all().item<bool>());
    }
  }
}

// By a z-test of what each hypothesis draws at one point.
TEST_P(ModelContract, MomentsAreThoseOfSteps) {
  constexpr int64_t kDraws = 20'000;
  const auto model = MakeExact();
  model->Fit(LinearQuadraticRows(300), Rng(2));
  const int64_t hypotheses = model->hypotheses().size(0);
  const TransitionBatch row{kLayout, LinearQuadraticRows(1, 9).All().rows};
  const torch::NoGradGuard no_grad;
  const int64_t count = kDraws * hypotheses;
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const StepDraws draws = DrawNoise(*model, torch::arange(count), generator);  // in order: hypothesis by hypothesis
  const ModelStep step = model->Next(row.obs().expand({count, -1}), row.action().expand({count, -1}), draws);
  const GaussianPrediction said = model->Predict(row.obs(), row.action(), Members::kElites);
  const torch::Tensor mean = model->DecodeObs(said.mean, row.obs()).slice(2, 0, 4).squeeze(1).to(torch::kFloat64);
  const torch::Tensor var = said.var.slice(2, 0, 4).squeeze(1).to(torch::kFloat64);
  const torch::Tensor drawn = step.next_obs.view({hypotheses, kDraws, 4}).to(torch::kFloat64);
  const double said_draws =
      model->has_mixture() ? std::numeric_limits<double>::infinity() : static_cast<double>(kSaidDraws);
  const torch::Tensor z = (drawn.mean(1) - mean) / (var * (1.0 / kDraws + 1 / said_draws)).sqrt().clamp_min(1e-6);
  EXPECT_LT(z.abs().max().item<double>(), 4.5) << z;
  const torch::Tensor centred = drawn - drawn.mean(1, /*keepdim=*/true);
  const torch::Tensor own = centred.square().mean(1);
  // The error of a variance, by the fourth moment.
  const torch::Tensor spread = centred.pow(4).mean(1) - own.square();
  const torch::Tensor error = (spread * (1.0 / kDraws + 1 / said_draws)).sqrt().clamp_min(1e-10);
  EXPECT_LT(((own - var) / error).abs().max().item<double>(), 4.5);
}

// Weights 0.25 and 0.75 of N(-1, 0.1) and N(3, 0.5).
TEST(Mixtures, HaveTheMomentsOfTheirComponents) {
  const GaussianPrediction moments = MomentsOf({.mean = torch::tensor({-1.0F, 3.0F}).view({1, 2, 1, 1}),
                                                .var = torch::tensor({0.1F, 0.5F}).view({1, 2, 1, 1}),
                                                .log_weight = torch::tensor({0.25F, 0.75F}).log().view({1, 2, 1})});
  EXPECT_FLOAT_EQ(moments.mean.item<float>(), 2);
  EXPECT_FLOAT_EQ(moments.var.item<float>(), 0.25F * (0.1F + 9) + 0.75F * (0.5F + 1));
}

TEST_P(ModelContract, TheMixtureHasThePredictedMoments) {
  const auto model = MakeExact();
  model->Fit(LinearQuadraticRows(200), Rng(2));
  const TransitionBatch rows = LinearQuadraticRows(30, 9).All();
  const torch::NoGradGuard no_grad;
  const MixturePrediction mixture = model->PredictMixture(rows.obs(), rows.action());
  EXPECT_TRUE(torch::allclose(mixture.log_weight.exp().sum(1), torch::ones({model->hypotheses().size(0), 30})));
  EXPECT_EQ(mixture.mean.size(1) == 1, model->is_gaussian());
  const GaussianPrediction moments = MomentsOf(mixture);
  const GaussianPrediction said = model->Predict(rows.obs(), rows.action(), Members::kElites);
  if (!model->has_mixture()) {  // as draws of another noise
    const torch::Tensor z = (moments.mean - said.mean) / (said.var * (2.0 / kSaidDraws)).sqrt();
    EXPECT_LT(z.abs().max().item<double>(), 5);
    EXPECT_TRUE(torch::allclose(moments.var, said.var, 0.2));
    return;
  }
  EXPECT_TRUE(torch::allclose(moments.mean, said.mean, 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(moments.var, said.var, 1e-4, 1e-9));
}

TEST_P(ModelContract, DerivativesAreThoseOfDifferences) {
  const auto model = MakeBrief();
  model->Fit(LinearQuadraticRows(200), Rng(2));
  const TransitionBatch rows = LinearQuadraticRows(6, 9).All();
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const StepDraws draws = DrawStep(*model, rows.size(), generator);
  const torch::Tensor at = torch::cat({rows.obs(), rows.action()}, 1).to(torch::kFloat64).requires_grad_();
  const auto sum = [&](const torch::Tensor& x) {
    const ModelStep step = model->Next(x.slice(1, 0, 4), x.slice(1, 4), draws);
    return step.next_obs.sum() + step.reward.sum();
  };
  sum(at).backward();
  constexpr double kStep = 1e-5;  // smaller ones show the rounding of what cancels in a Gaussian process
  for (int64_t row = 0; row < rows.size(); ++row) {
    for (int64_t i = 0; i < 6; ++i) {
      const torch::NoGradGuard no_grad;
      torch::Tensor moved = at.detach().clone();
      moved[row][i] += kStep;
      const double above = sum(moved).item<double>();
      moved[row][i] -= 2 * kStep;
      const double slope = (above - sum(moved).item<double>()) / (2 * kStep);
      EXPECT_NEAR(at.grad()[row][i].item<double>(), slope, 1e-5 * std::max(1.0, std::abs(slope))) << row << " " << i;
    }
  }
}

// One number x and one that nothing depends on; x' = x + sin(3 x) / 2 + std(x) N, std(x) = 0.03 + 0.3 / (1 + e^-4x).
const TransitionLayout kToy{.obs_dim = 1, .act_dim = 1};

torch::Tensor ToyStd(const torch::Tensor& x) { return 0.03 + 0.3 * torch::sigmoid(4 * x); }

TransitionBatch ToyRows(const torch::Tensor& x, torch::Generator& generator) {
  TransitionBatch rows = TransitionBatch::Empty(kToy, x.size(0), torch::kCPU);
  rows.rows.zero_();
  rows.obs().copy_(x.unsqueeze(1));
  rows.action().uniform_(-1, 1, generator);
  const torch::Tensor noise = torch::randn({x.size(0)}, generator);
  rows.next_obs().copy_((x + 0.5 * torch::sin(3 * x) + ToyStd(x) * noise).unsqueeze(1));
  return rows;
}

TEST_P(ModelContract, NoiseThatDependsOnTheStateIsLearned) {
  const ModelCard card = Maker().card();
  torch::Generator generator = MakeGenerator(Rng(6), torch::kCPU);
  const auto model = Maker().make({.layout = kToy}, Rng(1), torch::kCPU);
  model->Fit(BufferOf(ToyRows(torch::empty({3000}).uniform_(-1.5, 1.5, generator), generator)), Rng(2));
  const torch::Tensor x = torch::linspace(-1.4, 1.4, 57);
  const torch::NoGradGuard no_grad;
  const GaussianPrediction said = model->Predict(x.unsqueeze(1), torch::zeros({57, 1}), Members::kElites);
  if (!card.has_variance || card.variance_is_constant) {  // which is what such a model says
    EXPECT_TRUE((said.var == said.var.slice(1, 0, 1)).all().item<bool>());
    EXPECT_EQ((said.var > 0).all().item<bool>(), card.has_variance);
    return;
  }
  const torch::Tensor ratio = (said.var.mean(0).squeeze(1).sqrt() / ToyStd(x)).log();
  EXPECT_LT(ratio.abs().mean().item<double>(), 0.2) << "within 20 % on average";
  const torch::Tensor mean = said.mean.mean(0).squeeze(1);
  EXPECT_LT((mean - 0.5 * torch::sin(3 * x)).square().mean().sqrt().item<double>(), 0.06);
}

// AUROC of the hypotheses' disagreement between states far from all rows and those where rows lie.
TEST_P(ModelContract, ItIsLessSureFarFromTheRows) {
  torch::Generator generator = MakeGenerator(Rng(6), torch::kCPU);
  const auto rows = [&](double low, double high, int64_t count) {
    const torch::Tensor x = torch::empty({count}).uniform_(low, high, generator) *
                            torch::where(torch::rand({count}, generator) < 0.5, -1.0, 1.0);
    TransitionBatch batch = ToyRows(x, generator);
    const torch::Tensor noise = 0.03 * torch::randn({count}, generator);
    batch.next_obs().copy_((x + 0.5 * torch::sin(3 * x) + noise).unsqueeze(1));
    return batch;
  };
  const auto model = Maker().make({.layout = kToy}, Rng(1), torch::kCPU);
  model->Fit(BufferOf(rows(1, 2, 1000)), Rng(2));
  const Metrics scores = ScoreNovelty(*model, rows(1, 2, 500), rows(6, 8, 500));
  EXPECT_GT(scores.Find("novelty_auroc_epistemic").value_or(0), 0.95);
}

// Rows decide what the hypotheses agree on.
TEST_P(ModelContract, MoreRowsMakeItSurer) {
  const TransitionBatch at = LinearQuadraticRows(200, 9).All();
  const auto disagreement = [&](int64_t rows) {
    const auto model = Make();
    model->Fit(LinearQuadraticRows(rows), Rng(2));
    const torch::NoGradGuard no_grad;
    const torch::Tensor mean = model->Predict(at.obs(), at.action(), Members::kElites).mean.slice(2, 0, 4);
    return mean.var(0, /*unbiased=*/false).mean().sqrt().item<double>();
  };
  EXPECT_LT(disagreement(2000), 0.7 * disagreement(40));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ModelContract,
    testing::Values(
        ModelCase{.kind = "ensemble",
                  .options = "members: 5, elites: 4, hidden: [64, 64], weight_decay: [0, 0, 0], learning_rate: 3e-3, "
                             "batch_size: 32",
                  .learning = "patience: 10"},
        ModelCase{.kind = "ensemble",
                  .options = "deterministic: true, normalize_targets: true, members: 3, elites: 2, hidden: [32, 32], "
                             "weight_decay: [0, 0, 0], learning_rate: 3e-3, batch_size: 32"},
        ModelCase{.kind = "ensemble",
                  .options = "normalize_targets: true, regularise: prior_function, prior_scale: 1, members: 3, "
                             "elites: 2, hidden: [32, 32], weight_decay: [0, 0, 0], learning_rate: 3e-3, "
                             "batch_size: 32"},
        ModelCase{.kind = "homoscedastic",
                  .options = "members: 3, hidden: [32, 32], weight_decay: [0, 0, 0], dropout: [0, 0, 0], "
                             "learning_rate: 3e-3, batch_size: 32",
                  .learning = "patience: 10",
                  .brief = "patience: 1"},
        ModelCase{.kind = "dropout",
                  .options = "draws: 5, hidden: [64, 64], rate: 0.05, learning_rate: 3e-3, batch_size: 32"},
        ModelCase{.kind = "bnn",
                  .options = "draws: 5, hidden: [32, 32], learning_rate: 3e-3, batch_size: 32",
                  .learning = "patience: 10"},
        ModelCase{.kind = "bnn",
                  .options = "draws: 5, hidden: [32, 32], estimator: flipout, samples: 4, alpha: 0.5, "
                             "learning_rate: 3e-3, batch_size: 32",
                  .learning = "patience: 10"},
        ModelCase{.kind = "gp",
                  .options = "draws: 5, exact_rows: 400, inducing: 100, features: 256, restarts: 0",
                  .learning = "iterations: 15",
                  .brief = "iterations: 5"},
        ModelCase{.kind = "mdn",
                  .options = "members: 3, components: 3, hidden: [32, 32], weight_decay: [0, 0, 0], "
                             "learning_rate: 3e-3, batch_size: 32"},
        ModelCase{.kind = "flow",
                  .options = "members: 3, couplings: 2, hidden: [32], learning_rate: 3e-3, batch_size: 64",
                  .learning = "max_epochs: 40, patience: 15"},
        ModelCase{.kind = "flow",
                  .options = "transform: affine, members: 3, couplings: 2, hidden: [32], learning_rate: 3e-3, "
                             "batch_size: 64",
                  .learning = "max_epochs: 40, patience: 15"},
        ModelCase{.kind = "diffusion",
                  .options = "members: 3, hidden: [64, 64], learning_rate: 3e-3, batch_size: 64",
                  .learning = "max_epochs: 60, patience: 20"},
        ModelCase{.kind = "diffusion",
                  .options = "process: edm, members: 3, hidden: [64, 64], learning_rate: 3e-3, batch_size: 64",
                  .learning = "max_epochs: 60, patience: 20"},
        ModelCase{.kind = "vae",
                  .options = "members: 5, hidden: [32, 32], learning_rate: 3e-3, batch_size: 64, warm_up: 200",
                  .learning = "max_epochs: 40, patience: 15"},
        ModelCase{.kind = "gan",
                  .options = "members: 5, hidden: [32, 32], learning_rate: 1e-3, batch_size: 64",
                  .learning = "max_epochs: 50"}),
    [](const auto& one) { return std::to_string(one.index) + one.param.name(); });

TEST(ModelContract, EveryKindIsCovered) {
  // A new kind must be added to the list above.
  EXPECT_EQ(LearnedModels({}).size(), 10);
}

}  // namespace
}  // namespace reverie
