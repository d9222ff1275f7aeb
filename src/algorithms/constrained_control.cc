#include "reverie/algorithms/constrained_control.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/planning/policy_of_states.h"
#include "reverie/planning/simulator_problem.h"

namespace reverie {
namespace {

constexpr double kEnoughProgress = 0.5;  // of the residual, from one iteration to the next
// Share of a trajectory's cost that the network's episode has to save to be gone on from. Near the solution the two
// differ by the residual, and multipliers that are thrown away for that would never settle.
constexpr double kRestartGain = 0.05;

}  // namespace

ConstrainedControl::Config::Config(const EnvRegistry& envs)
    : run({.explores = false}),
      env(envs),
      ilqr({.starts = 4, .first_iterations = 100, .iterations = 10, .offers_horizon = false}) {
  env.start_draws = 6;
}

void ConstrainedControl::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields.Check([this] { return SimulatorProblemMisfit(env.maker); });
  fields.Check([this] { return StartTrajectoriesMisfit(env.maker); });
  fields.Check([this] { return StartRolloutsMisfit(env.maker, 1, run.total_steps); });
  fields.Check([this] { return env.observe.frames == 1; },
               "observe.frames 1, as the network is a function of the present state");
  fields("multipliers", multipliers, "the constraint has multipliers beside its penalty");
  fields.When({.key = "multipliers", .wanted = "true", .holds = [this] { return multipliers; }},
              [&] { fields("dual_rate", dual_rate, "rate of their steps; 1: the method of multipliers", Above(0)); });
  fields("penalty", penalty,
         "weight of half the squared difference between the network's actions and a trajectory's, at first (rho), in "
         "units of the reward",
         Above(0));
  fields("penalty_growth", penalty_growth,
         "it grows by this factor after an iteration that did not halve the difference", AtLeast(1));
  fields.When({.key = "penalty_growth", .wanted = "above 1", .holds = [this] { return penalty_growth > 1; }}, [&] {
    fields("max_penalty", max_penalty, "it grows no further", Above(0));
    fields.Check([this] { return max_penalty >= penalty; }, "at least the penalty");
  });
  fields("inner_iterations", inner_iterations,
         "times that trajectories and network are improved between two steps of the multipliers", AtLeast(1));
  fields("ilqr", ilqr, "the trajectories");
  fields("neighbours", neighbours,
         "states beside each of a trajectory's in which the network is taught the trajectory's feedback", AtLeast(0));
  fields.When({.key = "neighbours", .wanted = "above 0", .holds = [this] { return neighbours > 0; }}, [&] {
    fields("neighbour_std", neighbour_std,
           "standard deviation of their differences, in that of each number of the state over all trajectories",
           Above(0));
  });
  fields("learner", learner, "the network and its fits");
}

ConstrainedControl::ConstrainedControl(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device),
      episodes_(collector_.env(), 1),
      dynamics_(std::make_shared<SimulatorDynamics>(config.env.maker, at::get_num_threads())),
      problem_(SimulatorProblem(dynamics_, config.env.maker)),
      learner_(config.learner, collector_.spec().obs_dim(), collector_.spec().act_dim(), rng_.Split("learner"), device),
      network_(PolicyOfStates(dynamics_,
                              [this, device](const torch::Tensor& obs) {
                                return learner_.actor().Sample(obs.to(device), {}).action.to(torch::kCPU);
                              })),
      ilqr_({.max_iterations = config.ilqr.iterations, .cost_tolerance = config.ilqr.cost_tolerance}),
      neighbours_(MakeGenerator(rng_.Split("neighbours"), torch::kCPU)) {
  problem_.horizon = collector_.env().time_limit();
  for (const std::vector<double>& start : collector_.env().start_states()) {
    const torch::Tensor none = torch::empty({0}, torch::kFloat64);
    trajectories_.push_back({.env = EnvIn(config.env.maker, start),
                             .plan = {.x = none.clone(), .u = none.clone(), .feedback = none.clone()},
                             .constraint = PolicyConstraint::Of(problem_.horizon, problem_.controls, config.penalty),
                             .damping = {}});
  }
}

void ConstrainedControl::Train(RunContext& run) {
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (!PlanFirst(run)) {
      run.NoteUnfinishedStep();
      break;  // the others are planned when the run goes on
    }
    episodes_.BeginIfNone(collector_);
    const std::optional<EpisodeStats> episode =
        run.Timed("env", [&] { return collector_.Step(learner_.actor(), nullptr); });
    episodes_.Note(collector_, episode);
    run.NoteEpisode(episode);
    if (episodes_.full()) {
      for (int64_t inner = 0; inner < config_.inner_iterations; ++inner) {
        ImproveTrajectories(run, inner == 0);
        TeachNetwork(run);
      }
      StepMultipliers(run);
      ++iterations_;
    }
    run.Tick(collector_.env_steps(), iterations_, "policy", [] { return Metrics(); });
  }
}

bool ConstrainedControl::PlanFirst(RunContext& run) {
  const bool begins = !trajectories_.back().there();
  for (size_t i = 0; i < trajectories_.size(); ++i) {
    Trajectory& trajectory = trajectories_[i];
    if (trajectory.there()) {
      continue;
    }
    if (run.StopsAmid(Text("planning ", trajectories_.size(), " trajectories"), static_cast<int64_t>(i), "done")) {
      return false;
    }
    run.Timed("trajectories", [&] {
      torch::Generator generator = MakeGenerator(rng_.Split("first plan").Split(i), torch::kCPU);
      const IlqrResult plan =
          FirstPlan(config_.ilqr, FollowedFrom(problem_, *dynamics_, trajectory.env.get()), generator);
      if (!IsUsable(plan.status)) {
        throw std::runtime_error(Text("no plan from start ", i, " of ", config_.env.id, ": ", Text(plan.status)));
      }
      trajectory.Take(plan, plan.cost);
    });
  }
  if (begins) {
    TeachNetwork(run);
  }
  return true;
}

void ConstrainedControl::ImproveTrajectories(RunContext& run, bool first) {
  run.Timed("trajectories", [&] {
    int64_t iterations = 0;
    int64_t failed = 0;
    double cost = 0;
    double restarts = 0;
    IlqrResult result;
    for (size_t i = 0; i < trajectories_.size(); ++i) {
      Trajectory& trajectory = trajectories_[i];
      const ShootingProblem task = FollowedFrom(problem_, *dynamics_, trajectory.env.get());
      const torch::Tensor acted = episodes_.controls(i)[0];
      const bool restart = first && CostOf(task, acted) < trajectory.cost - kRestartGain * std::abs(trajectory.cost);
      if (restart) {  // the multipliers are of another trajectory
        trajectory.constraint.duals.zero_();
      }
      ilqr_.Solve(Constrained(task, network_, trajectory.constraint), restart ? acted : trajectory.plan.u,
                  trajectory.damping, &result);
      restarts += restart ? 1 : 0;
      if (IsUsable(result.status)) {
        trajectory.Take(result, CostOf(task, result.u));
      }
      if (!IsUsable(result.status) || result.status == IlqrStatus::kNotFinite) {
        LogWarning(Text("a trajectory was not improved to the end: ", Text(result.status)));
        ++failed;
      }
      iterations += static_cast<int64_t>(result.iterations.size());
      cost += trajectory.cost;
    }
    const auto count = static_cast<double>(trajectories_.size());
    Metrics metrics;
    metrics.Set("cost", cost / count);
    metrics.Set("iterations", static_cast<double>(iterations) / count);
    if (first) {
      metrics.Set("from_network", restarts / count);
    }
    metrics.Set("failed", static_cast<double>(failed));
    run.Log("trajectories", metrics);
  });
}

void ConstrainedControl::TeachNetwork(RunContext& run) {
  run.Log("learner", run.Timed("network", [&] {
    LabelStates();
    return learner_.Fit();
  }));
}

void ConstrainedControl::LabelStates() {
  std::vector<torch::Tensor> states;
  for (const Trajectory& trajectory : trajectories_) {
    states.push_back(trajectory.plan.x.slice(1, 0, problem_.tangent_size));
  }
  const torch::Tensor spread = config_.neighbour_std * torch::cat(states).std(0);
  learner_.ForgetRows();
  for (const Trajectory& trajectory : trajectories_) {
    dynamics_->Follow(*trajectory.env);
    const torch::Tensor targets = trajectory.constraint.Targets(trajectory.plan.u);
    for (int64_t i = 0; i <= config_.neighbours; ++i) {
      torch::Tensor x = trajectory.plan.x.slice(0, 0, problem_.horizon).clone();
      torch::Tensor delta = torch::zeros({problem_.horizon, problem_.tangent_size}, torch::kFloat64);
      if (i > 0) {  // the first are the trajectory's own
        delta = spread * torch::randn(delta.sizes(), neighbours_, torch::kFloat64);
        x.slice(1, 0, problem_.tangent_size) += delta;
      }
      torch::Tensor obs = torch::empty({problem_.horizon, dynamics_->obs_dim()}, torch::kFloat64);
      dynamics_->Observe(x, obs);
      const torch::Tensor beside = torch::matmul(trajectory.plan.feedback, delta.unsqueeze(2)).squeeze(2);
      learner_.Add(obs, (targets + beside).clamp(-1, 1));
    }
  }
}

void ConstrainedControl::StepMultipliers(RunContext& run) {
  double squares = 0;
  double largest = 0;
  for (Trajectory& trajectory : trajectories_) {
    const torch::Tensor residual = Residual(trajectory);
    if (config_.multipliers) {
      trajectory.constraint.StepDuals(residual, config_.dual_rate);
    }
    squares += residual.square().mean().item<double>();
    largest = std::max(largest, residual.abs().max().item<double>());
  }
  const double before = std::exchange(residual_, std::sqrt(squares / static_cast<double>(trajectories_.size())));
  Metrics metrics;
  metrics.Set("residual", residual_);
  metrics.Set("residual_max", largest);
  metrics.Set("penalty", trajectories_[0].constraint.penalty);
  run.Log("constraint", metrics);
  if (iterations_ > 0 && residual_ > kEnoughProgress * before) {
    for (Trajectory& trajectory : trajectories_) {
      double& rho = trajectory.constraint.penalty;
      rho = std::max(rho, std::min(config_.max_penalty, config_.penalty_growth * rho));
    }
  }
}

torch::Tensor ConstrainedControl::Residual(const Trajectory& trajectory) const {
  dynamics_->Follow(*trajectory.env);
  return network_.mean(trajectory.plan.x.slice(0, 0, problem_.horizon)) - trajectory.plan.u;
}

double ConstrainedControl::CostOf(const ShootingProblem& problem, const torch::Tensor& controls) {
  return SolveIlqr(problem, controls, {.max_iterations = 0, .step_sizes = 1}).cost;
}

std::vector<std::filesystem::path> ConstrainedControl::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void ConstrainedControl::Trajectory::Take(const IlqrResult& result, double its_cost) {
  const torch::Tensor before = plan.feedback;
  plan.Keep(result);
  cost = its_cost;
  damping = result.damping;
  const bool refused = result.status == IlqrStatus::kRegularisationLimit ||
                       (result.status == IlqrStatus::kMaxIterations && result.iterations.back().alpha == 0);
  if (refused && before.numel() > 0) {
    plan.feedback = before;
  }
}

void ConstrainedControl::Trajectory::VisitState(StateVisitor& state) {
  state.Resizable("x", plan.x);
  state.Resizable("u", plan.u);
  state.Resizable("feedback", plan.feedback);
  state("cost", cost);
  state("duals", constraint.duals);
  state("penalty", constraint.penalty);
  state("lambda", damping.lambda);
  state("factor", damping.factor);
}

void ConstrainedControl::VisitState(StateVisitor& state) {
  episodes_.VisitState(state);
  state("collector", collector_);
  for (size_t i = 0; i < trajectories_.size(); ++i) {
    state(Text("trajectory_", i), trajectories_[i]);
  }
  state("learner", learner_);
  state("neighbours", neighbours_);
  state("residual", residual_);
  state("iterations", iterations_);
}

}  // namespace reverie
