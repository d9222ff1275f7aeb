// Planning: a decision by CEM through a learned model beside rolling out as many rows, and one in the true simulator
// beside the physics alone. All of a decision counts, the policy around the planner included.
#include <benchmark/benchmark.h>
#include <mujoco/mujoco.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "reverie/config/reader.h"
#include "reverie/env/action_bounds.h"
#include "reverie/env/mujoco/half_cheetah.h"
#include "reverie/env/mujoco/reacher.h"
#include "reverie/env/registry.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/model_env.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/planning/mpc_policy.h"
#include "reverie/planning/simulator_return.h"
#include "reverie/policies/gaussian_actor.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/branched_rollout.h"
#include "reverie/run/device.h"

namespace reverie {
namespace {

constexpr int64_t kHorizon = 30;
constexpr int64_t kIterations = 5;

PlannerConfig CemOf(int64_t population) {
  PlannerConfig planner;
  ConfigDocument::FromText(
      "{kind: cem, horizon: " + std::to_string(kHorizon) + ", options: {population: " + std::to_string(population) +
          ", elites: " + std::to_string(population / 10) + ", iterations: " + std::to_string(kIterations) + "}}",
      "planner.yaml")
      .ReadInto(Fields::Of(planner));
  return planner;
}

// ---- Through a learned model ----

// PETS' HalfCheetah: the first number of an observation is the speed that is rewarded. scripts/peers/mbrl_planning.py
// does the same.
constexpr TransitionLayout kLayout{.obs_dim = 18, .act_dim = 6};

TaskFunctions Cheetah() {
  return {.reward = [](const torch::Tensor&, const torch::Tensor& action,
                       const torch::Tensor& next_obs) { return next_obs.select(1, 0) - 0.1 * action.square().sum(1); },
          .terminated = NeverTerminated};
}

// Observations that fall back to 0, so that long rollouts stay finite.
ReplayBuffer MadeUpRows() {
  constexpr int64_t kRows = 10'000;
  TransitionBatch batch = TransitionBatch::Empty(kLayout, kRows, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(0).Split("bench"), torch::kCPU);
  batch.rows.zero_();
  batch.obs().normal_(0, 1, generator);
  batch.action().uniform_(-1, 1, generator);
  batch.next_obs().normal_(0, 0.1, generator).add_(batch.obs(), 0.9);
  ReplayBuffer buffer(kLayout, kRows, torch::kCPU);
  buffer.Add(batch);
  return buffer;
}

struct World {
  explicit World(Precision precision) : ensemble(ConfigOf(precision), {.layout = kLayout}, Rng(0), torch::kCPU) {
    ensemble.Fit(rows, Rng(0));
  }
  static GaussianEnsembleConfig ConfigOf(Precision precision) {
    GaussianEnsembleConfig config;
    config.precision = precision;
    config.members = 5;
    config.elites = 5;
    config.holdout.max_epochs = 5;
    return config;
  }

  const ReplayBuffer rows = MadeUpRows();
  GaussianEnsemble ensemble;
  const ModelEnv model_env{
      ensemble,
      Cheetah(),
      {.id = "made up", .action_low = std::vector<double>(6, -1), .action_high = std::vector<double>(6, 1)},
      torch::kCPU};
};

const World& TheWorld(Precision precision) {
  static std::map<Precision, World> worlds;
  return worlds.try_emplace(precision, precision).first->second;
}

struct Size {
  int64_t population, particles;
  int64_t rows() const { return population * particles; }  // at once
  std::string name() const {
    return "/population:" + std::to_string(population) + "/particles:" + std::to_string(particles);
  }
};

// One after another of one episode, each from the last one's plan. Items are imagined rows.
void CemDecision(benchmark::State& state, Propagation propagation, Precision precision, const Size& size) {
  const World& world = TheWorld(precision);
  const ImaginedReturn imagined_return(world.model_env, {.kind = propagation, .particles = size.particles}, {});
  MpcPolicy policy(CemOf(size.population), kLayout.act_dim, 1,
                   {[&](const torch::Tensor& obs, const Env*, const torch::Tensor& actions,
                        torch::Generator& generator) { return imagined_return.Score(obs, actions, generator); }},
                   torch::kCPU);
  const std::unique_ptr<Env> env = BuiltinEnvs().Find("Pendulum-v1").maker().make();  // whose plan it is
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
  const std::array<int64_t, 1> row{0};
  const std::array<const Env*, 1> in_env{env.get()};
  const ActInput input{.obs = torch::zeros({1, kLayout.obs_dim}), .rows = row, .envs = in_env};
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  const auto decide = [&] { benchmark::DoNotOptimize(policy.Act(input, memory.get(), ActMode::kMean, generator)); };
  decide();
  for (auto _ : state) {
    decide();
  }
  if (memory->DrainMetrics().Find("share_not_finite") != 0.0) {
    state.SkipWithError("candidates without a return");
  }
  state.SetItemsProcessed(state.iterations() * size.rows() * kHorizon * kIterations);
}

// As many rows at once and in all, in one call. Items are rows.
void PlannedRollout(benchmark::State& state, const Policy& policy, const Size& size) {
  const World& world = TheWorld(Precision::kFloat32);
  RolloutConfig config;
  config.start_states = size.rows();
  config.length = {0, 1, kHorizon * kIterations, kHorizon * kIterations};
  BranchedRollout rollout(config, {}, /*rollouts_per_epoch=*/1, Rng(0), torch::kCPU);
  ReplayBuffer model_buffer(kLayout, config.RowsKept(kHorizon * kIterations, 1), torch::kCPU);
  const auto run = [&] {
    if (rollout.Run(/*epoch=*/0, world.rows, world.model_env, policy, &model_buffer).Find("dropped_rows") != 0.0) {
      state.SkipWithError("rows that are not finite");
    }
  };
  run();
  for (auto _ : state) {
    run();
  }
  state.SetItemsProcessed(state.iterations() * size.rows() * kHorizon * kIterations);
}

// ---- In the true simulator ----

constexpr int64_t kSimulatedPopulation = 100;

// The same decision again and again: the first of an episode, from one state, with the same draws.
class SimulatedDecision {
 public:
  SimulatedDecision(const std::string& id, int64_t threads)
      : maker_(BuiltinEnvs().Find(id).maker()),
        env_(maker_.make()),
        obs_(env_->spec().obs_low.size()),
        simulator_return_(maker_, threads),
        policy_(
            CemOf(kSimulatedPopulation), env_->spec().act_dim(), 1,
            {[this](const torch::Tensor&, const Env* env, const torch::Tensor& actions, torch::Generator& generator) {
              last_candidates.push_back(actions);
              return simulator_return_.Score(env->Snapshot(), actions, generator);
            }},
            torch::kCPU) {
    RandomEngine engine = Rng(1).Engine();
    env_->Reset(engine, obs_);
  }

  void Decide() {
    last_candidates.clear();
    const std::array<const Env*, 1> in_env{env_.get()};
    const ActInput input{.obs = torch::zeros({1, env_->spec().obs_dim()}), .envs = in_env};
    torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
    benchmark::DoNotOptimize(policy_.Act(input, nullptr, ActMode::kMean, generator));
  }

  const Env& env() const { return *env_; }

  std::vector<torch::Tensor> last_candidates;  // [P, H, A], one of an iteration

 private:
  EnvMaker maker_;
  std::unique_ptr<Env> env_;
  std::vector<double> obs_;
  SimulatorReturn simulator_return_;
  MpcPolicy policy_;
};

constexpr int64_t kSimulatedSteps = kSimulatedPopulation * kHorizon * kIterations;

void SimulatorPlan(benchmark::State& state, const std::string& id, int64_t threads) {
  UseThreads(threads);
  SimulatedDecision decision(id, threads);
  decision.Decide();
  for (auto _ : state) {
    decision.Decide();
  }
  state.SetItemsProcessed(state.iterations() * kSimulatedSteps);
}

struct DeleteData {
  void operator()(mjData* data) const { mj_deleteData(data); }
};

// MuJoCo's part of that decision, its candidates' actions replayed; each thread has its share of them, and nothing
// waits for anything.
template <class Task>
void SimulatorPhysics(benchmark::State& state, const std::string& id, int64_t threads) {
  SimulatedDecision decision(id, 1);
  decision.Decide();
  const EnvSpec& spec = decision.env().spec();
  const auto act_dim = static_cast<size_t>(spec.act_dim());
  const std::shared_ptr<const mjModel> model = LoadMujocoModel(typename Task::Options().xml_file);
  const int64_t frame_skip = typename Task::Options().frame_skip;
  const torch::Tensor candidates = torch::cat(decision.last_candidates);
  const float* actions = candidates.data_ptr<float>();
  std::vector<double> ctrl(static_cast<size_t>(candidates.numel()));
  for (size_t i = 0; i < ctrl.size(); i += act_dim) {
    ToEnvAction(spec, {actions + i, act_dim}, {ctrl.data() + i, act_dim});
  }
  std::vector<double> start(static_cast<size_t>(mj_stateSize(model.get(), mjSTATE_INTEGRATION)));
  mj_getState(model.get(), &decision.env().mujoco()->data(), start.data(), mjSTATE_INTEGRATION);
  std::vector<std::unique_ptr<mjData, DeleteData>> data;
  for (int64_t n = 0; n < threads; ++n) {
    data.emplace_back(mj_makeData(model.get()));
  }
  const auto simulate = [&](int64_t n) {
    mjData* d = data[static_cast<size_t>(n)].get();
    for (int64_t p = n * candidates.size(0) / threads; p < (n + 1) * candidates.size(0) / threads; ++p) {
      mj_setState(model.get(), d, start.data(), mjSTATE_INTEGRATION);
      for (int64_t t = 0; t < kHorizon; ++t) {
        std::copy_n(ctrl.data() + static_cast<size_t>(p * kHorizon + t) * act_dim, act_dim, d->ctrl);
        for (int64_t i = 0; i < frame_skip; ++i) {
          mj_step(model.get(), d);
        }
      }
    }
  };
  for (auto _ : state) {
    std::vector<std::thread> others;
    for (int64_t n = 1; n < threads; ++n) {
      others.emplace_back([&simulate, n] { simulate(n); });
    }
    simulate(0);
    for (std::thread& thread : others) {
      thread.join();
    }
  }
  state.SetItemsProcessed(state.iterations() * kSimulatedSteps);
}

// ---- All of them ----

void Register(const std::string& name, std::function<void(benchmark::State&)> function) {
  benchmark::RegisterBenchmark(name.c_str(), std::move(function))->Unit(benchmark::kMillisecond)->UseRealTime();
}

template <class Task>
void RegisterSimulated(const std::string& id) {
  for (const int64_t threads : {1, 2}) {
    const std::string name = "/" + id + "/threads:" + std::to_string(threads);
    Register("SimulatorPlan" + name, [=](benchmark::State& state) { SimulatorPlan(state, id, threads); });
    Register("SimulatorPhysics" + name, [=](benchmark::State& state) { SimulatorPhysics<Task>(state, id, threads); });
  }
}

const bool kRegistered = [] {
  for (const Size size : {Size{.population = 400, .particles = 20}, Size{.population = 100, .particles = 5}}) {
    for (const int64_t threads : {1, 2}) {
      const std::string name = size.name() + "/threads:" + std::to_string(threads);
      const auto register_decision = [&](const std::string& kind, Propagation propagation, Precision precision) {
        Register("CemDecision/" + kind + name, [=](benchmark::State& state) {
          UseThreads(threads);
          CemDecision(state, propagation, precision, size);
        });
      };
      register_decision("tsinf", Propagation::kTsInf, Precision::kFloat32);
      register_decision("ts1", Propagation::kTs1, Precision::kFloat32);
      if (HasCoarserPrecision()) {
        register_decision("tsinf-bf16x2", Propagation::kTsInf, Precision::kBf16x2);
        register_decision("tsinf-bf16", Propagation::kTsInf, Precision::kBf16);
      }
      Register("PlannedRollout/uniform" + name, [=](benchmark::State& state) {
        UseThreads(threads);
        UniformPolicy policy(kLayout.act_dim, torch::kCPU);
        PlannedRollout(state, policy, size);
      });
      Register("PlannedRollout/actor" + name, [=](benchmark::State& state) {
        UseThreads(threads);
        GaussianActor policy(kLayout.obs_dim, kLayout.act_dim, {.hidden = {256, 256}}, Rng(0), torch::kCPU);
        PlannedRollout(state, policy, size);
      });
    }
  }
  RegisterSimulated<HalfCheetah>("HalfCheetah-v5");
  RegisterSimulated<Reacher>("Reacher-v5");
  return true;
}();

}  // namespace
}  // namespace reverie
