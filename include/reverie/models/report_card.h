// What a model's predictions are worth: the same numbers for every kind of model whose steps are Gaussians or mixtures
// of them, or are drawn by a model that is asked for some draws.
//
// A step of N rows is judged by the equal mixture of the M hypotheses' distributions (models/scores.h) of the d targets
// that varied over the training rows, each in units of its deviation there (target_std). y is a target, F the mixture's
// distribution.
//
//   nll                   mean of -log p(row) / d, in nats, exact; of each target alone -log p(y)
//   log_likelihood_ratio  how much less that is than of one Gaussian for all rows, with the mean of the known rows
//                         and the deviation 1: 0 is no better
//   crps, rmse            means over rows and targets, the latter of the mixture's mean
//   epistemic             sqrt mean Var_h[mean_h]: hypotheses that disagree
//   aleatoric             sqrt mean E_h[std_h^2]: noise that they expect; of a mixture, also of which component it is
//   total                 the root of the sum of both squares: how wide predictions are (sharpness)
//   coverage_<p>          share of targets in the central p % of their distribution
//   width_<p>             mean width of that
//   calibration_error     CalibrationError of F(y); of a perfect model some 0.3 / sqrt(N d), and up to
//                         0.3 / sqrt(N) where targets hang together
//   level_distance        DistanceFromUniform of F(y)
//   outliers              share of targets with a density below 1.5e-6, that of N(0, 1) at 5
//   error_auroc_<u>       how well u, being epistemic, aleatoric or total, tells rows whose squared error is above
//                         its 90 % quantile from others
//   error_correlation_<u> how well it ranks all errors
//   unforeseen            how many targets move in these rows that rested in the training rows; they are in no
//                         other number
//
// Units are those of one model: of two models, or of one after another fit, log_likelihood_ratio and the numbers below
// that are shares compare, and the others after multiplication by target_std (nll: plus the mean of its logarithm).
//
// Coverage has a ceiling where hypotheses are few and noise is small: a truth that is one more draw like M of them lies
// between the least and the greatest with probability (M - 1) / (M + 1).
//
// Of points there is no density: no nll, log_likelihood_ratio or outliers. Points are the hypotheses of a model without
// noise, which has no aleatoric and no total either, or draws of one that has no other form (flow, diffusion, vae,
// gan). Of the latter the first two come from the density that the model itself gives, where it does, or the first
// alone, as nll_bound, from a bound of it (vae); crps is too large by some 0.6 aleatoric / K for K draws in all, and
// levels are a share of K draws, with its error. One hypothesis has no epistemic and no total. What cannot be told from
// the rows at hand, or is not finite, is left out; a prediction that is not a number counts as not covered.
//
// Sources: Gneiting and Raftery 2007 (proper scores); Kegl et al. 2021, Model-based Micro-data Reinforcement Learning
// (likelihood ratio, outliers, errors after many steps); Depeweg et al. 2018 (epistemic and aleatoric).
#ifndef REVERIE_MODELS_REPORT_CARD_H_
#define REVERIE_MODELS_REPORT_CARD_H_

#include <vector>

#include "reverie/core/metrics.h"
#include "reverie/core/rng.h"
#include "reverie/models/dynamics_model.h"

namespace reverie {

// Known rows that log_likelihood_ratio is taken against: the newest so many are enough for a mean.
inline constexpr int64_t kBaselineRows = 10'000;

struct StepScores {
  Metrics overall;  // the numbers above but the widths
  // Of each target alone, [D of the model]; not a number where it did not vary. nll is undefined without a density.
  torch::Tensor nll, crps, rmse, coverage_90;
};

// Of at least one row, in whatever order. `known`: rows that the model was fitted to; without any there is no
// log_likelihood_ratio. Cost: a prediction of the rows, and O(K^2 N D) on the host, K Gaussians in all.
StepScores ScoreSteps(const DynamicsModel& model, const TransitionBatch& rows, const TransitionBatch& known);

// width_50, width_90 and width_95. Cost: 6 quantiles, some 200 times O(M N D).
Metrics IntervalWidths(const DynamicsModel& model, const TransitionBatch& rows);

// Open-loop trajectories along consecutive real rows that the model was not fitted to, in the order they happened:
//
//   open_loop_error_<h>       OpenLoopError after h steps (models/model_env.h)
//   r2_<h>                    1 - open_loop_error_<h>^2
//   trajectory_coverage_<h>   share of observations in the central 90 % of at least 40 particles after h steps, each of
//                             which keeps its hypothesis (TS-infinity): small where a model takes what it does not know
//                             for noise that averages out, and where hypotheses are few, as above
//
//   trajectory_starts_<h>     the starts that the coverage is of: those with h steps left in their episode, at most 100
//
// for h in `horizons`; what has no start is left out. The first two are of all observations, also of those that do not
// vary, such as a goal, and of all starts.
Metrics ScoreTrajectories(const DynamicsModel& model, const TransitionBatch& rows, const std::vector<int64_t>& horizons,
                          const Rng& rng);

// novelty_auroc_<u>: the chance that u is larger at a row of `elsewhere` than at one of `rows`, for the three u above.
// Only their observations and actions are read.
Metrics ScoreNovelty(const DynamicsModel& model, const TransitionBatch& rows, const TransitionBatch& elsewhere);

// The rows with actions drawn uniformly instead of theirs.
TransitionBatch WithUniformActions(const TransitionBatch& rows, torch::Generator& generator);
// The rows with every number of their observations moved up or down by so many of its deviations over the rows.
TransitionBatch WithPushedStates(const TransitionBatch& rows, double deviations, torch::Generator& generator);

}  // namespace reverie

#endif  // REVERIE_MODELS_REPORT_CARD_H_
