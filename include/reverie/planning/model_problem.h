// A task in a learned model as a control problem.
//
// With M hypotheses of the model, an ensemble's being its elites, and f_h the mean of a step by the hypothesis h:
//
//   tsinf   x = [s^1; ...; s^M], one trajectory for each hypothesis, all from one observation and under the same
//           controls:  s^h <- f_h(s^h, u)
//           l = 1/M sum_h -r(s^h, u, s'^h) + kappa/D sum_d Var_h(s'^h_d / sigma_d)
//   e       x = s, one trajectory of the hypotheses' mean:  s <- 1/M sum_h f_h(s, u)
//
// sigma_d is the standard deviation of what the model was fitted to (DynamicsModel::target_std), so that a variance of
// 1 is that of one step. A search for controls walks to where a model is wrong in its favour: under tsinf it does where
// all hypotheses are, and kappa > 0 (disagreement_penalty) keeps it where they agree. Each has feedback gains of its
// own, which a real state is compared with all trajectories by.
#ifndef REVERIE_PLANNING_MODEL_PROBLEM_H_
#define REVERIE_PLANNING_MODEL_PROBLEM_H_

#include "reverie/config/fields.h"
#include "reverie/control/shooting_problem.h"
#include "reverie/env/env.h"
#include "reverie/models/model_env.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/planning/problem_from.h"

namespace reverie {

struct TrajectoryConfig {
  Propagation kind = Propagation::kTsInf;  // or kE
  double disagreement_penalty = 0;         // kappa, of tsinf

  void Visit(Fields& fields);
};

// d f_h / d [s; u] of B rows for each hypothesis: obs [M, B, D], action [M, B, A] -> [M, B, D, D + A], in their type,
// on the model's device. One pass back for all D numbers, in parts of `rows_at_once` rows.
torch::Tensor StepJacobian(const DynamicsModel& model, const torch::Tensor& obs, const torch::Tensor& action,
                           int64_t rows_at_once = 8192);

// Horizon and start, which is ModelStart of an observation, are left to be set; controls are actions in [-1, 1].
// Borrows `model_env`, which must outlive it. Steps and first derivatives are the model's, in float32, on its device; a
// learned reward is differentiated twice in float64. The end of an episode is not seen. Throws std::invalid_argument
// for another propagation.
ShootingProblem ModelProblem(const ModelEnv& model_env, const EnvSpec& spec, const TrajectoryConfig& config);

// The same from the observation that it is asked about. Borrows `model_env` likewise.
ProblemFrom ModelProblemFrom(const ModelEnv& model_env, const EnvSpec& spec, const TrajectoryConfig& config);

// The state that all trajectories of the problem begin with, [nx] float64 on the CPU, from obs [obs_dim].
torch::Tensor ModelStart(const ShootingProblem& problem, const torch::Tensor& obs);

}  // namespace reverie

#endif  // REVERIE_PLANNING_MODEL_PROBLEM_H_
