#include "reverie/planning/simulator_return.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "reverie/core/state.h"
#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

TEST(SimulatorReturn, IsWhatTheEnvironmentWouldGive) {
  for (const std::string id : {"CartPoleSwingUp-v0", "Reacher-v5", "Hopper-v5"}) {
    const EnvMaker maker = BuiltinEnvs().Find(id).maker();
    const std::unique_ptr<Env> env = maker.make();
    const EnvSpec& spec = env->spec();
    std::vector<double> obs(spec.obs_low.size());
    std::vector<double> env_action(spec.action_low.size());
    RandomEngine engine = Rng(1).Engine();
    env->Reset(engine, obs);
    torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
    const int64_t candidates = 20;
    const int64_t horizon = 60;  // long enough for Hopper to fall
    const torch::Tensor actions =
        torch::rand({candidates, horizon, spec.act_dim()}, generator).mul_(2).sub_(1).contiguous();
    const std::vector<double> snapshot = env->Snapshot();
    const torch::Tensor one = SimulatorReturn(maker, 1).Score(snapshot, actions, generator);
    const torch::Tensor three = SimulatorReturn(maker, 3).Score(snapshot, actions, generator);
    int64_t fallen = 0;
    for (int64_t p = 0; p < candidates; ++p) {
      env->Restore(snapshot);
      double sum = 0;
      for (int64_t t = 0; t < horizon; ++t) {
        const torch::Tensor action = actions[p][t].contiguous();
        ToEnvAction(spec, {action.data_ptr<float>(), env_action.size()}, env_action);
        const StepResult step = env->Step(env_action, obs);
        sum += step.reward;
        if (step.terminated) {
          ++fallen;
          break;
        }
      }
      EXPECT_EQ(one[p].item<float>(), static_cast<float>(sum)) << id << " " << p;
      EXPECT_EQ(three[p].item<float>(), static_cast<float>(sum)) << id << " " << p;
    }
    EXPECT_EQ(fallen > 0, id == "Hopper-v5");
  }
}

// From 0.4 one step of Fork-v0 lands in the pit with probability 1/2 P(|-0.1 + 0.1 a + 0.05 xi| < 0.1), which is 0.2500
// for a = 0 and 0.4772 for a = 1, and never from 0. An env that foresaw its own step would say 0 or -1.
TEST(SimulatorReturn, OfRandomStepsIsAMeanOverNoiseThatIsNotForeseen) {
  const EnvMaker maker = BuiltinEnvs().Find("Fork-v0").maker();
  const std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(1);
  RandomEngine engine = Rng(1).Engine();
  env->Reset(engine, obs);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  SimulatorReturn simulator(maker, 2);
  // Of as many searches, each with draws of its own: the first of their sequences, which are all alike.
  constexpr int64_t kSearches = 500;
  const auto scores = [&](double state, double action) {
    env->SetState(std::vector<double>{state}, obs);
    torch::Tensor first = torch::empty({kSearches});
    for (int64_t i = 0; i < kSearches; ++i) {
      const torch::Tensor score = simulator.Score(env->Snapshot(), torch::full({3, 1, 1}, action), generator);
      EXPECT_EQ(score.max().item<float>(), score.min().item<float>()) << "the same noise for those that are compared";
      first[i] = score[0];
    }
    return first;
  };
  const double deviation = 0.5 / std::sqrt(20.0 * kSearches);
  EXPECT_NEAR(scores(0.4, 0).mean().item<double>(), -0.25, 4 * deviation);
  EXPECT_NEAR(scores(0.4, 1).mean().item<double>(), -0.4772, 4 * deviation);
  EXPECT_NEAR(scores(0.4, 1).std().item<double>(), std::sqrt(0.4772 * 0.5228 / 20), 0.015) << "20 draws";
  EXPECT_EQ(scores(0, 0).abs().max().item<float>(), 0);
  const std::vector<double> snapshot = env->Snapshot();
  const torch::Tensor sequences = torch::zeros({50, 20, 1});
  torch::Generator a = MakeGenerator(Rng(3), torch::kCPU);
  torch::Generator b = MakeGenerator(Rng(3), torch::kCPU);
  EXPECT_TRUE(
      torch::equal(SimulatorReturn(maker, 1).Score(snapshot, sequences, a), simulator.Score(snapshot, sequences, b)));
}

// Throws at an action over 0.5.
class FragileEnv final : public Env {
 public:
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine&, std::span<double> obs) override { obs[0] = 0; }
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    if (action[0] > 0.5) {
      throw std::runtime_error("the simulation became unstable");
    }
    obs[0] = 0;
    return {.reward = 1};
  }
  void DoSetState(std::span<const double>, std::span<double> obs) override { obs[0] = 0; }
  std::vector<double> DoSnapshot() const override { return {}; }
  void DoRestore(std::span<const double> snapshot) override {
    if (!snapshot.empty()) {
      throw std::runtime_error("no state to restore");
    }
  }

  EnvSpec spec_{.id = "Fragile-v0", .obs_low = {-1}, .obs_high = {1}, .action_low = {-1}, .action_high = {1}};
};

TEST(SimulatorReturn, ASequenceThatBreaksTheSimulationIsTheWorst) {
  const EnvMaker maker{.make = [] { return std::make_unique<FragileEnv>(); }};
  const torch::Tensor actions = torch::tensor({0.0F, 0.0F, 0.0F, 1.0F}).view({2, 2, 1});
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor scores = SimulatorReturn(maker, 2).Score(FragileEnv().Snapshot(), actions, generator);
  EXPECT_EQ(scores[0].item<float>(), 2);
  EXPECT_EQ(scores[1].item<float>(), -std::numeric_limits<float>::infinity());
  EXPECT_THROW(SimulatorReturn(maker, 2).Score(std::vector<double>(7), actions, generator), std::runtime_error);
}

}  // namespace
}  // namespace reverie
