// Components on a GPU, beside their CPU selves, which other tests hold against autograd and PyTorch in Python.
#include <c10/core/CachingDeviceAllocator.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/script.h>

#include <cmath>
#include <cstdlib>

#include "oracle.h"
#include "planning/planners.h"
#include "reverie/config/reader.h"
#include "reverie/core/repeated_work.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/learners/value_gradient_learner.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/homoscedastic_ensemble.h"
#include "reverie/models/model_env.h"
#include "reverie/models/registry.h"
#include "reverie/planning/cem.h"
#include "reverie/planning/export.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/branched_rollout.h"

namespace reverie {
namespace {

using testing::HasSubstr;
using testing::Not;

const TransitionLayout kLayout{.obs_dim = 11, .act_dim = 3};

GaussianEnsembleConfig SmallConfig() {
  return {.members = 4,
          .elites = 2,
          .hidden = {32, 32},
          .learning_rate = 3e-3,
          .batch_size = 64,
          .weight_decay = {1e-2, 2e-2, 3e-2},
          .holdout = {.max_epochs = 30}};
}

ValueGradientConfig SmallLearnerConfig() {
  ValueGradientConfig config;
  config.hidden = {32, 32};
  config.batch_size = 64;
  config.critics = {.members = 3, .hidden = {32, 32}};
  return config;
}

EnvSpec MadeSpec() {
  EnvSpec spec;
  spec.id = "Made-v0";
  spec.obs_low.assign(11, -1);
  spec.obs_high.assign(11, 1);
  spec.action_low.assign(3, -1);
  spec.action_high.assign(3, 1);
  return spec;
}

class GpuComponents : public testing::Test {
 protected:
  void SetUp() override {
    if (torch::cuda::device_count() == 0) {
      GTEST_SKIP() << "no GPU";
    }
  }

  torch::Tensor Draw(at::IntArrayRef sizes) { return torch::randn(sizes, generator_); }

  TransitionBatch RandomRows(int64_t rows) {
    TransitionBatch batch{kLayout, Draw({rows, kLayout.width()})};
    batch.action().tanh_();
    batch.terminated().copy_(Draw({rows}) < -0.8);
    batch.truncated().zero_();
    batch.log_weight().uniform_(-1.5, 0.5, generator_);
    return batch;
  }

  // 500 random rows, each of weight 1.
  ReplayBuffer FilledBuffer() {
    TransitionBatch rows = RandomRows(500);
    rows.log_weight().zero_();
    ReplayBuffer buffer(kLayout, 500, gpu_);
    buffer.Add(OnGpu(rows));
    return buffer;
  }

  TransitionBatch OnGpu(const TransitionBatch& batch) const { return {batch.layout, batch.rows.to(gpu_)}; }

  torch::Generator generator_ = MakeGenerator(Rng(6), torch::kCPU);
  torch::Device gpu_{torch::kCUDA, 0};
};

// How far apart two blocks of numbers are, of the distance that the first has moved.
double Apart(const torch::Tensor& ours, const torch::Tensor& theirs, const torch::Tensor& start) {
  return ((ours.cpu() - theirs).norm() / (theirs - start).norm()).item<double>();
}

TEST_F(GpuComponents, RepeatedWorkIsDoneEveryTimeAndItsRandomnessGoesOn) {
  torch::Generator generator = MakeGenerator(Rng(1), gpu_);
  RepeatedWork work("a test's work", gpu_, {generator});
  torch::Tensor count = torch::zeros({}, torch::device(gpu_));
  torch::Tensor noise = torch::empty({4}, torch::device(gpu_));
  torch::Tensor other = torch::zeros({}, torch::device(gpu_));
  torch::Tensor last = torch::zeros({4});
  for (int i = 1; i <= 10; ++i) {
    work.Run({AddressOf(count)}, [&] {
      count.add_(1);
      noise.normal_(0, 1, generator);
    });
    EXPECT_EQ(count.item<float>(), static_cast<float>(i));
    EXPECT_FALSE(torch::equal(noise.cpu(), last));
    last = noise.cpu();
  }
  for (int i = 1; i <= 5; ++i) {
    work.Run({AddressOf(other)}, [&] { other.add_(1); });
    EXPECT_EQ(other.item<float>(), static_cast<float>(i));
  }
  EXPECT_EQ(count.item<float>(), 10);
}

// It draws, waits, draws again and allocates, all of which a capture that was never ended would refuse.
TEST_F(GpuComponents, WorkThatCannotBeCapturedIsDoneAllTheSame) {
  torch::Generator generator = MakeGenerator(Rng(1), gpu_);
  torch::Generator same = MakeGenerator(Rng(1), gpu_);
  RepeatedWork work("a test's work that waits", gpu_, {generator});
  torch::Tensor count = torch::zeros({}, torch::device(gpu_));
  torch::Tensor noise = torch::empty({5}, torch::device(gpu_));
  torch::Tensor pinned;
  for (int i = 1; i <= 5; ++i) {
    work.Run({}, [&] {
      count.add_(1);
      noise.normal_(0, 1, generator);
      count.item<float>();
      noise.normal_(0, 1, generator);
      count.add_(torch::zeros({1 << 20}, torch::device(gpu_)).sum());
      pinned = noise.cpu().pin_memory();
    });
    EXPECT_EQ(count.item<float>(), static_cast<float>(i));
    torch::Tensor expected = torch::empty({5}, torch::device(gpu_)).normal_(0, 1, same);
    EXPECT_TRUE(pinned.equal(expected.normal_(0, 1, same).cpu())) << i;
  }
  // And others, of the same generator too, are captured afterwards.
  for (const std::vector<torch::Generator>& generators : {std::vector{generator}, std::vector<torch::Generator>{}}) {
    RepeatedWork other("a test's work after it", gpu_, generators);
    testing::internal::CaptureStderr();
    for (int i = 6; i <= 9; ++i) {
      other.Run({}, [&] {
        count.add_(1);
        if (!generators.empty()) {
          noise.normal_(0, 1, generator);
        }
      });
    }
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("a test's work after it: captured as a CUDA graph"));
  }
  EXPECT_EQ(count.item<float>(), 13);
}

TEST_F(GpuComponents, ReplaysOfUpdatesAndFitsAreTheWorkItself) {
  setenv("REVERIE_CHECK_GRAPHS", "1", 1);
  const ReplayBuffer buffer = FilledBuffer();
  MixedSampler sampler(buffer);
  SacLearner learner({}, kLayout, Rng(1), gpu_);
  learner.Update(sampler, 20);
  GaussianEnsemble model(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
  model.Fit(buffer, Rng(2));
  const ModelEnv model_env(model, {}, {.id = "random", .action_low = {-1, -1, -1}, .action_high = {1, 1, 1}}, gpu_);
  for (const ExpansionWeights weights : {ExpansionWeights::kLast, ExpansionWeights::kInverseVariance}) {
    SacLearner expanding({}, kLayout, Rng(1), gpu_,
                         ValueExpansion({.horizon = 2, .weights = weights}, model_env, /*discount=*/0.99, gpu_));
    expanding.Update(sampler, 20);
  }
  unsetenv("REVERIE_CHECK_GRAPHS");
}

// Every kind's fit, twice, the second time on other rows.
TEST_F(GpuComponents, ReplaysOfEveryModelsFitAreTheWorkItself) {
  setenv("REVERIE_CHECK_GRAPHS", "1", 1);
  const ReplayBuffer buffer = FilledBuffer();
  ReplayBuffer fewer(kLayout, 300, gpu_);
  fewer.Add({kLayout, buffer.All().rows.narrow(0, 0, 300)});
  for (const Kind<ModelMaker>& kind : LearnedModels({})) {
    const ModelMaker maker = kind.maker();
    const bool by_minibatches = kind.name != "gp";
    if (by_minibatches) {
      const bool decays = kind.name == "ensemble" || kind.name == "homoscedastic" || kind.name == "mdn";
      ConfigDocument::FromText(std::string("{hidden: [32, 32], batch_size: 64, patience: 2") +
                                   (decays ? ", weight_decay: [1e-4, 1e-4, 1e-4]" : "") +
                                   (kind.name == "homoscedastic" ? ", dropout: [0.01, 0, 0]}" : "}"),
                               "options")
          .ReadInto(maker.options());
    }
    const auto model = maker.make({.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
    testing::internal::CaptureStderr();
    model->Fit(fewer, Rng(2));
    model->Fit(buffer, Rng(3));
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.find("captured as a CUDA graph") != std::string::npos, by_minibatches) << kind.name << ": " << said;
    const auto resumed = maker.make({.layout = kLayout, .learn_reward = true}, Rng(5), gpu_);
    StateTree state = SaveState(*model);
    LoadState(state, *resumed);
    const TransitionBatch rows = fewer.All();
    const torch::NoGradGuard no_grad;
    EXPECT_TRUE(torch::equal(model->Predict(rows.obs(), rows.action(), Members::kElites).mean,
                             resumed->Predict(rows.obs(), rows.action(), Members::kElites).mean))
        << kind.name;
  }
  unsetenv("REVERIE_CHECK_GRAPHS");
}

TEST_F(GpuComponents, ReplaysThroughTheModelAreTheWorkItself) {
  setenv("REVERIE_CHECK_GRAPHS", "1", 1);
  const ReplayBuffer buffer = FilledBuffer();
  HomoscedasticEnsemble model({.members = 4,
                               .hidden = {32, 32},
                               .batch_size = 64,
                               .weight_decay = {1e-4, 1e-4, 1e-4},
                               .dropout = {0.01, 0, 0},
                               .patience = 4,
                               .first_fit = 2},
                              {.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
  const ModelEnv model_env(model, {.terminated = NeverTerminated}, MadeSpec(), gpu_);
  ValueGradientLearner learner(SmallLearnerConfig(), kLayout, Rng(1), gpu_);
  const torch::Tensor states = buffer.All().obs();
  const auto starts = [&](TransitionBatch& from, torch::Generator& generator) {
    const auto options = torch::TensorOptions().dtype(torch::kInt64).device(gpu_);
    from.obs().copy_(states.index_select(0, torch::randint(500, {64}, generator, options)));
  };
  testing::internal::CaptureStderr();
  model.Fit(buffer, Rng(2));
  learner.Update(starts, &model_env, 10);
  learner.UpdateCritics(starts, &model_env, 10);
  const std::string said = testing::internal::GetCapturedStderr();
  for (const char* work : {"the model's minibatch", "the value gradient's update", "the critics' update"}) {
    EXPECT_THAT(said, HasSubstr(std::string(work) + ": captured as a CUDA graph"));
  }
  unsetenv("REVERIE_CHECK_GRAPHS");
}

// Along real transitions by their own noise, to targets of temporal difference; and models drawn to what they were.
TEST_F(GpuComponents, ReplaysAlongRealTransitionsAreTheWorkItself) {
  setenv("REVERIE_CHECK_GRAPHS", "1", 1);
  const ReplayBuffer buffer = FilledBuffer();
  MixedSampler sampler(buffer);
  for (const Regularise regularise : {Regularise::kAnchor, Regularise::kPriorFunction}) {
    GaussianEnsembleConfig small = SmallConfig();
    small.regularise = regularise;
    GaussianEnsemble model(small, {.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
    const ModelEnv model_env(model, {.terminated = NeverTerminated}, MadeSpec(), gpu_);
    ValueGradientConfig config = SmallLearnerConfig();
    config.horizon = 1;
    config.noise = NoiseSource::kInferred;
    config.critic_target = ValueTarget::kTd;
    ValueGradientLearner learner(config, kLayout, Rng(1), gpu_);
    testing::internal::CaptureStderr();
    model.Fit(buffer, Rng(2));
    learner.Update([&](TransitionBatch& into, torch::Generator& generator) { sampler.SampleInto(into, generator); },
                   &model_env, 10);
    const std::string said = testing::internal::GetCapturedStderr();
    for (const char* work : {"the ensemble's minibatch", "the value gradient's update"}) {
      EXPECT_THAT(said, HasSubstr(std::string(work) + ": captured as a CUDA graph"));
    }
  }
  unsetenv("REVERIE_CHECK_GRAPHS");
}

TEST_F(GpuComponents, ACapturedDrawSeesRowsThatCameLater) {
  ReplayBuffer buffer(kLayout, 64, gpu_);
  TransitionBatch rows = OnGpu(RandomRows(32));
  rows.reward().fill_(1);
  buffer.Add(rows);
  MixedSampler sampler(buffer);
  torch::Generator generator = MakeGenerator(Rng(1), gpu_);
  RepeatedWork work("a test's draw", gpu_, {generator});
  TransitionBatch drawn = TransitionBatch::Empty(kLayout, 4096, gpu_);
  const auto mean_reward = [&] {
    work.Run(sampler.Key(drawn.size()), [&] { sampler.SampleInto(drawn, generator); });
    return drawn.reward().mean().item<double>();
  };
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(mean_reward(), 1);
  }
  rows.reward().fill_(3);
  buffer.Add(rows);
  EXPECT_NEAR(mean_reward(), 2, 0.1);  // five standard deviations
}

TEST_F(GpuComponents, AHundredUpdatesOfSacStayWithTheCpus) {
  const SacConfig config{.hidden = {64, 64}, .learning_rate = 1e-3, .discount = 0.97, .target_entropy = -2.5};
  SacLearner cpu(config, kLayout, Rng(5), torch::kCPU);
  SacLearner gpu(config, kLayout, Rng(5), gpu_);
  gpu.actor().parameters().values().copy_(cpu.actor().parameters().values());
  gpu.critic_parameters().values().copy_(cpu.critic_parameters().values());
  gpu.target_parameters().values().copy_(cpu.target_parameters().values());
  const torch::Tensor actor = cpu.actor().parameters().values().clone();
  const torch::Tensor critics = cpu.critic_parameters().values().clone();
  const torch::Tensor targets = cpu.target_parameters().values().clone();
  for (int update = 0; update < 100; ++update) {
    const TransitionBatch batch = RandomRows(64);
    const torch::Tensor next_noise = Draw({64, 3});
    const torch::Tensor noise = Draw({64, 3});
    cpu.UpdateOn(batch, next_noise, noise);
    gpu.UpdateOn(OnGpu(batch), next_noise.to(gpu_), noise.to(gpu_));
    if (update == 0) {
      const torch::Tensor expected = cpu.critic_parameters().grads();
      EXPECT_LT((gpu.critic_parameters().grads().cpu() - expected).abs().max().item<double>(),
                1e-5 * expected.abs().max().item<double>());
    }
  }
  EXPECT_LT(Apart(gpu.actor().parameters().values(), cpu.actor().parameters().values(), actor), 0.01);
  EXPECT_LT(Apart(gpu.critic_parameters().values(), cpu.critic_parameters().values(), critics), 0.01);
  EXPECT_LT(Apart(gpu.target_parameters().values(), cpu.target_parameters().values(), targets), 0.01);
  EXPECT_NEAR(gpu.alpha_parameters().values().item<double>(), cpu.alpha_parameters().values().item<double>(), 1e-3);
}

TEST_F(GpuComponents, ReplayedUpdatesOfSacLearn) {
  // Reward -(a - 0.5)^2, every row terminated: the best mean action is 0.5.
  const TransitionLayout layout{.obs_dim = 1, .act_dim = 1};
  TransitionBatch rows{layout, torch::zeros({2000, layout.width()}, torch::device(gpu_))};
  rows.action().copy_(2 * torch::rand({2000, 1}, generator_) - 1);
  rows.reward().copy_(-(rows.action().squeeze(1) - 0.5).square());
  rows.terminated().fill_(1);
  ReplayBuffer buffer(layout, 2000, gpu_);
  buffer.Add(rows);
  SacLearner learner({.hidden = {32, 32}, .learning_rate = 3e-3, .batch_size = 128, .target_entropy = -3}, layout,
                     Rng(4), gpu_);
  MixedSampler sampler(buffer);
  learner.Update(sampler, 600);
  torch::Generator generator = MakeGenerator(Rng(2), gpu_);
  const torch::Tensor action =
      learner.actor().Act({.obs = torch::zeros({1, 1}, torch::device(gpu_))}, nullptr, ActMode::kMean, generator);
  EXPECT_NEAR(action.item<double>(), 0.5, 0.1);
  EXPECT_EQ(learner.updates(), 600);
}

TEST_F(GpuComponents, UpdatesAllocateNothingOnceTheyAreUnderWay) {
  const ReplayBuffer buffer = FilledBuffer();
  MixedSampler sampler(buffer);
  SacLearner learner({}, kLayout, Rng(1), gpu_);
  const auto allocations = [&](int64_t updates) {
    const auto made = [&] {
      return c10::getDeviceAllocator(gpu_.type())->getDeviceStats(gpu_.index()).allocation[0].allocated;
    };
    const int64_t before = made();
    learner.Update(sampler, updates);
    return made() - before;
  };
  EXPECT_GT(allocations(3), 0);  // a workspace
  EXPECT_EQ(allocations(10), allocations(30));
}

TEST_F(GpuComponents, AHundredMinibatchesOfTheEnsembleStayWithTheCpus) {
  const torch::NoGradGuard no_grad;
  GaussianEnsemble cpu(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  GaussianEnsemble gpu(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
  gpu.parameters().values().copy_(cpu.parameters().values());
  const torch::Tensor start = cpu.parameters().values().clone();
  for (int step = 0; step < 100; ++step) {
    const torch::Tensor inputs = Draw({4, 64, 14});
    const torch::Tensor targets = inputs.slice(2, 0, 12) * 0.5 + 0.1 * Draw({4, 64, 12});
    cpu.ComputeGradients(inputs, targets);
    gpu.ComputeGradients(inputs.to(gpu_), targets.to(gpu_));
    if (step == 0) {
      const torch::Tensor expected = cpu.parameters().grads();
      EXPECT_LT((gpu.parameters().grads().cpu() - expected).abs().max().item<double>(),
                1e-5 * expected.abs().max().item<double>());
    }
    cpu.ApplyGradients();
    gpu.ApplyGradients();
  }
  EXPECT_LT(Apart(gpu.parameters().values(), cpu.parameters().values(), start), 0.01);
}

// next_obs = 0.9 obs, reward = 2 obs[0], each with a little noise.
TEST_F(GpuComponents, AFittedModelImaginesWhatItSaw) {
  TransitionBatch rows = RandomRows(4000);
  rows.log_weight().zero_();
  rows.next_obs().copy_(0.9 * rows.obs() + 0.02 * Draw({4000, 11}));
  rows.reward().copy_(2 * rows.obs().select(1, 0) + 0.02 * Draw({4000}));
  ReplayBuffer real(kLayout, 4000, gpu_);
  real.Add(OnGpu(rows));
  GaussianEnsembleConfig config = SmallConfig();
  config.weight_decay = {0, 0, 0};
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
  const Metrics fit = model.Fit(real, Rng(2));
  EXPECT_EQ(fit.Find("epochs"), 30);

  TaskFunctions task;
  task.terminated = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0) > 1.5;
  };
  const EnvSpec spec{.id = "linear",
                     .obs_low = std::vector<double>(11, -9),
                     .obs_high = std::vector<double>(11, 9),
                     .action_low = {-2, -2, -2},
                     .action_high = {2, 2, 2}};
  const ModelEnv model_env(model, task, spec, gpu_);
  UniformPolicy policy(3, gpu_);
  for (const UncertaintyUse use : {UncertaintyUse::kNone, UncertaintyUse::kPenalty}) {
    UncertaintyConfig uncertainty;
    uncertainty.use = use;
    uncertainty.coefficient = 0;
    BranchedRollout rollout({.start_states = 1000, .length = {0, 1, 3, 3}}, uncertainty, /*rollouts_per_epoch=*/1,
                            Rng(3), gpu_);
    ReplayBuffer imagined(kLayout, 100'000, gpu_);
    for (int run = 0; run < 4; ++run) {
      imagined.Clear();
      rollout.Run(/*epoch=*/0, real, model_env, policy, &imagined);
      const TransitionBatch all{kLayout, imagined.All().rows.cpu()};
      EXPECT_GT(all.size(), 2500);
      EXPECT_LT(all.size(), 3000);
      EXPECT_LT((all.next_obs() - 0.9 * all.obs()).square().mean().sqrt().item<double>(), 0.2);
      EXPECT_LT((all.reward() - 2 * all.obs().select(1, 0)).square().mean().sqrt().item<double>(), 0.2);
      EXPECT_TRUE(torch::equal(all.terminated() > 0, all.next_obs().select(1, 0) > 1.5));
      EXPECT_LE(all.action().abs().max().item<double>(), 1);
    }
  }
}

// A search that waited for the device anywhere could not be captured.
TEST_F(GpuComponents, APlanIsSearchedForWithoutWaitingForTheDevice) {
  const torch::NoGradGuard no_grad;
  GaussianEnsembleConfig config = SmallConfig();
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), gpu_);
  const EnvSpec spec{.id = "any", .action_low = {-2, -2, -2}, .action_high = {2, 2, 2}};
  const ModelEnv model_env(model, {}, spec, gpu_);
  const ImaginedReturn imagined(model_env, {.kind = Propagation::kTsInf, .particles = 4}, {});
  Cem cem({.population = 50, .elites = 5, .iterations = 3}, {.horizon = 6, .act_dim = 3}, gpu_);
  torch::Generator generator = MakeGenerator(Rng(2), gpu_);
  const torch::Tensor obs = torch::zeros({11}, torch::device(gpu_));
  torch::Tensor plan = torch::empty({6, 3}, torch::device(gpu_));
  RepeatedWork decision("a test's decision", gpu_, {generator});
  testing::internal::CaptureStderr();
  torch::Tensor last = torch::zeros({6, 3});
  for (int i = 0; i < 4; ++i) {
    decision.Run({}, [&] {
      plan.copy_(cem.Optimize({[&](const torch::Tensor& actions) { return imagined.Score(obs, actions, generator); }},
                              generator));
    });
    EXPECT_FALSE(torch::equal(plan.cpu(), last));
    EXPECT_LE(plan.abs().max().item<float>(), 1);
    last = plan.cpu();
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("a test's decision: captured as a CUDA graph"));
  EXPECT_THAT(said, Not(HasSubstr("cannot be captured")));
}

// With a deterministic model there is nothing to draw but the noise of the rows' order.
TEST_F(GpuComponents, PlansScoreAsOnTheCpu) {
  const ModelSpec spec{.layout = kLayout, .learn_reward = true};
  GaussianEnsembleConfig config = SmallConfig();
  config.deterministic = true;
  GaussianEnsemble cpu(config, spec, Rng(1), torch::kCPU);
  GaussianEnsemble gpu(config, spec, Rng(1), gpu_);
  StateTree tree = SaveState(cpu);
  LoadState(tree, gpu);
  const EnvSpec env_spec{.id = "any", .action_low = {-2, -2, -2}, .action_high = {2, 2, 2}};
  const torch::Tensor obs = Draw({11});
  const torch::Tensor actions = Draw({40, 6, 3}).tanh();
  const auto score = [&](const GaussianEnsemble& model, const torch::Device& device) {
    const torch::NoGradGuard no_grad;
    const ModelEnv model_env(model, {}, env_spec, device);
    torch::Generator generator = MakeGenerator(Rng(2), device);
    return ImaginedReturn(model_env, {.kind = Propagation::kTsInf, .particles = 4}, {})
        .Score(obs.to(device), actions.to(device), generator)
        .cpu();
  };
  EXPECT_TRUE(torch::allclose(score(gpu, gpu_), score(cpu, torch::kCPU), 1e-3, 1e-3));
}

TEST_F(GpuComponents, AnExportedPlannerIsThatOfTheGpuAndRunsThere) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "planner.pt";
  const EnvMaker maker = BuiltinEnvs().Find("CartPoleSwingUp-v0").maker();
  const auto model = [&](bool deterministic) {
    GaussianEnsembleConfig config = SmallConfig();
    config.deterministic = deterministic;
    const ModelSpec spec{.layout = {.obs_dim = 4, .act_dim = 1}, .features = maker.task_functions().features};
    return std::make_unique<GaussianEnsemble>(config, spec, Rng(1), gpu_);
  };
  const PlannerConfig planner = Planner("{kind: cem, horizon: 6, options: {population: 50, elites: 5}}");
  const torch::Tensor obs = 0.3 * Draw({3, 4});
  const torch::Tensor actions = Draw({20, 6, 1}).clamp_(-1, 1);
  for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf, Propagation::kDs, Propagation::kE}) {
    const int64_t elites = SmallConfig().elites;
    const PropagationConfig propagation{.kind = kind, .particles = kind == Propagation::kE ? 1 : 4 * elites};
    for (const bool deterministic : {false, true}) {
      const auto live = model(deterministic);
      ExportPlanner({.env = maker, .model = *live->gaussian_networks(), .propagation = propagation, .planner = planner},
                    *live->gaussian_networks(), file);
      torch::jit::Module on_gpu = torch::jit::load(file.string(), gpu_);
      const torch::Tensor first = on_gpu.forward({obs.to(gpu_), 1}).toTensor();
      EXPECT_TRUE(first.is_cuda());
      EXPECT_LE(first.abs().max().item<double>(), 1);
      EXPECT_TRUE(torch::allclose(on_gpu.forward({obs.to(gpu_), 1}).toTensor(), first, 0.05, 0.05));
      if (deterministic && (kind == Propagation::kTsInf || kind == Propagation::kE)) {  // nothing is random
        const torch::Tensor expected =
            torch::jit::load(file.string()).get_method("returns")({obs[0], actions}).toTensor();
        const torch::Tensor returns = on_gpu.get_method("returns")({obs[0].to(gpu_), actions.to(gpu_)}).toTensor();
        EXPECT_TRUE(torch::allclose(returns.cpu(), expected, 1e-3, 1e-3)) << returns.cpu() - expected;
      }
    }
  }
}

}  // namespace
}  // namespace reverie
