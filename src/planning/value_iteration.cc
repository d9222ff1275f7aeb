#include "reverie/planning/value_iteration.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <stdexcept>
#include <tuple>

#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/core/timer.h"
#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

constexpr int64_t kMostSteps = 20'000'000;  // of the environment, for which the table has some 300 bytes each
constexpr int64_t kSweeps = 30;             // under the actions that a maximisation found
constexpr int64_t kMostMaximisations = 10'000;
constexpr int64_t kRefinements = 3;  // of an action, each to a quarter of the spacing before

int64_t Product(const std::vector<int64_t>& factors) {
  return std::accumulate(factors.begin(), factors.end(), int64_t{1}, [](int64_t a, int64_t b) {
    return a > kMostSteps || b > kMostSteps ? kMostSteps + 1 : a * b;
  });
}

// All combinations of a number of each, the last varying fastest: [product of sizes, count].
torch::Tensor GridOf(const std::vector<torch::Tensor>& numbers) {
  if (numbers.size() == 1) {
    return numbers[0].unsqueeze(1);
  }
  return torch::cartesian_prod(numbers);
}

}  // namespace

void ValueIterationConfig::Visit(Fields& fields) {
  fields("low", low, "least value on the grid of each number of a state, as `reverie envs ID` names them");
  fields("high", high, "greatest value of each");
  fields.Check([this] { return high.size() == low.size(); }, "as many numbers as low");
  fields.Check([this] { return std::equal(low.begin(), low.end(), high.begin(), std::less<>()); },
               "numbers above those of low");
  fields.Check(
      [this] {
        const auto finite = [](double x) { return std::isfinite(x); };
        return std::all_of(low.begin(), low.end(), finite) && std::all_of(high.begin(), high.end(), finite);
      },
      "finite numbers, as low");
  fields("points", points, "points of the grid along each, ends included", AtLeast(2));
  fields.Check([this] { return points.size() == low.size(); }, "as many numbers as low");
  fields("periodic", periodic, "which of them, from 0, go round, as angles do: high is low again", AtLeast(0));
  fields.Check(
      [this] {
        return std::all_of(periodic.begin(), periodic.end(),
                           [this](int64_t i) { return i < static_cast<int64_t>(low.size()); });
      },
      "numbers below that of the state's");
  fields.Check([this] { return std::set<int64_t>(periodic.begin(), periodic.end()).size() == periodic.size(); },
               "each number once");
  fields("actions", actions, "values of each number of an action that are tried", AtLeast(2));
  fields("discount", discount, "discount factor per step (gamma)", {.low = 0, .high = 1, .high_open = true});
  fields("tolerance", tolerance, "the table is done once no value changes by more", Above(0));
}

std::string ValueIterationConfig::Misfit(const EnvMaker& maker) const {
  const std::unique_ptr<Env> env = maker.make();
  const size_t numbers = env->spec().state_names.size();
  if (env->spec().random_steps) {
    return "kind: value_iteration tables one step for each state and action, and those of " + env->spec().id +
           " are random";
  }
  if (low.size() != numbers) {
    return Text("low: expected ", numbers, " numbers, one for each of a state of ", env->spec().id, " (",
                Joined(env->spec().state_names), "), got ", low.size());
  }
  std::vector<int64_t> factors = points;
  factors.resize(points.size() + static_cast<size_t>(env->spec().act_dim()), actions);
  return Product(factors) > kMostSteps
             ? Text("points: with the actions they are more than ", kMostSteps, " steps of the environment")
             : "";
}

ValueIteration::ValueIteration(const ValueIterationConfig& config, const EnvMaker& maker)
    : config_(config), env_(maker.make()) {
  if (const std::string misfit = config.Misfit(maker); !misfit.empty()) {
    throw std::invalid_argument(misfit);
  }
  const std::vector<torch::Tensor> each(static_cast<size_t>(env_->spec().act_dim()),
                                        torch::linspace(-1, 1, config.actions, torch::kFloat64));
  actions_ = GridOf(each);
  RandomEngine engine = Rng(0).Split("value iteration").Engine();
  std::vector<double> obs(env_->spec().obs_low.size());
  env_->Reset(engine, obs);
}

ValueIteration::~ValueIteration() = default;

ValueIteration::Corners ValueIteration::CornersOf(const torch::Tensor& states) const {
  const int64_t count = states.size(0);
  Corners corners{.index = torch::zeros({count, 1}, torch::kInt64), .weight = torch::ones({count, 1}, torch::kFloat64)};
  for (size_t d = 0; d < config_.points.size(); ++d) {
    const int64_t points = config_.points[d];
    const double width = config_.high[d] - config_.low[d];
    torch::Tensor place = (states.select(1, static_cast<int64_t>(d)) - config_.low[d]) / width;
    const bool goes_round =
        std::find(config_.periodic.begin(), config_.periodic.end(), static_cast<int64_t>(d)) != config_.periodic.end();
    place = (goes_round ? place - place.floor() : place.clamp(0, 1)) * static_cast<double>(points - 1);
    const torch::Tensor below = place.floor().clamp(0, static_cast<double>(points - 2));
    const torch::Tensor share = (place - below).unsqueeze(1);
    const torch::Tensor index = corners.index * points + below.to(torch::kInt64).unsqueeze(1);
    corners = {.index = torch::cat({index, index + 1}, 1),
               .weight = torch::cat({corners.weight * (1 - share), corners.weight * share}, 1)};
  }
  return corners;
}

void ValueIteration::Solve() {
  const Stopwatch watch;
  std::vector<torch::Tensor> numbers;
  for (size_t d = 0; d < config_.points.size(); ++d) {
    numbers.push_back(torch::linspace(config_.low[d], config_.high[d], config_.points[d], torch::kFloat64));
  }
  const torch::Tensor grid = GridOf(numbers).contiguous();
  const int64_t points = grid.size(0);
  const int64_t actions = actions_.size(0);
  const Outcomes outcomes = Try(grid, actions_);
  const torch::Tensor& reward = outcomes.reward;
  Corners corners = CornersOf(outcomes.next);
  corners.weight *= outcomes.discount.unsqueeze(1);

  torch::Tensor value = torch::zeros({points}, torch::kFloat64);
  const auto backed_up = [&value](const torch::Tensor& rewards, const Corners& at) {
    return rewards + (value.index_select(0, at.index.flatten()).view_as(at.index) * at.weight).sum(1);
  };
  const torch::Tensor rows = torch::arange(points) * actions;
  double change = 0;
  for (int64_t i = 0; i < kMostMaximisations; ++i) {
    const auto [best, which] = backed_up(reward, corners).view({points, actions}).max(1);
    change = (best - value).abs().max().item<double>();
    value = best;
    if (change < config_.tolerance) {
      value_ = value;
      LogInfo(Text("value iteration: ", points, " states, ", actions, " actions, ", i + 1, " maximisations, ",
                   FixedText(watch.Seconds(), 1), " s"));
      return;
    }
    const torch::Tensor chosen = rows + which;
    const torch::Tensor chosen_reward = reward.index_select(0, chosen);
    const Corners chosen_corners{.index = corners.index.index_select(0, chosen),
                                 .weight = corners.weight.index_select(0, chosen)};
    for (int64_t sweep = 0; sweep < kSweeps; ++sweep) {
      value = backed_up(chosen_reward, chosen_corners);
    }
  }
  throw std::runtime_error(Text("value iteration: after ", kMostMaximisations, " maximisations values still change by ",
                                change, ", tolerance is ", config_.tolerance));
}

torch::Tensor ValueIteration::Value(const torch::Tensor& states) const {
  const Corners corners = CornersOf(states);
  return (value_.index_select(0, corners.index.flatten()).view_as(corners.index) * corners.weight).sum(1);
}

ValueIteration::Outcomes ValueIteration::Try(const torch::Tensor& states, const torch::Tensor& actions) const {
  const int64_t count = states.size(0) * actions.size(0);
  const int64_t n = states.size(1);
  const int64_t m = actions.size(1);
  Outcomes outcomes{.next = torch::empty({count, n}, torch::kFloat64),
                    .reward = torch::empty({count}, torch::kFloat64),
                    .discount = torch::full({count}, config_.discount, torch::kFloat64)};
  const BatchedActionBounds bounds(env_->spec().action_low, env_->spec().action_high, torch::kFloat64);
  const torch::Tensor env_actions = bounds.ToEnvAction(actions).contiguous();
  std::vector<double> obs(env_->spec().obs_low.size());
  for (int64_t i = 0; i < count; ++i) {
    const double* state = states.data_ptr<double>() + i / actions.size(0) * n;
    const double* action = env_actions.data_ptr<double>() + i % actions.size(0) * m;
    env_->SetState({state, static_cast<size_t>(n)}, obs);
    const StepResult step = env_->Step({action, static_cast<size_t>(m)}, obs);
    const std::vector<double> after = env_->GetState();
    std::copy(after.begin(), after.end(), outcomes.next.data_ptr<double>() + i * n);
    outcomes.reward.data_ptr<double>()[i] = step.reward;
    if (step.terminated) {
      outcomes.discount.data_ptr<double>()[i] = 0;
    }
  }
  return outcomes;
}

torch::Tensor ValueIteration::Action(const std::vector<double>& state) const {
  const torch::Tensor here = torch::tensor(state, torch::kFloat64).unsqueeze(0);
  const auto best_of = [&](const torch::Tensor& actions) {
    const Outcomes outcomes = Try(here, actions);
    return actions[(outcomes.reward + outcomes.discount * Value(outcomes.next)).argmax().item<int64_t>()];
  };
  torch::Tensor best = best_of(actions_);
  double spacing = 2.0 / static_cast<double>(config_.actions - 1);
  const std::vector<torch::Tensor> each(static_cast<size_t>(best.numel()),
                                        torch::linspace(-0.75, 0.75, 7, torch::kFloat64));
  const torch::Tensor about = GridOf(each);
  for (int64_t i = 0; i < kRefinements; ++i, spacing /= 4) {
    best = best_of((best + spacing * about).clamp(-1, 1));
  }
  return best.clone();
}

}  // namespace reverie
