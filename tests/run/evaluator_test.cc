#include "reverie/run/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace reverie {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Ends after a number of steps drawn at reset; the reward of step t is t times the action; bounds [-2, 6]. The
// observation is (steps left, steps done).
class Countdown : public Env {
 public:
  explicit Countdown(int64_t time_limit, bool ends = true) : ends_(ends) {
    spec_.id = "Countdown-v0";
    spec_.obs_low = {0, 0};
    spec_.obs_high = {100, 100};
    spec_.action_low = {-2};
    spec_.action_high = {6};
    spec_.time_limit = time_limit;
    spec_.state_names = {"left"};
  }

  // The length of the episode that starts at the beginning of that stream.
  static int64_t Length(const Rng& rng) {
    RandomEngine engine = rng.Engine();
    return 1 + static_cast<int64_t>(engine() % 9);
  }

  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override {
    left_ = 1 + static_cast<int64_t>(rng() % 9);
    done_ = 0;
    Write(obs);
  }
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    --left_;
    ++done_;
    Write(obs);
    return {.reward = static_cast<double>(done_) * action[0], .terminated = ends_ && left_ <= 0};
  }
  void DoSetState(std::span<const double> state, std::span<double> obs) override {
    left_ = static_cast<int64_t>(state[0]);
    done_ = 0;
    Write(obs);
  }
  std::vector<double> DoSnapshot() const override { return {}; }
  void DoRestore(std::span<const double>) override {}
  void Write(std::span<double> obs) const {
    obs[0] = static_cast<double>(left_);
    obs[1] = static_cast<double>(done_);
  }

  EnvSpec spec_;
  bool ends_;
  int64_t left_ = 0;
  int64_t done_ = 0;
};

EnvMaker MakerOf(int64_t time_limit, bool ends = true) {
  EnvMaker maker;
  maker.make = [=] { return std::make_unique<Countdown>(time_limit, ends); };
  return maker;
}

// Acts 0.25, which is 3 within [-2, 6], and notes what it was asked.
class Witness : public Policy {
 public:
  // Counts the steps of each row's episode.
  class Memory : public PolicyMemory {
   public:
    Memory(const Witness& witness, int64_t rows) : steps(static_cast<size_t>(rows), -1), witness_(witness) {}
    void Reset(std::span<const int64_t> rows) override {
      witness_.resets.push_back(witness_.batches.size());
      for (const int64_t row : rows) {
        steps.at(static_cast<size_t>(row)) = 0;
      }
    }
    void VisitState(StateVisitor&) override {}

    std::vector<int64_t> steps;

   private:
    const Witness& witness_;
  };

  std::unique_ptr<PolicyMemory> NewMemory(int64_t rows) const override { return std::make_unique<Memory>(*this, rows); }
  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode, torch::Generator&) const override {
    batches.push_back(input.obs.size(0));
    modes.push_back(mode);
    seen.push_back(input.obs.clone());
    EXPECT_EQ(input.rows.size(), batches.back());
    EXPECT_EQ(input.envs.size(), batches.back());
    std::vector<int64_t>& steps = dynamic_cast<Memory&>(*memory).steps;
    for (size_t i = 0; i < input.rows.size(); ++i) {
      EXPECT_EQ(steps.at(static_cast<size_t>(input.rows[i]))++, input.envs[i]->elapsed_steps());
    }
    return torch::full({input.obs.size(0), 1}, action);
  }
  torch::Device device() const override { return torch::kCPU; }

  float action = 0.25F;
  mutable std::vector<int64_t> batches;
  mutable std::vector<ActMode> modes;
  mutable std::vector<torch::Tensor> seen;
  mutable std::vector<size_t> resets;  // calls of Act before each Reset
};

double Return(int64_t length) { return 3.0 * static_cast<double>(length * (length + 1)) / 2; }

TEST(Evaluator, ReturnsAndLengthsAreThoseOfWholeEpisodes) {
  const Rng rng(5);
  Witness policy;
  const EvalResult result = Evaluate(policy, MakerOf(100), rng, 20);
  ASSERT_EQ(result.episodes(), 20);
  bool lengths_differ = false;
  for (size_t i = 0; i < 20; ++i) {
    const int64_t length = Countdown::Length(rng.Split(i));
    EXPECT_EQ(result.lengths[i], length);
    EXPECT_EQ(result.returns[i], Return(length));
    lengths_differ = lengths_differ || length != result.lengths[0];
  }
  EXPECT_TRUE(lengths_differ);
}

TEST(Evaluator, TheTimeLimitOfTheEnvironmentEndsAnEpisode) {
  const Rng rng(5);
  Witness policy;
  const EvalResult result = Evaluate(policy, MakerOf(4), rng, 20, /*time_limit=*/2);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(result.lengths[i], std::min<int64_t>(4, Countdown::Length(rng.Split(i))));
  }
}

TEST(Evaluator, AnEnvironmentWithoutTimeLimitGetsTheOneGiven) {
  Witness policy;
  EXPECT_THAT(Evaluate(policy, MakerOf(0, /*ends=*/false), Rng(1), 3, 17).lengths, ElementsAre(17, 17, 17));
  EXPECT_THAT(Evaluate(policy, MakerOf(0, /*ends=*/false), Rng(1), 1).lengths, ElementsAre(kEvalTimeLimit));
}

TEST(Evaluator, ThePolicyIsAskedOnceAStepForTheEpisodesThatStillRun) {
  const Rng rng(5);
  Witness policy;
  const EvalResult result = Evaluate(policy, MakerOf(100), rng, 10);
  std::vector<int64_t> expected;
  for (int64_t step = 1; step <= *std::max_element(result.lengths.begin(), result.lengths.end()); ++step) {
    expected.push_back(
        std::count_if(result.lengths.begin(), result.lengths.end(), [&](int64_t n) { return n >= step; }));
  }
  EXPECT_EQ(policy.batches, expected);
  EXPECT_THAT(policy.modes, Each(ActMode::kMean));
  EXPECT_THAT(policy.resets, ElementsAre(0));
}

TEST(Evaluator, RowsAreTheObservationsOfTheEpisodesInTheirOrder) {
  const Rng rng(5);
  Witness policy;
  Evaluate(policy, MakerOf(100), rng, 10);
  for (size_t step = 0; step < policy.seen.size(); ++step) {
    int64_t row = 0;
    for (size_t i = 0; i < 10; ++i) {
      const int64_t left = Countdown::Length(rng.Split(i)) - static_cast<int64_t>(step);
      if (left > 0) {
        EXPECT_EQ(policy.seen[step][row][0].item<float>(), static_cast<float>(left));
        EXPECT_EQ(policy.seen[step][row][1].item<float>(), static_cast<float>(step));
        ++row;
      }
    }
    EXPECT_EQ(policy.seen[step].size(0), row);
  }
}

TEST(Evaluator, AnEpisodeIsTheSameWhateverRunsBesideIt) {
  const Rng rng(5);
  Witness policy;
  const EvalResult few = Evaluate(policy, MakerOf(100), rng, 3);
  const EvalResult many = Evaluate(policy, MakerOf(100), rng, 30);
  EXPECT_TRUE(std::equal(few.returns.begin(), few.returns.end(), many.returns.begin()));
}

TEST(Evaluator, MoreEpisodesThanABatchHoldsArePlayedBatchAfterBatch) {
  const Rng rng(5);
  Witness policy;
  const int64_t episodes = Evaluator::kMaxBatch + 5;
  const EvalResult result = Evaluate(policy, MakerOf(100), rng, episodes);
  for (int64_t i = 0; i < episodes; ++i) {
    EXPECT_EQ(result.lengths[i], Countdown::Length(rng.Split(static_cast<uint64_t>(i))));
  }
  ASSERT_EQ(policy.resets.size(), 2U);
  EXPECT_EQ(policy.batches[0], Evaluator::kMaxBatch);
  EXPECT_EQ(policy.batches[policy.resets[1]], 5);
}

TEST(Evaluator, AKeptEvaluatorRepeatsItselfForTheSameStreamOnly) {
  Witness policy;
  Evaluator evaluator(MakerOf(100), 10);
  const std::vector<double> first = evaluator.Run(policy, Rng(1)).returns;
  EXPECT_NE(evaluator.Run(policy, Rng(2)).returns, first);
  EXPECT_EQ(evaluator.Run(policy, Rng(1)).returns, first);
}

TEST(Evaluator, StartStatesAreTakenInTheirOrder) {
  EnvMaker maker;
  maker.make = [] {
    std::unique_ptr<Env> env = std::make_unique<Countdown>(0);
    env->SetStartStates({{3}, {7}});
    return env;
  };
  EXPECT_THAT(Evaluate(Witness(), maker, Rng(5), 5).lengths, ElementsAre(3, 7, 3, 7, 3));
  const std::vector<double> state{4};
  EXPECT_THAT(Evaluator(maker, 3).RunFrom(state, Witness(), Rng(5)).lengths, Each(4));
  const std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(2);
  int threes = 0;
  RandomEngine rng(1);
  for (int i = 0; i < 200; ++i) {
    env->Reset(rng, obs);
    EXPECT_TRUE(obs[0] == 3 || obs[0] == 7);
    threes += obs[0] == 3 ? 1 : 0;
  }
  EXPECT_NEAR(threes, 100, 4 * std::sqrt(50.0));
  EXPECT_THROW(env->SetStartStates({{3, 1}}), std::invalid_argument);
}

TEST(EvalResult, SummarisesByThePopulation) {
  const EvalResult result{.returns = {2, 4, 4, 4, 5, 5, 7, 9}, .lengths = {1, 2, 3, 4, 5, 6, 7, 9}};
  EXPECT_EQ(result.episodes(), 8);
  EXPECT_EQ(result.return_mean(), 5);
  EXPECT_EQ(result.return_std(), 2);
  EXPECT_EQ(result.return_min(), 2);
  EXPECT_EQ(result.return_max(), 9);
  EXPECT_EQ(result.length_mean(), 37.0 / 8);
}

TEST(Evaluator, ANonFiniteActionIsAnError) {
  Witness policy;
  policy.action = std::nanf("");
  EXPECT_THAT([&] { Evaluate(policy, MakerOf(100), Rng(1), 2); },
              ThrowsMessage<std::runtime_error>(HasSubstr("Countdown-v0: the policy's action is not finite")));
}

TEST(Evaluator, NoEpisodesAreOurBug) {
  EXPECT_THROW(Evaluator(MakerOf(100), 0), std::logic_error);
  EXPECT_THROW(Evaluator(MakerOf(100), 1, 0), std::logic_error);
}

TEST(Evaluator, StopsBeforeTheStepAtWhichItIsAskedTo) {
  Witness policy;
  Evaluator evaluator(MakerOf(0, /*ends=*/false), 2);
  int64_t asked = 0;
  EXPECT_FALSE(evaluator.Run(policy, Rng(1), [&] { return ++asked == 4; }).has_value());
  EXPECT_EQ(policy.batches, (std::vector<int64_t>{2, 2, 2}));
  EXPECT_EQ(evaluator.Run(policy, Rng(1), [] { return false; })->lengths, evaluator.Run(policy, Rng(1)).lengths);
}

}  // namespace
}  // namespace reverie
