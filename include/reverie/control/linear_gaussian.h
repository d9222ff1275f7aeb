// Controllers and dynamics that are linear with Gaussian noise, one of each for every step, and the trajectories that
// they make.
//
//   p(u_t | x_t)           = N(K_t x_t + k_t, Sigma_t)
//   p(x_{t+1} | x_t, u_t)  = N(A_t x_t + B_t u_t + f_t, W_t)
//   p(x_0)                 = N(mu_0, P_0)
//
// States are absolute, not distances from a trajectory: k and f hold what that would be. All tensors are float64,
// contiguous, on the CPU; functions throw std::invalid_argument where a shape does not fit.
#ifndef REVERIE_CONTROL_LINEAR_GAUSSIAN_H_
#define REVERIE_CONTROL_LINEAR_GAUSSIAN_H_

#include <cstdint>
#include <optional>

#include "reverie/control/linear_quadratic.h"
#include "reverie/core/state.h"

namespace reverie {

struct LinearGaussianController {
  LinearGains gains;         // K [T, m, n], k [T, m]
  torch::Tensor covariance;  // Sigma [T, m, m], positive definite
  torch::Tensor factor;      // L [T, m, m], lower: Sigma = L L^T
  torch::Tensor precision;   // Sigma^-1 [T, m, m]

  int64_t horizon() const { return covariance.size(0); }
  int64_t states() const { return gains.feedback.size(2); }
  int64_t controls() const { return covariance.size(1); }

  // With factor and precision of its own; nothing where a covariance is not positive definite, or not finite.
  static std::optional<LinearGaussianController> IfPositive(LinearGains gains, torch::Tensor covariance);
  // The same, which throws std::invalid_argument then.
  static LinearGaussianController Of(LinearGains gains, torch::Tensor covariance);
  // K = 0, k = 0, Sigma = std^2 I.
  static LinearGaussianController Noise(int64_t horizon, int64_t states, int64_t controls, double std);

  void VisitState(StateVisitor& state);
};

struct LinearGaussianDynamics {
  LinearDynamics mean;       // A, B, f
  torch::Tensor covariance;  // W [T, n, n]
};

struct GaussianStates {
  torch::Tensor mean;        // [T + 1, n], or [n] of one step
  torch::Tensor covariance;  // [T + 1, n, n], or [n, n]
};

// The marginals of the states. Cost: O(T (n + m)^3).
GaussianStates PropagateStates(const GaussianStates& start, const LinearGaussianDynamics& dynamics,
                               const LinearGaussianController& controller);

// E[sum_t l_t] along them under the controller.
double ExpectedCost(const QuadraticCost& cost, const GaussianStates& states,
                    const LinearGaussianController& controller);

// Adds -w_t ln p(u_t | x_t) to each step of a cost, without what depends on neither x nor u; w [T].
void AddSurprise(const LinearGaussianController& p, const torch::Tensor& weights, QuadraticCost* cost);

// KL(p || q) of step t over the states that p reaches, [T]:
//
//   1/2 (tr(S_q^-1 S_p) - m + ln |S_q| - ln |S_p| + e^T S_q^-1 e + tr(dK^T S_q^-1 dK P_t)),
//   dK = K_q - K_p,  e = dK mu_t + k_q - k_p
//
// As the dynamics are the same, the sum over t is the divergence of the trajectories' distributions.
torch::Tensor KlDivergence(const GaussianStates& states, const LinearGaussianController& p,
                           const LinearGaussianController& q);

}  // namespace reverie

#endif  // REVERIE_CONTROL_LINEAR_GAUSSIAN_H_
