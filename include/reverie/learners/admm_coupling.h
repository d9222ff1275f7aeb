// What keeps a controller and the network that it teaches together in Bregman ADMM: multipliers of their mean actions
// and weights of their divergences, one of each for every step.
//
//   L = sum_t  E_p[l_t] + lambda_t^T (E_p[u_t] - E_pi[u_t]) + nu_t KL(p || pi)
//
// C-step: p is drawn by Pull (learners/local_model.h).
//
// S-step, with P_t = Sigma_t^-1 of p: the network is taught y_t, as sure as nu_t P_t.
//
//   y_t = mu_p(x_t) + (nu_t P_t)^-1 lambda_t
//
// Multipliers, after it:
//
//   lambda_t <- lambda_t + rate nu_t P_t mean(mu_p(x_t) - mu_pi(o_t))
//
// Weights, once an iteration: nu_t is halved where the divergence of p from pi is below mean - std of all steps, and
// doubled where it is above mean + std / 2. They stay within 1e4 times the first one either way.
//
// Source: Levine et al. 2016 ("End-to-end training of deep visuomotor policies", appendix A), and its authors' code for
// the multipliers' preconditioner and the weights.
#ifndef REVERIE_LEARNERS_ADMM_COUPLING_H_
#define REVERIE_LEARNERS_ADMM_COUPLING_H_

#include <cstdint>
#include <utility>

#include "reverie/config/fields.h"
#include "reverie/core/state.h"
#include "reverie/learners/local_model.h"

namespace reverie {

struct AdmmConfig {
  int64_t inner_iterations = 4;
  double weight = 0.01;  // nu at first, in units of the cost
  double dual_rate = 0.1;

  void Visit(Fields& fields);
};

// Of one start. Tensors are float64 on the CPU; T steps, m controls.
class AdmmCoupling {
 public:
  AdmmCoupling(const AdmmConfig& config, int64_t horizon, int64_t controls);

  Pull PullTowards(LinearGaussianController network) const {
    return {.network = std::move(network), .weights = weights_, .duals = duals_};
  }
  // y [N, T, m], for mean actions of the controller [N, T, m] of precision P [T, m, m].
  torch::Tensor Targets(const torch::Tensor& mean, const torch::Tensor& precision) const;
  // nu [T] as the S-step takes it: at most twice the median, so that few steps do not take all of a fit.
  torch::Tensor TargetWeights() const { return weights_.minimum(2 * weights_.median()); }

  // By mean actions of the controller and of the network in the same states, [N, T, m].
  void StepDuals(const torch::Tensor& controller, const torch::Tensor& network, const torch::Tensor& precision);
  // By the divergence of each step [T].
  void AdaptWeights(const torch::Tensor& divergence);

  void VisitState(StateVisitor& state);

 private:
  double dual_rate_;
  double first_weight_;
  torch::Tensor weights_;  // nu [T]
  torch::Tensor duals_;    // lambda [T, m]
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_ADMM_COUPLING_H_
