// A controller for one start state and what is known around it: dynamics fitted to its last few trajectories, and an
// update that stays near it.
//
//   repeat: roll out N trajectories under p(u | x, t);  fit p(x' | x, u, t) to them (control/local_dynamics.h), or take
//           the simulator's derivatives
//           expand the cost about each and average;  p <- KL-constrained update (control/kl_update.h),
//           epsilon = kl_step * growth * T;  growth, within growth_range, by what the last update promised and what
//           came of it
//
// Source: Levine and Abbeel 2014, algorithm 1 without its policy; Levine, Wagener and Abbeel 2015. States are those of
// Env::SetState, actions in [-1, 1], costs those of TaskFunctions::state_cost. All in float64 on the CPU.
#ifndef REVERIE_LEARNERS_LOCAL_MODEL_H_
#define REVERIE_LEARNERS_LOCAL_MODEL_H_

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/control/kl_update.h"
#include "reverie/control/local_dynamics.h"
#include "reverie/core/metrics.h"
#include "reverie/env/registry.h"

namespace reverie {

// Where the dynamics around a controller come from.
enum class LocalDynamics {
  kFitted,       // its trajectories
  kDerivatives,  // the simulator, along its mean trajectory
};
std::vector<std::pair<std::string, LocalDynamics>> EnumNames(LocalDynamics);

// What is expected of dynamics before their trajectories are seen.
enum class LocalPrior {
  kNone,
  kGaussian,  // one Gaussian over the transitions of all steps
  kMixture,   // a mixture of them
};
std::vector<std::pair<std::string, LocalPrior>> EnumNames(LocalPrior);

struct LocalModelConfig {
  double start_std = 0.3;      // of the first controller, which is noise
  double noise_smoothing = 0;  // of who acts (policies/linear_gaussian_policy.h)
  LocalDynamics dynamics = LocalDynamics::kFitted;
  LocalPrior prior = LocalPrior::kMixture;
  double prior_strength = 1;
  int64_t prior_trajectories = 20;  // the last so many, that it is fitted to
  int64_t prior_clusters = 20;      // of the mixture, at most
  int64_t rows_per_cluster = 40;    // at least
  double kl_step = 0.2;
  std::array<double, 2> growth_range{0.01, 10};
  double min_std = 0.05;
  double entropy_weight = 0;
  KlDual dual = KlDual::kBracket;
  double dual_rate = 0.1;

  // Whether something else is fitted around the trajectories too, by the same prior: it is then read with derivatives.
  bool fits_more = false;

  void Visit(Fields& fields);

  void VisitPrior(Fields& fields);

  // Gaussians of a prior that is fitted to so many rows.
  int64_t ClustersOf(int64_t rows) const;
};

// What draws a controller p towards a network pi that it teaches, in units of the cost:
//   sum_t  E_p[lambda_t^T u_t] + nu_t KL(p(u_t | x_t) || pi(u_t | x_t))
struct Pull {
  LinearGaussianController network;  // pi, linearised
  torch::Tensor weights;             // nu [T]
  torch::Tensor duals;               // lambda [T, m]
};

class LocalModel {
 public:
  // The dynamics around a controller, of kDerivatives (DynamicsAlong in planning/simulator_problem.h).
  using Along = std::function<LinearGaussianDynamics(const LinearGaussianController&)>;

  // cost as StateCostOf (env/state_cost.h) gives it. With `along` dynamics are not fitted.
  LocalModel(const LocalModelConfig& config, int64_t horizon, int64_t states, int64_t controls,
             TaskFunctions::Batched cost, const Rng& rng, Along along = {});

  const LinearGaussianController& controller() const { return controller_; }
  // KL(p || q) of the controller from that one, of each step [T], along the states that it reaches by the last fit.
  torch::Tensor DivergenceFrom(const LinearGaussianController& q) const;
  const LinearGaussianDynamics& dynamics() const { return dynamics_; }  // of the last fit

  // From trajectories of the controller, states [N, T + 1, n], controls [N, T, m]: all parts below. Metrics: those of
  // Improve. Throws what FitLocalDynamics does.
  Metrics Update(const torch::Tensor& states, const torch::Tensor& controls);

  // What trajectories tell. With `near` the new controller is to stay near that one instead of its own last, as a
  // network that follows the controllers wants it; derivatives are along its mean. `pull` is that of the moment, for
  // what the last update's objective has come to.
  void Learn(const torch::Tensor& states, const torch::Tensor& controls, const LinearGaussianController* near = nullptr,
             const Pull* pull = nullptr);
  // Of the last update: what it promised and, as Learn found, what came of it, in costs of whom it stayed near, with
  // what a pull adds. Nothing where it failed.
  struct Gain {
    double promised = 0;
    double actual = 0;
  };
  std::optional<Gain> LastGain() const;
  // Makes the next step so many times as long: by StepGrowth of the last gain, where there was one.
  void ScaleStep(double factor);
  // The new controller, each time anew from the one that was there when it learned. Where it fails, which the metrics
  // and the log say, the controller stays, and once after each Learn the next step becomes a tenth as long; a
  // multiplier that dual gradients have not brought far enough goes on from where it is. Metrics: cost (mean of the
  // trajectories), kl, eta, passes, growth, std (mean of the controls'), failed.
  Metrics Improve(const Pull* pull = nullptr);

  void VisitState(StateVisitor& state);

 private:
  // What one batch of trajectories told: dynamics, the cost's expansion and where they begin.
  struct Fit {
    LinearGaussianDynamics dynamics;
    QuadraticCost cost;
    GaussianStates start;
    double mean_cost = 0;  // of the trajectories
  };

  LinearGaussianDynamics DynamicsOf(const torch::Tensor& states, const torch::Tensor& controls);
  // E_p[cost], and what a pull adds but for its multipliers, by the last fit.
  double Objective(const LinearGaussianController& p, const Pull* pull) const;
  Fit FitTo(const torch::Tensor& states, const torch::Tensor& controls);
  void Remember(const torch::Tensor& states, const torch::Tensor& controls);
  // The fit's cost and mean cost, by its dynamics.
  void ExpandAbout(const torch::Tensor& states, const torch::Tensor& controls, Fit* fit) const;

  LocalModelConfig config_;
  TaskFunctions::Batched cost_;
  Along along_;
  torch::Generator generator_;
  GaussianMixture mixture_;
  torch::Tensor rows_;  // transitions of the last trajectories, [M T, n + m + n]
  LinearGaussianController controller_;
  LinearGaussianDynamics dynamics_;
  double eta_ = 1;
  double growth_ = 1;
  // Of the last Learn: what it told, whom the new controller stays near, and what that one is expected to cost.
  Fit fit_;
  LinearGaussianController old_;
  double now_ = 0;
  bool improved_ = false, failed_ = false;  // since then
  // By the last fit: what whom it stayed near is expected to cost, and the controller that came of it.
  std::optional<std::pair<double, double>> promised_;
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_LOCAL_MODEL_H_
