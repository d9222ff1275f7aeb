#include "reverie/planning/export.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>

#include "oracle.h"
#include "planning/planners.h"
#include "reverie/env/registry.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/planning/mpc_policy.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using LQ = LinearQuadratic;

const char* const kCem = "{kind: cem, horizon: 12, options: {population: 60, elites: 6, iterations: 4}}";
const char* const kShooting = "{kind: random_shooting, horizon: 12, options: {population: 150}}";
const char* const kMppi = "{kind: mppi, horizon: 12, options: {population: 60, iterations: 3, lambda: 1e-7}}";

torch::Generator Seeded(uint64_t seed) {
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  generator.set_current_seed(seed);
  return generator;
}

struct Choices {
  std::string env = "LinearQuadratic-v0";
  std::string planner = kCem;
  PropagationConfig propagation{.kind = Propagation::kTsInf, .particles = 6};
  UncertaintyConfig uncertainty{};
  bool deterministic = false;
  bool learn_reward = false;
  ModelTarget target = ModelTarget::kDelta;
  bool normalise = false;
  Precision precision = Precision::kFloat32;
};

// A planner with an ensemble of random weights, and everything around it.
struct Subject {
  explicit Subject(const Choices& chosen)
      : choices(chosen),
        maker(BuiltinEnvs().Find(choices.env).maker()),
        spec(maker.make()->spec()),
        task(maker.task_functions()),
        planner(Planner(choices.planner)),
        model({.members = 4,
               .elites = 3,
               .hidden = {24, 24},
               .weight_decay = {0, 0, 0},
               .target = choices.target,
               .normalize_targets = choices.normalise,
               .deterministic = choices.deterministic,
               .precision = choices.precision},
              {.layout = {spec.obs_dim(), spec.act_dim()},
               .learn_reward = choices.learn_reward || !task.reward,
               .features = task.features},
              Rng(5), torch::kCPU) {
    // Everything that is a constant before the first fit, and other elites than the first three.
    Change([&](auto& tensors) {
      torch::Generator generator = Seeded(6);
      const auto draw = [&](const std::string& name, double low, double high) {
        torch::Tensor& tensor = tensors.at(name);
        tensor = low + (high - low) * torch::rand(tensor.sizes(), generator);
      };
      draw("input_mean", -0.2, 0.2);
      draw("input_std", 0.7, 1.4);
      draw("target_offset", -0.1, 0.1);
      draw("target_scale", 0.3, 0.6);
      if (torch::Tensor& scale = tensors.at("target_scale"); scale.size(0) > 1) {
        scale[1] = 0;  // of a target that does not vary
      }
      tensors.at("elites") = torch::tensor({3, 0, 2}, torch::kInt64);
    });
    if (!choices.deterministic) {
      model.max_log_var().sub_(2);
    }
  }

  using Tensors = std::map<std::string, torch::Tensor>;
  void Change(const std::function<void(Tensors&)>& change) {
    StateTree tree = SaveState(model);
    TensorFile values = tree.values();
    change(values.tensors);
    tree = StateTree(values, tree.rows());
    LoadState(tree, model);
  }

  PlannerParts parts() const {
    return {.env = maker,
            .model = *model.gaussian_networks(),
            .propagation = choices.propagation,
            .uncertainty = choices.uncertainty,
            .planner = planner};
  }
  void Export(const fs::path& path) const { ExportPlanner(parts(), *model.gaussian_networks(), path); }

  torch::Tensor Score(const torch::Tensor& obs, const torch::Tensor& actions, uint64_t seed) const {
    const torch::NoGradGuard no_grad;
    const ModelEnv model_env(model, task, spec, torch::kCPU);
    torch::Generator generator = Seeded(seed);
    return ImaginedReturn(model_env, choices.propagation, choices.uncertainty).Score(obs, actions, generator);
  }
  // The live planner's action, in [-1, 1].
  torch::Tensor Act(const torch::Tensor& obs, uint64_t seed) const {
    const ModelEnv model_env(model, task, spec, torch::kCPU);
    const ImaginedReturn imagined(model_env, choices.propagation, choices.uncertainty);
    MpcPolicy policy(planner, spec.act_dim(), 1,
                     {[&](const torch::Tensor& from, const Env*, const torch::Tensor& actions,
                          torch::Generator& generator) { return imagined.Score(from, actions, generator); }},
                     torch::kCPU);
    torch::Generator generator = Seeded(seed);
    return policy.Act({.obs = obs.unsqueeze(0)}, nullptr, ActMode::kMean, generator)[0];
  }

  Choices choices;
  EnvMaker maker;
  EnvSpec spec;
  TaskFunctions task;
  PlannerConfig planner;
  GaussianEnsemble model;
};

// LinearQuadratic-v0 itself as the model, exactly: x = silu(x) - silu(-x). With noise of variance `var` where it is
// probabilistic.
void MakeExact(Subject& subject, double var) {
  const torch::Tensor delta = torch::cat({TensorOf<4, 4>(LQ::A()) - torch::eye(4), TensorOf<4, 2>(LQ::B())}, 1).t();
  const EnsembleMlp& mlp = subject.model.mlp();
  for (size_t l = 0; l < 3; ++l) {
    mlp.weights()[l].zero_();
    mlp.biases()[l].zero_();
  }
  const torch::Tensor eye = torch::eye(6);
  const torch::Tensor both = torch::cat({eye, -eye}, 1);
  mlp.weights()[0].narrow(2, 0, 12).copy_(both);
  mlp.weights()[1].narrow(1, 0, 12).narrow(2, 0, 12).copy_(torch::cat({both, -both}));
  mlp.weights()[2].narrow(1, 0, 12).narrow(2, 0, 4).copy_(torch::cat({delta, -delta}));
  if (var > 0) {  // both bounds at once
    subject.model.max_log_var().fill_(std::log(var));
    subject.model.min_log_var().fill_(std::log(var) - 50);
    mlp.biases()[2].narrow(2, 4, 4).fill_(40);
  }
  subject.Change([](auto& tensors) {
    tensors.at("input_mean").zero_();
    tensors.at("input_std").fill_(1);
    tensors.at("target_offset").zero_();
    tensors.at("target_scale").fill_(1);
  });
}

class PlannerExportTest : public testing::Test {
 protected:
  // With one thread all that the live planner draws comes from one generator.
  PlannerExportTest() { at::set_num_threads(1); }

  fs::path file() const { return folder_.path() / "planner.pt"; }
  torch::jit::Module Exported(const Subject& subject) const {
    subject.Export(file());
    return torch::jit::load(file().string());
  }
  torch::Tensor Normal(at::IntArrayRef sizes) { return torch::randn(sizes, generator_); }
  torch::Tensor Uniform(at::IntArrayRef sizes) { return torch::rand(sizes, generator_) * 2 - 1; }
  // One more case for the Python script.
  void AddCase(const Subject& subject, const std::vector<std::pair<std::string, torch::Tensor>>& tensors) {
    const fs::path folder = folder_.path() / std::to_string(cases_++);
    fs::create_directory(folder);
    subject.Export(folder / "planner.pt");
    WriteTensors(folder / "case.safetensors", tensors);
  }
  void RunOracle(std::string arguments) const {
    for (int64_t i = 0; i < cases_; ++i) {
      arguments.append(" ").append(std::to_string(i));
    }
    EXPECT_EQ(RunPython("planning/export_oracle.py", folder_.path(), arguments), 0);
  }
  // What an export that is refused says; no file is left, and an old one stays.
  template <class Error>
  std::string Refusal(const std::function<void()>& write) const {
    std::ofstream(file()) << "old";
    try {
      write();
    } catch (const Error& error) {
      std::string text;
      std::ifstream(file()) >> text;
      EXPECT_EQ(text, "old");
      EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
      return error.what();
    }
    return "nothing";
  }

  TemporaryFolder folder_;
  int64_t cases_ = 0;
  torch::Generator generator_ = Seeded(7);
};

torch::Tensor Returns(torch::jit::Module& module, const torch::Tensor& obs, const torch::Tensor& actions,
                      int64_t seed) {
  return module.get_method("returns")({obs, actions, seed}).toTensor();
}

void ExpectClose(const torch::Tensor& written, const torch::Tensor& live, double tolerance, const std::string& what) {
  ASSERT_EQ(written.sizes(), live.sizes()) << what;
  EXPECT_LE((written - live).abs().max().item<double>(), tolerance * (1 + live.abs().max().item<double>())) << what;
}

// ---- What it imagines ----

// Draw for draw: the module's generator and the live one give the same numbers on the CPU.
TEST_F(PlannerExportTest, ReturnsAreTheLiveOnesForEqualSeeds) {
  const std::vector<std::pair<std::string, Choices>> cases{
      {"ts1", {.propagation = {.kind = Propagation::kTs1, .particles = 5}}},
      {"tsinf", {.propagation = {.kind = Propagation::kTsInf, .particles = 6}}},
      {"e", {.propagation = {.kind = Propagation::kE, .particles = 1}}},
      {"deterministic, ts1", {.propagation = {.kind = Propagation::kTs1, .particles = 4}, .deterministic = true}},
      {"normalised next observations", {.target = ModelTarget::kNextObs, .normalise = true}},
      {"features and a learned reward", {.env = "CartPoleSwingUp-v0", .learn_reward = true, .normalise = true}},
      {"other bounds", {.env = "Pendulum-v1"}},
      {"an end", {.env = "InvertedPendulum-v5"}},
      {"more rows than go at once", {.propagation = {.kind = Propagation::kTs1, .particles = 450}}}};
  for (const auto& [name, choices] : cases) {
    const Subject subject(choices);
    torch::jit::Module module = Exported(subject);
    const torch::Tensor actions = Uniform({25, 11, subject.spec.act_dim()});
    for (int64_t seed = 0; seed < 4; ++seed) {  // TorchScript optimises what it has run before
      const torch::Tensor obs = 0.1 * Normal({subject.spec.obs_dim()});
      ExpectClose(Returns(module, obs, actions, seed), subject.Score(obs, actions, static_cast<uint64_t>(seed)), 1e-4,
                  name);
    }
  }
}

TEST_F(PlannerExportTest, IsInFloat32WhateverTheModelsPrecision) {
  torch::jit::Module float32 = Exported(Subject({}));
  const torch::Tensor actions = Uniform({20, 11, 2});
  const torch::Tensor obs = 0.1 * Normal({4});
  for (const Precision precision : {Precision::kBf16x2, Precision::kBf16}) {
    torch::jit::Module module = Exported(Subject({.precision = precision}));
    EXPECT_TRUE(torch::equal(Returns(module, obs, actions, 0), Returns(float32, obs, actions, 0)));
  }
}

TEST_F(PlannerExportTest, ACandidateThatIsNoNumberIsTheWorst) {
  Subject subject({.env = "Pendulum-v1"});
  subject.task.reward = [](const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor&) {
    return obs.select(1, 0) + torch::log(action.select(1, 0));
  };
  subject.maker.task_functions = [task = subject.task] { return task; };
  torch::jit::Module module = Exported(subject);
  const torch::Tensor returns =
      Returns(module, torch::zeros({3}), torch::tensor({0.5F, -0.5F}).view({2, 1, 1}).expand({2, 3, 1}), 0);
  EXPECT_TRUE(std::isfinite(returns[0].item<float>()));
  EXPECT_EQ(returns[1].item<float>(), -std::numeric_limits<float>::infinity());
}

TEST_F(PlannerExportTest, AnObservationThatIsNoNumberHasNoAction) {
  for (const char* planner : {kCem, kShooting, kMppi}) {
    const Subject subject({.planner = planner});
    torch::jit::Module module = Exported(subject);
    const torch::Tensor obs = Normal({3, subject.spec.obs_dim()});
    const torch::Tensor actions = module.forward({obs}).toTensor();
    obs[0][1] = std::nanf("");
    obs[2][0] = std::numeric_limits<float>::infinity();
    const torch::Tensor written = module.forward({obs}).toTensor();
    EXPECT_TRUE(written[0].isnan().all().item<bool>()) << planner;
    EXPECT_TRUE(torch::equal(written[1], actions[1])) << planner;
    EXPECT_TRUE(written[2].isnan().all().item<bool>()) << planner;
    EXPECT_TRUE(actions.isfinite().all().item<bool>()) << planner;
  }
}

TEST_F(PlannerExportTest, PythonImaginesTheSameFromTheParameters) {
  for (const std::string env : {"LinearQuadratic-v0", "CartPoleSwingUp-v0"}) {
    for (const bool next_obs : {false, true}) {
      const Subject subject({.env = env,
                             .deterministic = true,
                             .learn_reward = env == "CartPoleSwingUp-v0" && next_obs,
                             .target = next_obs ? ModelTarget::kNextObs : ModelTarget::kDelta,
                             .normalise = next_obs});
      AddCase(subject, {{"obs", Normal({3, 4})},
                        {"actions", Uniform({7, 5, subject.spec.act_dim()})},
                        {"target_is_next_obs", torch::tensor(next_obs ? 1 : 0)}});
    }
  }
  RunOracle("returns");
}

TEST_F(PlannerExportTest, NoiseHasTheMomentsThatEveryPropagationShould) {
  constexpr double kVar = 0.01;
  for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf, Propagation::kDs, Propagation::kE}) {
    Subject subject({.propagation = {.kind = kind, .particles = kind == Propagation::kE ? 1 : 600}});
    MakeExact(subject, kVar);
    AddCase(subject, {{"obs", torch::tensor({{0.2F, -0.1F, 0.1F, 0.05F}})},
                      {"actions", 0.5 * Uniform({3, 6, 2})},
                      {"a", TensorOf<4, 4>(LQ::A())},
                      {"b", TensorOf<4, 2>(LQ::B())},
                      {"v", torch::tensor(kVar)},
                      {"kind", torch::tensor(static_cast<int64_t>(kind))}});
  }
  RunOracle("noise");
}

// ---- What it plans ----

TEST_F(PlannerExportTest, PlansAsTheLivePlannerForEqualSeeds) {
  for (const char* planner : {kShooting, kCem, kMppi}) {
    for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf}) {
      const Subject subject({.env = "Pendulum-v1", .planner = planner, .propagation = {.kind = kind, .particles = 6}});
      torch::jit::Module module = Exported(subject);
      const torch::Tensor obs = Normal({8, 3});
      int64_t same = 0;
      for (int64_t row = 0; row < obs.size(0); ++row) {
        const torch::Tensor written = module.forward({obs.narrow(0, row, 1), row}).toTensor()[0];
        const torch::Tensor live = 2 * subject.Act(obs[row], static_cast<uint64_t>(row));  // bounds of [-2, 2]
        same += torch::allclose(written, live, 1e-3, 1e-3) ? 1 : 0;
      }
      // A rounding error that turns the order of two candidates may make another plan, which is rare.
      EXPECT_GE(same, obs.size(0) - 1) << planner;
    }
  }
}

// The searches themselves, on one objective, from a plan that is none of their starts.
TEST_F(PlannerExportTest, EverySearchIsItsPlanners) {
  const auto objective = [](const torch::Tensor& actions) {
    return -(actions - 0.6).square().sum({1, 2}) + 0.1 * (9 * actions.select(1, 1).select(1, 0)).sin();
  };
  for (const Kind<PlannerMaker>& entry : Planners()) {
    PlannerConfig config = Planner("{kind: " + entry.name + ", horizon: 5}");
    if (!config.choice.maker().torchscript) {
      EXPECT_THAT(entry.name, testing::AnyOf("icem", "gradient", "ilqs"));
      continue;
    }
    torch::jit::Module module("__torch__.Search");
    module.define(config.choice.maker().torchscript() + R"(
def _score(self, obs: Tensor, actions: Tensor, generator: Generator) -> Tensor:
  near = -torch.square(actions - 0.6).sum([1, 2])
  scores = near + 0.1 * torch.sin(9.0 * actions.select(1, 1).select(1, 0))
  return torch.where(actions.select(1, 0).select(1, 0) > obs, torch.full_like(scores, float("nan")), scores)
def search(self, obs: Tensor, plan: Tensor, seed: int) -> Tensor:
  generator = torch.Generator(device=plan.device)
  generator.manual_seed(seed)
  return self._search(obs, plan, generator)
)");
    for (const float limit : {2.0F, 0.3F, -2.0F}) {  // all candidates count, some, none
      const std::unique_ptr<SequenceOptimizer> planner = config.choice.maker().make({5, 2}, torch::kCPU);
      const auto scored = [&](const torch::Tensor& actions) {
        return torch::where(actions.select(1, 0).select(1, 0) > limit, std::nanf(""), objective(actions));
      };
      torch::Generator generator = Seeded(1);
      const torch::Tensor first = planner->Optimize({objective}, generator);
      planner->Shift(1);
      StateTree tree = SaveState(*planner);
      const torch::Tensor start = tree.values().tensors.begin()->second.clone();
      generator = Seeded(2);
      const torch::Tensor live = planner->Optimize({scored}, generator);
      const torch::Tensor written = module.get_method("search")({torch::tensor(limit), start, int64_t{2}}).toTensor();
      ExpectClose(written, live, 1e-5, entry.name);
      EXPECT_EQ(torch::equal(written, start), limit == -2.0F) << entry.name;
    }
  }
}

TEST_F(PlannerExportTest, PythonSeesAPlannerWithSeeds) {
  const Subject subject({});
  AddCase(subject, {{"obs", Normal({5, 4})}});
  RunOracle("facts");
}

TEST_F(PlannerExportTest, ThePlanIsNearTheOptimumOfAKnownSystem) {
  // No first action of a search comes nearer than its candidates allow.
  const std::map<std::string, double> tolerance{
      {"{kind: random_shooting, horizon: 2, options: {population: 4000}}", 0.1},
      {"{kind: cem, horizon: 15, options: {population: 400, elites: 40, iterations: 12}}", 0.06},
      {"{kind: mppi, horizon: 15, options: {population: 1000, iterations: 40, sigma: 0.1, lambda: 0.1}}", 0.06}};
  for (const auto& [planner, allowed] : tolerance) {
    Subject subject(
        {.planner = planner, .propagation = {.kind = Propagation::kE, .particles = 1}, .deterministic = true});
    MakeExact(subject, 0);
    const LQ::Solution solution = LQ::Solve(subject.planner.horizon);
    AddCase(subject, {{"obs", torch::tensor({{0.3F, -0.2F, 0.1F, 0.0F}, {-0.2F, -0.3F, 0.0F, -0.1F}})},
                      {"k", TensorOf<2, 4>(solution.k)},
                      {"tolerance", torch::tensor(allowed)}});
  }
  RunOracle("control");
}

TEST_F(PlannerExportTest, AProgramWithOnlyLibTorchPlans) {
  const Subject subject({});
  torch::jit::Module module = Exported(subject);
  const torch::Tensor obs = torch::tensor({{0.25F, -0.5F, 0.125F, 0.0F}, {1.0F, 0.5F, -0.25F, 0.75F}});
  const std::string actions = (folder_.path() / "actions.txt").string();
  const std::string command =
      "printf '0.25 -0.5 0.125 0\\n1 0.5 -0.25 0.75\\n' | " REVERIE_LOAD_POLICY " " + file().string() + " > " + actions;
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream text(actions);
  std::vector<float> numbers;
  for (float number = 0; text >> number;) {
    numbers.push_back(number);
  }
  ASSERT_EQ(numbers.size(), 4U);
  ExpectClose(torch::tensor(numbers).view({2, 2}), module.forward({obs}).toTensor(), 1e-6, "actions");
}

// ---- Tasks ----

TEST_F(PlannerExportTest, EveryTaskCanBeExported) {
  const EnvRegistry envs = BuiltinEnvs();
  for (const EnvEntry& env : envs.entries()) {
    const Subject subject({.env = env.id});
    torch::jit::Module module = Exported(subject);
    const torch::Tensor obs = Normal({subject.spec.obs_dim()});
    const torch::Tensor actions = Uniform({4, 2, subject.spec.act_dim()});
    ExpectClose(Returns(module, obs, actions, 3), subject.Score(obs, actions, 3), 1e-4, env.id);
  }
}

TEST_F(PlannerExportTest, ATaskThatCannotBeTracedIsRefused) {
  const auto refusal = [&](const TaskFunctions::Batched& reward) {
    Subject subject({});
    subject.maker.task_functions = [reward] { return TaskFunctions{.reward = reward}; };
    return Refusal<std::invalid_argument>([&] { subject.Export(file()); });
  };
  EXPECT_THAT(refusal([](const torch::Tensor& obs, const auto&, const auto&) {
                return obs.select(1, 0) + torch::zeros({obs.size(0)});
              }),
              testing::AllOf(HasSubstr("the reward of LinearQuadratic-v0 cannot be exported"),
                             HasSubstr("its trace fails ("), HasSubstr("traced on 3 rows")));
  EXPECT_THAT(refusal([](const torch::Tensor& obs, const auto&, const auto&) { return torch::zeros({obs.size(0)}); }),
              HasSubstr("its trace gives other numbers than itself on 1000"));
  EXPECT_THAT(refusal([](const torch::Tensor& obs, const auto&, const auto&) {
                return obs.select(1, 0) * obs.abs().max().template item<float>();
              }),
              HasSubstr("its trace gives other numbers than itself on 1000"));
}

// ---- Large weights ----

// Weights that have grown, and a first dimension that is the small difference of large numbers, so that float32 knows
// it to some per cent only. `order` is that of the hidden units, which the function does not depend on.
void MakeLarge(Subject& subject, const torch::Tensor& order) {
  const EnsembleMlp& mlp = subject.model.mlp();
  for (size_t l = 0; l < 3; ++l) {
    mlp.weights()[l].mul_(5);
  }
  mlp.weights()[1].select(2, 1).copy_(mlp.weights()[1].select(2, 0));
  torch::Tensor first = mlp.weights()[2].select(2, 0);
  first.mul_(1e-2).select(1, 0).fill_(1e4);
  first.select(1, 1).fill_(-1e4);
  for (const auto& [layer, dim] : {std::pair(0, 2), std::pair(1, 1), std::pair(1, 2), std::pair(2, 1)}) {
    mlp.weights()[static_cast<size_t>(layer)].copy_(mlp.weights()[static_cast<size_t>(layer)].index_select(dim, order));
  }
  subject.Change([](auto&) {});  // the elites are copies
}

TEST_F(PlannerExportTest, AModelOfLargeWeightsInAnotherOrderIsTheSame) {
  Subject subject({});
  Subject live({});
  const torch::Tensor order = torch::arange(24);
  MakeLarge(subject, order);
  MakeLarge(live, order.flip(0));
  ExportPlanner(subject.parts(), *live.model.gaussian_networks(), file());
  EXPECT_TRUE(fs::exists(file()));
  live.model.mlp().weights()[1][0][3][4] *= 1 + 1e-5;
  live.Change([](auto&) {});
  EXPECT_THAT(
      Refusal<std::runtime_error>([&] { ExportPlanner(subject.parts(), *live.model.gaussian_networks(), file()); }),
      HasSubstr("of the mean that its model predicts in float64"));
}

// ---- Refusals ----

TEST_F(PlannerExportTest, WhatHasNoModuleIsRefused) {
  const auto refusal = [&](const Choices& choices) {
    return Refusal<std::invalid_argument>([&] { Subject(choices).Export(file()); });
  };
  EXPECT_EQ(refusal({.planner = "{kind: icem}"}),
            "planner.kind: icem cannot be exported, as its search is not written in TorchScript; that of "
            "random_shooting, cem, mppi is");
  EXPECT_THAT(refusal({.planner = "{kind: gradient}"}), HasSubstr("planner.kind: gradient cannot be exported"));
  EXPECT_THAT(refusal({.uncertainty = {.use = UncertaintyUse::kPenalty}}), HasSubstr("uncertainty.use: "));
}

TEST_F(PlannerExportTest, AModelThatDiffersFromTheLiveOneIsRefused) {
  const Subject subject({});
  Subject live({});
  const auto refusal = [&] {
    return Refusal<std::runtime_error>(
        [&] { ExportPlanner(subject.parts(), *live.model.gaussian_networks(), file()); });
  };
  EXPECT_EQ(refusal(), "nothing");
  live.model.max_log_var().add_(1e-5);
  EXPECT_THAT(refusal(), HasSubstr("the planner in " + file().string() +
                                   " would not be the one in use: of the variance that its model predicts in float64"));
  live.Change([](auto& tensors) { tensors.at("input_mean").add_(1e-5); });
  EXPECT_THAT(refusal(), HasSubstr("of the mean that its model predicts in float64"));
  EXPECT_THAT(Refusal<std::runtime_error>([&] {
                Subject broken({});
                broken.Change([](auto& tensors) { tensors.at("input_std")[0] = std::nan(""); });
                broken.Export(file());
              }),
              HasSubstr("input_std has numbers that are not finite"));
}

}  // namespace
}  // namespace reverie
