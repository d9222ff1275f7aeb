// A better controller that stays near the one whose trajectories the dynamics were fitted to.
//
//   min_p E_p[sum_t l_t] - w sum_t H(p(u_t | x_t))    subject to   KL(p(tau) || p_old(tau)) <= epsilon
//
// For a multiplier eta the best p is the linear-quadratic regulator of the cost (l - eta log p_old) / (eta + w), with
// Sigma_t = Q_uu,t^-1; eta is then what makes the divergence epsilon. Its dual function
//
//   g(eta) = min_p E_p[l] - w H(p) + eta (KL(p || p_old) - epsilon),     dg / d eta = KL(eta) - epsilon
//
// is concave, and KL(eta) falls. Sources: Levine and Abbeel 2014 ("Learning neural network policies with guided policy
// search under unknown dynamics", section 3); Levine, Wagener and Abbeel 2015; the lecture notes for dual descent.
//
// Where w differs from step to step, w + w_t, the gains are the same and Sigma_t = (eta + w + w_t) / (eta + w)
// Q_uu,t^-1.
//
// The entropy weight w is a temperature in units of the cost: the controls' noise grows with it. Without one, the noise
// falls from update to update until the dynamics cannot be fitted any more, which `min_std` keeps it from.
#ifndef REVERIE_CONTROL_KL_UPDATE_H_
#define REVERIE_CONTROL_KL_UPDATE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "reverie/control/linear_gaussian.h"

namespace reverie {

enum class KlDual {
  kBracket,      // eta between one that is too large and one that is too small, by geometric means
  kGradient,     // eta <- eta + rate (KL - epsilon), not below the least
  kLogGradient,  // ln eta <- ln eta + rate (KL - epsilon) / epsilon
};
std::vector<std::pair<std::string, KlDual>> EnumNames(KlDual);

struct KlUpdateOptions {
  // Of the controls in every direction: after the search eigenvalues of Sigma are raised to its square. The divergence
  // is that before.
  double min_std = 0;
  double entropy_weight = 0;   // w
  torch::Tensor step_entropy;  // w_t [T], further weights of single steps' entropies; undefined: none
  KlDual dual = KlDual::kBracket;
  double rate = 0.1;       // of the gradients
  int64_t passes = 50;     // values of eta tried, at most
  double tolerance = 0.1;  // |KL - epsilon| / epsilon that counts as equal
};

enum class KlStatus {
  kConverged,            // the divergence is epsilon, to the tolerance
  kInactive,             // at the least eta it is below: the constraint binds nothing
  kMaxPasses,            // the controller is the best of those tried whose divergence is at most epsilon
  kNotPositiveDefinite,  // no eta up to the greatest makes every Q_uu positive definite
  kNotFinite,            // a number of the problem, or of what came of it
  kTooFar,               // no eta tried brought the divergence to epsilon or below
};

// "the divergence is that wanted", ...
const char* Text(KlStatus status);

// Whether the controller of the result is a new one; else it is the old one.
bool IsUsable(KlStatus status);

struct KlPass {
  double eta = 0;
  double kl = 0;  // infinite where no controller came of it
};

struct KlUpdateResult {
  KlStatus status = KlStatus::kNotFinite;
  LinearGaussianController controller;
  // Of it. Where none is usable the one given, or after kTooFar with gradients the one that they came to.
  double eta = 1;
  double kl = 0;             // of it from the old one, over the whole trajectory
  double expected_cost = 0;  // of it by the problem's dynamics and cost
  std::vector<KlPass> passes;
};

// epsilon > 0, eta > 0: where the search begins. Never throws for what numerics may do. Throws std::invalid_argument
// where a shape does not fit. Cost: a backward recursion and a pass over the trajectory for each value of eta.
KlUpdateResult KlUpdate(const GaussianStates& start, const LinearGaussianDynamics& dynamics, const QuadraticCost& cost,
                        const LinearGaussianController& old, double epsilon, double eta,
                        const KlUpdateOptions& options = {});

// The controller of one eta, and its divergence: KlUpdate's inner problem. Status kConverged, or what failed.
KlUpdateResult PenalisedUpdate(const GaussianStates& start, const LinearGaussianDynamics& dynamics,
                               const QuadraticCost& cost, const LinearGaussianController& old, double eta,
                               const KlUpdateOptions& options = {});

// The factor by which the next step may be longer. With `predicted` the gain that the fitted dynamics promised and
// `actual` what came of it, costs are taken as predicted * s + penalty * s^2 in the step's length s:
//
//   predicted / (2 max(1e-4 |predicted|, predicted - actual)), between 0.1 and 5; 0.1 where nothing was promised
//
// Source: Levine, Wagener and Abbeel 2015; the constants are those of its authors' code.
double StepGrowth(double predicted, double actual);

}  // namespace reverie

#endif  // REVERIE_CONTROL_KL_UPDATE_H_
