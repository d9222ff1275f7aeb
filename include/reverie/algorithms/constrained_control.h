// A network found by optimal control under the constraint that it acts so.
//
//   minimise sum_s cost(tau_s)  over theta and trajectories tau_s of the simulator, one from each start s,
//   subject to  u_t = pi_theta(o_t)  along all of them
//
//   first:  tau_s <- optimal control of the task alone;  theta <- regression on its actions
//   repeat: the network acts for an episode from each start
//           tau_s  <- argmin of the Lagrangian L by iLQR, from the tau_s before, or without multipliers from the
//                     network's episode where that cost clearly less, as tau_s was then caught in a worse optimum
//           theta  <- regression of pi_theta(o_t) on u_t - lambda_t / rho
//           lambda <- lambda + alpha rho (pi_theta(o_t) - u_t);  a larger rho, where the residual falls too slowly
//
// L and its multipliers are those of control/policy_constraint.h. Without multipliers it is the method of penalties.
// The plans see the simulator's state and the network what is observed (env.observe); d pi / dx goes through both. The
// network alone is evaluated and exported; its episodes are what training is counted in.
//
// A network that acts like a plan along it need not stay near it. So it is also taught what the plan's feedback K_t
// does beside it: `neighbours` states x_t + delta for each, delta ~ N(0, neighbour_std^2 diag(var of the states of all
// plans)), labelled u_t - lambda_t / rho + K_t delta. To first order, in the mean, that adds |(d pi / dx - K_t)
// delta|^2 to the regression (Mordatch and Todorov 2014; Le Lidec et al. 2022, "Enforcing the consensus between
// trajectory optimization and policy learning"). All labels are held in the range of actions. Sources: Mordatch and
// Todorov 2014; Levine and Koltun 2014 for multipliers of trajectories; the lecture notes' deterministic case of guided
// policy search.
//
// A network that lags, by fits that are too short or because it sees too little, winds the multipliers up: the
// trajectories' cost rises until it follows.
//
// Metrics: constraint/residual (root of the mean square of pi - u over all steps, in actions of [-1, 1], after the
// fit), residual_max, penalty; trajectories/cost (mean of the task's alone), iterations (mean of iLQR's), from_network
// (share begun from the network's episodes), failed; learner/loss, rows.
//
// Not supported: tasks that end before their time limit, those without a cost of states, observations of earlier steps.
#ifndef REVERIE_ALGORITHMS_CONSTRAINED_CONTROL_H_
#define REVERIE_ALGORITHMS_CONSTRAINED_CONTROL_H_

#include <filesystem>
#include <memory>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/control/policy_constraint.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/regression_learner.h"
#include "reverie/planning/ilqr_policy.h"
#include "reverie/planning/simulator_dynamics.h"
#include "reverie/rollout/collector.h"
#include "reverie/rollout/start_trajectories.h"
#include "reverie/run/run_config.h"

namespace reverie {

class ConstrainedControl final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    bool multipliers = true;
    double dual_rate = 1;  // alpha
    double penalty = 1;    // rho at first
    double penalty_growth = 1;
    double max_penalty = 100;
    int64_t inner_iterations = 1;
    int64_t neighbours = 4;
    double neighbour_std = 0.05;
    IlqrConfig ilqr;
    RegressionConfig learner;

    void Visit(Fields& fields);
  };

  // Trajectories are on the CPU, the network on the device.
  ConstrainedControl(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override { return false; }  // simulations are dealt to the threads one by one
  const Policy& policy() const override { return learner_.actor(); }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  struct Trajectory {
    std::unique_ptr<Env> env;  // where it begins
    IlqrPlan plan;             // x_t, u_t, K_t; empty before the first
    double cost = 0;           // of the task alone
    PolicyConstraint constraint;
    IlqrDamping damping;

    bool there() const { return plan.u.numel() > 0; }
    // Gains of a last pass that was damped until nothing gained are near zero, and are not taken.
    void Take(const IlqrResult& result, double its_cost);
    void VisitState(StateVisitor& state);
  };

  // Of those that have none. Returns whether all have one, and not whether a signal came first.
  bool PlanFirst(RunContext& run);
  // The first time in an iteration they may begin from the network's episodes.
  void ImproveTrajectories(RunContext& run, bool first);
  void TeachNetwork(RunContext& run);
  // Has the learner's rows be the states of the trajectories and those beside them.
  void LabelStates();
  void StepMultipliers(RunContext& run);

  // pi_theta(o_t) - u_t [T, m].
  torch::Tensor Residual(const Trajectory& trajectory) const;
  // Of controls [T, m]; infinite where their trajectory is not finite.
  static double CostOf(const ShootingProblem& problem, const torch::Tensor& controls);

  Config config_;
  Rng rng_;
  Collector collector_;
  StartTrajectories episodes_;  // of the network
  std::shared_ptr<SimulatorDynamics> dynamics_;
  ShootingProblem problem_;  // the task alone; its start is left to be set
  RegressionLearner learner_;
  DifferentiablePolicy network_;  // of states
  Ilqr ilqr_;
  torch::Generator neighbours_;
  std::vector<Trajectory> trajectories_;
  double residual_ = 0;  // of the last iteration
  int64_t iterations_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_CONSTRAINED_CONTROL_H_
