// The order of operations of each algorithm, seen from the environment and its task: who is asked what, and what the
// algorithm's state holds when it acts.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "oracle.h"
#include "reverie/algorithms/registry.h"
#include "reverie/config/reader.h"
#include "reverie/core/text.h"
#include "reverie/run/run_context.h"

namespace reverie {
namespace {

using testing::ElementsAreArray;

// What happened in the run of the test, in order.
struct Journal {
  std::vector<std::string> events;
  Algorithm* algorithm = nullptr;                            // the one that trains
  const Env* acted_on = nullptr;                             // the first environment that it makes
  int64_t steps = 0;                                         // real steps so far; a step's observation is its number
  std::string counts = "learner/updates", unit = "updates";  // a number in its state that an act is told with
  std::function<std::string(double action)> told_of_action = [](double) { return ""; };

  void Note(const std::string& event) {
    if (events.empty() || events.back() != event) {
      events.push_back(event);
    }
  }
  // A whole number in the algorithm's state, or 0 where it has none of that name.
  int64_t Number(const std::string& name) const {
    const StateTree state = SaveState(*algorithm);
    const auto found = state.values().tensors.find(name);
    return found == state.values().tensors.end() ? 0 : found->second.item<int64_t>();
  }
};
Journal* journal = nullptr;

// Counts its steps in its observation, where an algorithm acts on it. Episodes of seven. Copies of it are x' = x + u.
class JournalEnv final : public Env {
 public:
  struct Options {
    void Visit(Fields&) {}
  };
  JournalEnv(const std::string& id, const Options&) {
    spec_ = {.id = id, .obs_low = {0}, .obs_high = {1e6}, .action_low = {-1}, .action_high = {1}, .time_limit = 7};
    spec_.state_names = {"x"};
    if (journal != nullptr && journal->acted_on == nullptr) {
      journal->acted_on = this;
    }
  }
  const EnvSpec& spec() const override { return spec_; }

  // A fit asks for the features of all real rows at once, imagination for those of its own.
  static TaskFunctions MakeTaskFunctions(const Options&) {
    TaskFunctions task;
    task.features = [](const torch::Tensor& obs) {
      if (journal != nullptr && obs.size(0) == journal->steps) {
        journal->Note("fit to steps 0 to " + std::to_string(obs.max().item<int64_t>()));
      }
      return obs;
    };
    task.reward = [](const torch::Tensor& obs, const torch::Tensor&, const torch::Tensor&) {
      journal->Note("imagine");
      return obs.select(1, 0);
    };
    task.terminated = NeverTerminated;
    task.state_cost = [](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor&) {
      const torch::Tensor seen = x.detach();
      journal->Note("learn from steps " + std::to_string(seen.min().item<int64_t>()) + " to " +
                    std::to_string(seen.max().item<int64_t>()));
      return u.square().sum(1);
    };
    return task;
  }

 private:
  void DoReset(RandomEngine&, std::span<double> obs) override { obs[0] = static_cast<double>(journal->steps); }
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    if (journal == nullptr || journal->acted_on != this) {
      x_ += action[0];
      obs[0] = x_;
      return {};
    }
    journal->Note("act " + std::to_string(journal->steps) + " after " + std::to_string(journal->Number("fits")) +
                  " fits, " + std::to_string(journal->Number(journal->counts)) + " " + journal->unit +
                  journal->told_of_action(action[0]));
    obs[0] = static_cast<double>(++journal->steps);
    return {};
  }
  void DoSetState(std::span<const double> state, std::span<double> obs) override { x_ = obs[0] = state[0]; }
  std::vector<double> DoState() const override {
    return {journal != nullptr && journal->acted_on == this ? static_cast<double>(journal->steps) : x_};
  }
  std::vector<double> DoSnapshot() const override { return {}; }
  void DoRestore(std::span<const double>) override {}

  EnvSpec spec_;
  double x_ = 0;
};

class OrderTest : public testing::Test {
 protected:
  OrderTest() {
    at::set_num_threads(1);
    journal = &journal_;
    envs_.Add<JournalEnv>("Journal-v0", "counts its steps");
  }
  ~OrderTest() override { journal = nullptr; }

  // Trains for 42 steps, the first 20 of them random.
  void Train(const std::string& yaml) { TrainAll("exploration_steps: 20\nenv: {id: Journal-v0}\n" + yaml); }
  void TrainAll(const std::string& yaml) {
    const ConfigDocument document =
        ConfigDocument::FromText("total_steps: 42\neval: {every_steps: 1000}\n" + yaml, "test.yaml");
    const AlgorithmMaker maker = ReadAlgorithm(document, envs_);
    journal_.events.clear();  // which looks at the reward
    journal_.acted_on = nullptr;
    const std::unique_ptr<Algorithm> algorithm = maker.make(torch::kCPU);
    journal_.algorithm = algorithm.get();
    const RunFacts facts{.algorithm = "test", .env = "Journal-v0", .device = "cpu", .threads = 1};
    RunDirectory directory = RunDirectory::Create(folder_.path() / "run", "", facts, Existing::kRefuse);
    RunContext run(maker.run(), directory,
                   {.evaluate = [](int64_t) { return EvalResult{.returns = {0}, .lengths = {1}}; },
                    .visit_state = [&](StateVisitor& state) { state("algorithm", *algorithm); },
                    .export_policy = [] {}});
    run.Begin(/*resume=*/false);
    algorithm->Train(run);
    updates_ = journal_.Number(journal_.counts);
    fits_ = journal_.Number("fits");
  }

  void WatchLessons();
  // Three iterations of two episodes, with what is told by WatchLessons.
  void CheckLessons(const std::string& rest);

  // Each rung of the ladder with the rest of a config, plans being of five steps.
  void CheckLadder(const std::string& rest);

  std::vector<std::string> expected_;
  void ExpectAct(int64_t step, int64_t fits, int64_t updates) {
    expected_.push_back("act " + std::to_string(step) + " after " + std::to_string(fits) + " fits, " +
                        std::to_string(updates) + " " + journal_.unit);
  }
  void ExpectFit(int64_t steps) { expected_.push_back("fit to steps 0 to " + std::to_string(steps - 1)); }

  TemporaryFolder folder_;
  EnvRegistry envs_;
  Journal journal_;
  int64_t updates_ = 0, fits_ = 0;  // at the end
};

constexpr const char* kModel =
    "model: {members: 2, elites: 2, hidden: [8], weight_decay: [0, 0], holdout_ratio: 0, max_epochs: 1, "
    "retrain_every: 10}\n";

TEST_F(OrderTest, SacActsThenUpdates) {
  Train("algorithm: sac\nupdates_per_step: 2\nsac: {hidden: [8]}\n");
  for (int64_t step = 0; step < 42; ++step) {
    ExpectAct(step, 0, 2 * std::max<int64_t>(0, step - 20));
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 2 * 22);
}

TEST_F(OrderTest, MbpoFitsThenRollsThenActsThenUpdates) {
  Train(std::string("algorithm: mbpo\nupdates_per_step: 3\nsac: {hidden: [8]}\n") + kModel +
        "rollout: {start_states: 64, length: 2}\n");
  int64_t fits = 0;
  for (int64_t step = 0; step < 42; ++step) {
    if (step >= 20 && step % 10 == 0) {
      ExpectFit(step);
      expected_.push_back("imagine");
      ++fits;
    }
    ExpectAct(step, fits, 3 * std::max<int64_t>(0, step - 20));
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 3 * 22);
  EXPECT_EQ(fits_, 3);
}

TEST_F(OrderTest, MbpoOfRealRowsAloneRollsNothingAndImaginesInItsUpdates) {
  Train(std::string("algorithm: mbpo\nupdates_per_step: 3\nreal_ratio: 1\n"
                    "sac: {hidden: [8], expansion: {horizon: 1}}\n") +
        kModel);
  int64_t fits = 0;
  for (int64_t step = 0; step < 42; ++step) {
    if (step >= 20 && step % 10 == 0) {
      ExpectFit(step);
      ++fits;
    }
    ExpectAct(step, fits, 3 * std::max<int64_t>(0, step - 20));
    if (step >= 20) {
      expected_.push_back("imagine");
    }
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
}

TEST_F(OrderTest, DhmbpoFitsRollsAndUpdatesBetweenIterations) {
  Train(
      "algorithm: dhmbpo\nupdates_per_step: 3\nfirst_iteration: 2\n"
      "model: {members: 2, hidden: [8], weight_decay: [0, 0], dropout: [0, 0], batch_size: 8, patience: 2, first_fit: "
      "1, "
      "retrain_every: 10, reward: known}\n"
      "rollout: {start_states: 8, length: 2}\n"
      "learner: {hidden: [8], horizon: 2, batch_size: 8, critics: {members: 2, hidden: [8]}}\n");
  int64_t fits = 0;
  int64_t updates = 0;
  for (int64_t step = 0; step < 42; ++step) {
    ExpectAct(step, fits, updates);
    if (step + 1 >= 20 && (step + 1) % 10 == 0) {
      ExpectFit(step + 1);
      expected_.push_back("imagine");
      updates += 30 * (fits == 0 ? 2 : 1);
      ++fits;
    }
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 60 + 30 + 30);
  EXPECT_EQ(fits_, 3);
}

TEST_F(OrderTest, SvgFitsThenActsThenUpdates) {
  Train(std::string("algorithm: svg\nupdates_per_step: 3\n"
                    "learner: {hidden: [8], horizon: 2, batch_size: 8, critics: {hidden: [8]}}\n") +
        kModel);
  int64_t fits = 0;
  for (int64_t step = 0; step < 42; ++step) {
    if (step >= 20 && step % 10 == 0) {
      ExpectFit(step);
      ++fits;
    }
    ExpectAct(step, fits, 3 * std::max<int64_t>(0, step - 20));
    if (step >= 20) {
      expected_.push_back("imagine");
    }
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 3 * 22);
  EXPECT_EQ(fits_, 3);
}

TEST_F(OrderTest, SvgWithoutStepsFitsAndImaginesNothing) {
  Train("algorithm: svg\nlearner: {hidden: [8], horizon: 0, batch_size: 8, critics: {hidden: [8]}}\n");
  for (int64_t step = 0; step < 42; ++step) {
    ExpectAct(step, 0, std::max<int64_t>(0, step - 20));
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(fits_, 0);
}

// What happens on a rung of the ladder. A plan is searched for at all steps (v1.5), or those that begin a plan of five
// in an episode of seven.
std::vector<std::string> PlannedEvents(const std::vector<std::string>& acts, int64_t replan_every, bool plans) {
  std::vector<std::string> events;
  for (int64_t step = 0; step < 42; ++step) {
    if (step >= 20 && step % 10 == 0) {
      events.push_back("fit to steps 0 to " + std::to_string(step - 1));
    }
    const int64_t in_episode = step % 7 - (step < 21 ? 20 % 7 : 0);  // the first plan begins at step 20
    if (plans && step >= 20 && in_episode % replan_every == 0) {
      events.push_back("imagine");
    }
    events.push_back(acts[static_cast<size_t>(step)]);
  }
  return events;
}

void OrderTest::CheckLadder(const std::string& rest) {
  for (const std::string ladder : {"v0.5", "v1.0", "v1.5"}) {
    journal_ = {};
    expected_.clear();
    std::filesystem::remove_all(folder_.path() / "run");
    Train(rest + "ladder: " + ladder + "\n");
    for (int64_t step = 0; step < 42; ++step) {
      ExpectAct(step, step < 20 ? 0 : step / 10 - 1, 0);
    }
    EXPECT_THAT(journal_.events,
                ElementsAreArray(PlannedEvents(expected_, ladder == "v1.5" ? 1 : 5, /*plans=*/ladder != "v0.5")))
        << ladder;
    EXPECT_EQ(fits_, 3) << ladder;
  }
}

TEST_F(OrderTest, PetsFitsThenPlansThenActs) {
  CheckLadder(std::string("algorithm: pets\n") + kModel +
              "propagation: {kind: ts1, particles: 5}\n"
              "planner: {kind: cem, horizon: 5, options: {population: 11, elites: 2, iterations: 2}}\n");
}

TEST_F(OrderTest, IlqrFitsThenPlansThenActs) {
  // With nine members no batch that is imagined has as many rows as there are steps.
  CheckLadder(
      "algorithm: ilqr\nilqr: {horizon: 5, starts: 0, grow_by: 0, first_iterations: 2}\n"
      "model: {members: 9, elites: 9, hidden: [8], weight_decay: [0, 0], holdout_ratio: 0, max_epochs: 1, "
      "retrain_every: 10}\n");
}

TEST_F(OrderTest, LocalModelsUpdateFromTheEpisodesSinceTheLastUpdate) {
  journal_.counts = "updates";
  TrainAll(
      "algorithm: local_models\nenv: {id: Journal-v0, start_states: [[0]]}\nrollouts: 3\n"
      "local: {prior: none}\n");
  for (int64_t step = 0; step < 42; ++step) {
    ExpectAct(step, 0, step / 21);
    if (step % 21 == 20) {
      expected_.push_back("learn from steps " + std::to_string(step - 20) + " to " + std::to_string(step));
    }
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 2);
}

TEST_F(OrderTest, GpsImprovesControllersFromTheEpisodesSinceTheLastIterationAndTeaches) {
  for (const std::string coupling : {"mirror_descent", "badmm\nbadmm: {inner_iterations: 2}"}) {
    journal_ = {};
    expected_.clear();
    std::filesystem::remove_all(folder_.path() / "run");
    WatchLessons();
    journal_.counts = "iterations";
    journal_.unit = "iterations";
    TrainAll(
        "algorithm: gps\nenv: {id: Journal-v0, start_states: [[0]]}\nrollouts: 3\nlocal: {prior: none}\n"
        "learner: {hidden: [8], updates: 1}\ncoupling: " +
        coupling + "\n");
    for (int64_t step = 0; step < 42; ++step) {
      ExpectAct(step, 0, step / 21);
      expected_.back() += Text(" with ", step < 21 ? 0 : 21, " labels", step == 21 ? ", after a fit" : "");
      if (step % 21 == 20) {
        expected_.push_back(Text("learn from steps ", step - 20, " to ", step));
      }
    }
    EXPECT_THAT(journal_.events, ElementsAreArray(expected_)) << coupling;
    EXPECT_EQ(updates_, 2);
  }
}

TEST_F(OrderTest, ConstrainedControlPlansTeachesActsAndImprovesWhatItPlanned) {
  WatchLessons();
  journal_.counts = journal_.unit = "iterations";
  journal_.told_of_action = [this, labels = std::move(journal_.told_of_action)](double action) {
    if (journal_.Number("iterations") == 1) {  // the multipliers have made one step, by the network as it now is
      const StateTree state = SaveState(*journal_.algorithm);
      const auto& tensors = state.values().tensors;
      const torch::Tensor x = tensors.at("trajectory_0/x").slice(0, 0, 7);
      torch::Generator unused = MakeGenerator(Rng(0), torch::kCPU);
      const torch::Tensor network =
          journal_.algorithm->policy().Act({.obs = x.to(torch::kFloat32)}, nullptr, ActMode::kMean, unused);
      EXPECT_TRUE(torch::allclose(tensors.at("trajectory_0/duals"),
                                  network.to(torch::kFloat64) - tensors.at("trajectory_0/u"), 1e-6, 1e-6));
    }
    return labels(action);
  };
  TrainAll(
      "algorithm: constrained_control\nenv: {id: Journal-v0, start_states: [[0]]}\n"
      "ilqr: {starts: 0, grow_by: 0}\nneighbours: 0\nlearner: {hidden: [8], updates: 1}\n");
  for (int64_t step = 0; step < 42; ++step) {
    if (step % 7 == 0) {
      expected_.push_back("plan");
    }
    ExpectAct(step, 0, step / 7);
    expected_.back() += Text(" with 7 labels", step > 0 && step % 7 == 0 ? ", after a fit" : "");
  }
  expected_.push_back("plan");
  std::vector<std::string> events;
  for (const std::string& event : journal_.events) {  // plans ask for the costs of many trajectories
    const std::string name = event.starts_with("learn from") ? "plan" : event;
    if (events.empty() || events.back() != name) {
      events.push_back(name);
    }
  }
  EXPECT_THAT(events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 6);
}

// Of what happens between two acts of an algorithm that is taught: how many labels it has, and whether its network
// changed. The
// expert's action is -1, as it drives the count of steps towards -10.
void OrderTest::WatchLessons() {
  journal_.counts = "lessons/iteration";
  journal_.unit = "iterations";
  journal_.told_of_action = [this, network = torch::Tensor()](double action) mutable {
    const StateTree state = SaveState(*journal_.algorithm);
    const torch::Tensor actor = state.values().tensors.at("learner/actor").clone();
    const bool changed = network.defined() && !torch::equal(actor, network);
    network = actor;
    return " with " + std::to_string(state.values().tensors.at("learner/rows").size(0)) + " labels" +
           (changed ? ", after a fit" : "") + (action == -1 ? ", by the expert" : "");
  };
}

void OrderTest::CheckLessons(const std::string& rest) {
  WatchLessons();
  TrainAll(
      "env: {id: Journal-v0}\nexpert: {kind: lqr, options: {state: [-10]}}\nlessons: {episodes: 2}\n"
      "learner: {hidden: [8], updates: 1}\n" +
      rest);
  for (int64_t step = 0; step < 42; ++step) {
    ExpectAct(step, 0, step / 14);
    expected_.back() += " with " + std::to_string(step + 1) + " labels" +
                        (step > 0 && step % 14 == 0 ? ", after a fit" : "") + (step < 14 ? ", by the expert" : "");
  }
  EXPECT_THAT(journal_.events, ElementsAreArray(expected_));
  EXPECT_EQ(updates_, 3);
}

TEST_F(OrderTest, DaggerLabelsThenActsThenFits) { CheckLessons("algorithm: dagger\nbeta: 0\n"); }

TEST_F(OrderTest, PlatoLabelsThenActsThenFits) { CheckLessons("algorithm: plato\nlambda: 1e9\n"); }

}  // namespace
}  // namespace reverie
