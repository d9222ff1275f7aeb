// Environment steps beside the physics alone: MuJoCo's functions, replayed over the starts and actions of our own run.
#include <benchmark/benchmark.h>
#include <mujoco/mujoco.h>

#include <barrier>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "reverie/env/mujoco/ant.h"
#include "reverie/env/mujoco/half_cheetah.h"
#include "reverie/env/mujoco/hopper.h"
#include "reverie/env/mujoco/humanoid.h"
#include "reverie/env/mujoco/mujoco_env.h"
#include "reverie/env/mujoco/walker2d.h"
#include "reverie/env/registry.h"
#include "reverie/env/vector_env.h"

namespace reverie {
namespace {

constexpr int64_t kSingleSteps = 2000;
constexpr int64_t kCopies = 64;
constexpr int64_t kThreads = 2;
constexpr int64_t kVectorSteps = 100;

// Uniform in the bounds: [steps * act_dim].
std::vector<double> UniformActions(const EnvSpec& spec, int64_t steps, const Rng& rng) {
  RandomEngine engine = rng.Engine();
  std::vector<double> actions;
  for (int64_t t = 0; t < steps; ++t) {
    for (size_t j = 0; j < spec.action_low.size(); ++j) {
      actions.push_back(std::uniform_real_distribution<double>(spec.action_low[j], spec.action_high[j])(engine));
    }
  }
  return actions;
}

std::span<const double> ActionAt(const std::vector<double>& actions, const EnvSpec& spec, int64_t t) {
  const auto act_dim = static_cast<size_t>(spec.act_dim());
  return {actions.data() + static_cast<size_t>(t) * act_dim, act_dim};
}

struct DeleteData {
  void operator()(mjData* data) const { mj_deleteData(data); }
};

// MuJoCo's part of one copy's run: the state each episode began from, and the actions.
template <class Task>
class Physics {
 public:
  explicit Physics(std::vector<double> actions)
      : model_(LoadMujocoModel(typename Task::Options().xml_file)),
        data_(mj_makeData(model_.get())),
        actions_(std::move(actions)),
        frame_skip_(typename Task::Options().frame_skip) {
    if constexpr (requires { &Task::Options::include_cfrc_ext_in_observation; }) {
      contact_forces_ = typename Task::Options().include_cfrc_ext_in_observation;
    }
  }

  void BeginsFrom(int64_t t, const MujocoSimulation& simulation) {
    std::vector<double> state(static_cast<size_t>(mj_stateSize(model_.get(), mjSTATE_INTEGRATION)));
    mj_getState(model_.get(), &simulation.data(), state.data(), mjSTATE_INTEGRATION);
    starts_.emplace_back(t, std::move(state));
  }

  void Rewind() { next_start_ = 0; }

  void Step(int64_t t) {
    if (next_start_ < starts_.size() && starts_[next_start_].first == t) {
      mj_setState(model_.get(), data_.get(), starts_[next_start_++].second.data(), mjSTATE_INTEGRATION);
    }
    std::copy_n(actions_.data() + t * model_->nu, model_->nu, data_->ctrl);
    for (int64_t i = 0; i < frame_skip_; ++i) {
      mj_step(model_.get(), data_.get());
    }
    if (contact_forces_) {
      mj_rnePostConstraint(model_.get(), data_.get());
    }
  }

 private:
  std::shared_ptr<const mjModel> model_;
  std::unique_ptr<mjData, DeleteData> data_;
  std::vector<double> actions_;
  int64_t frame_skip_;
  bool contact_forces_ = false;
  std::vector<std::pair<int64_t, std::vector<double>>> starts_;
  size_t next_start_ = 0;
};

// One environment, `steps` steps, an episode after another. on_start(t) is called after each reset.
template <class OnStart>
void RunEpisodes(Env& env, const std::vector<double>& actions, int64_t steps, RandomEngine engine, OnStart on_start) {
  std::vector<double> obs(env.spec().obs_low.size());
  bool ended = true;
  for (int64_t t = 0; t < steps; ++t) {
    if (ended) {
      env.Reset(engine, obs);
      on_start(t);
    }
    const StepResult result = env.Step(ActionAt(actions, env.spec(), t), obs);
    ended = result.terminated || result.truncated;
  }
}

template <class Task>
void EnvSteps(benchmark::State& state, const std::string& id) {
  MujocoEnv<Task> env(id, {});
  const std::vector<double> actions = UniformActions(env.spec(), kSingleSteps, Rng(0));
  for (auto _ : state) {
    RunEpisodes(env, actions, kSingleSteps, Rng(1).Engine(), [](int64_t) {});
  }
  state.SetItemsProcessed(state.iterations() * kSingleSteps);
}

template <class Task>
void PhysicsSteps(benchmark::State& state, const std::string& id) {
  MujocoEnv<Task> env(id, {});
  const std::vector<double> actions = UniformActions(env.spec(), kSingleSteps, Rng(0));
  Physics<Task> physics(actions);
  RunEpisodes(env, actions, kSingleSteps, Rng(1).Engine(), [&](int64_t t) { physics.BeginsFrom(t, *env.mujoco()); });
  for (auto _ : state) {
    physics.Rewind();
    for (int64_t t = 0; t < kSingleSteps; ++t) {
      physics.Step(t);
    }
  }
  state.SetItemsProcessed(state.iterations() * kSingleSteps);
}

// All copies of a vector, kVectorSteps steps, each reset when its episode ends. on_start(i, t) is called after resets.
template <class OnStart>
void RunVector(VectorEnv& envs, const std::vector<double>& actions, OnStart on_start) {
  const auto act_dim = static_cast<size_t>(envs.spec().act_dim());
  std::vector<double> obs(static_cast<size_t>(kCopies * envs.spec().obs_dim()));
  std::vector<StepResult> results(static_cast<size_t>(kCopies));
  std::vector<int64_t> ended(static_cast<size_t>(kCopies));
  for (int64_t i = 0; i < kCopies; ++i) {
    ended[static_cast<size_t>(i)] = i;
  }
  for (int64_t t = 0; t < kVectorSteps; ++t) {
    if (!ended.empty()) {
      envs.Reset(ended, obs);
      on_start(ended, t);
      ended.clear();
    }
    envs.Step({actions.data() + static_cast<size_t>(t * kCopies) * act_dim, static_cast<size_t>(kCopies) * act_dim},
              obs, results);
    for (int64_t i = 0; i < kCopies; ++i) {
      const StepResult& result = results[static_cast<size_t>(i)];
      if (result.terminated || result.truncated) {
        ended.push_back(i);
      }
    }
  }
}

template <class Task>
std::unique_ptr<VectorEnv> MakeVector(const std::string& id) {
  return std::make_unique<VectorEnv>([&id] { return std::make_unique<MujocoEnv<Task>>(id, typename Task::Options{}); },
                                     kCopies, kThreads, Rng(1));
}

template <class Task>
void VectorSteps(benchmark::State& state, const std::string& id) {
  const std::unique_ptr<VectorEnv> envs = MakeVector<Task>(id);
  const std::vector<double> actions = UniformActions(envs->spec(), kVectorSteps * kCopies, Rng(0));
  for (auto _ : state) {
    RunVector(*envs, actions, [](const std::vector<int64_t>&, int64_t) {});
  }
  state.SetItemsProcessed(state.iterations() * kVectorSteps * kCopies);
}

// Each thread has its share of the copies, step after step; nothing waits for anything.
template <class Task>
void VectorPhysics(benchmark::State& state, const std::string& id) {
  const std::unique_ptr<VectorEnv> envs = MakeVector<Task>(id);
  const std::vector<double> actions = UniformActions(envs->spec(), kVectorSteps * kCopies, Rng(0));
  const auto act_dim = envs->spec().act_dim();
  std::vector<Physics<Task>> physics;
  for (int64_t i = 0; i < kCopies; ++i) {
    std::vector<double> own;
    for (int64_t t = 0; t < kVectorSteps; ++t) {
      const double* first = actions.data() + (t * kCopies + i) * act_dim;
      own.insert(own.end(), first, first + act_dim);
    }
    physics.emplace_back(std::move(own));
  }
  RunVector(*envs, actions, [&](const std::vector<int64_t>& started, int64_t t) {
    for (const int64_t i : started) {
      const auto& env = static_cast<const MujocoEnv<Task>&>(envs->env(i));
      physics[static_cast<size_t>(i)].BeginsFrom(t, *env.mujoco());
    }
  });
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (int64_t n = 0; n < kThreads; ++n) {
      threads.emplace_back([&, n] {
        const int64_t begin = n * kCopies / kThreads;
        const int64_t end = (n + 1) * kCopies / kThreads;
        for (int64_t i = begin; i < end; ++i) {
          physics[static_cast<size_t>(i)].Rewind();
        }
        for (int64_t t = 0; t < kVectorSteps; ++t) {
          for (int64_t i = begin; i < end; ++i) {
            physics[static_cast<size_t>(i)].Step(t);
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  state.SetItemsProcessed(state.iterations() * kVectorSteps * kCopies);
}

template <class Task>
void Register(const std::string& id) {
  const auto add = [&id](const std::string& name, void (*function)(benchmark::State&, const std::string&)) {
    benchmark::RegisterBenchmark((name + "/" + id).c_str(), function, id)
        ->Unit(benchmark::kMillisecond)
        ->MeasureProcessCPUTime()
        ->UseRealTime();
  };
  add("EnvSteps", EnvSteps<Task>);
  add("PhysicsSteps", PhysicsSteps<Task>);
  add("VectorSteps", VectorSteps<Task>);
  add("VectorPhysics", VectorPhysics<Task>);
}

// A task of dm_control's suite, beside nothing but dm_control itself.
void SuiteSteps(benchmark::State& state, const std::string& id) {
  const std::unique_ptr<Env> env = BuiltinEnvs().Find(id).maker().make();
  const std::vector<double> actions = UniformActions(env->spec(), kSingleSteps, Rng(0));
  for (auto _ : state) {
    RunEpisodes(*env, actions, kSingleSteps, Rng(1).Engine(), [](int64_t) {});
  }
  state.SetItemsProcessed(state.iterations() * kSingleSteps);
}

void SuiteVectorSteps(benchmark::State& state, const std::string& id) {
  VectorEnv envs(BuiltinEnvs().Find(id).maker().make, kCopies, kThreads, Rng(1));
  const std::vector<double> actions = UniformActions(envs.spec(), kVectorSteps * kCopies, Rng(0));
  for (auto _ : state) {
    RunVector(envs, actions, [](const std::vector<int64_t>&, int64_t) {});
  }
  state.SetItemsProcessed(state.iterations() * kVectorSteps * kCopies);
}

const bool kRegistered = [] {
  for (const std::string id : {"dm_control/walker-walk", "dm_control/cheetah-run"}) {
    for (const auto& [name, function] :
         {std::pair{"SuiteSteps/", &SuiteSteps}, std::pair{"SuiteVectorSteps/", &SuiteVectorSteps}}) {
      benchmark::RegisterBenchmark((name + id).c_str(), function, id)
          ->Unit(benchmark::kMillisecond)
          ->MeasureProcessCPUTime()
          ->UseRealTime();
    }
  }
  Register<HalfCheetah>("HalfCheetah-v5");
  Register<Hopper>("Hopper-v5");
  Register<Walker2d>("Walker2d-v5");
  Register<Ant>("Ant-v5");
  Register<Humanoid>("Humanoid-v5");
  return true;
}();

}  // namespace
}  // namespace reverie
