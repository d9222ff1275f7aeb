// Linear-Gaussian dynamics along a few trajectories of one controller, one fit for each step.
//
// At every step t the N rows y = [x_t; u_t; x_{t+1}] are a sample of one Gaussian, whose normal-inverse-Wishart
// estimate is, with mean ybar and scatter S = sum (y - ybar)(y - ybar)^T of the rows and a prior (mu_0, Phi, m, n_0),
//
//   Sigma = (S + Phi + N m / (N + m) (ybar - mu_0)(ybar - mu_0)^T) / (N + n_0)
//
// Conditioned on z = [x_t; u_t]: [A B] = Sigma_x'z Sigma_zz^-1,  f = ybar_x' - [A B] ybar_z,
//   W = Sigma_x'x' - [A B] Sigma_zz [A B]^T
//
// With a ridge on Sigma_zz, relative to the columns' variance over all steps: a direction that the rows of a step do
// not vary in has no coefficients, and a state that never changes is predicted exactly. Without a prior it takes more
// rows than n + m to be well fitted; the mixture over all steps (control/gaussian_mixture.h) makes do with fewer.
// Source: Levine and Abbeel 2014, section 4.
#ifndef REVERIE_CONTROL_LOCAL_DYNAMICS_H_
#define REVERIE_CONTROL_LOCAL_DYNAMICS_H_

#include <cstdint>
#include <functional>

#include "reverie/control/gaussian_mixture.h"
#include "reverie/control/linear_gaussian.h"

namespace reverie {

// Of the rows of one step [N, n + m + n].
using PriorOf = std::function<GaussianPrior(const torch::Tensor& rows)>;

// The rows of all steps, [N T, n + m + n], trajectory by trajectory, of states [N, T + 1, n] and controls [N, T, m].
torch::Tensor TransitionRows(const torch::Tensor& states, const torch::Tensor& controls);

// states [N, T + 1, n], controls [N, T, m] float64; no prior where `prior_of` is empty. Throws std::invalid_argument
// where a shape does not fit, std::runtime_error where a number is not finite.
LinearGaussianDynamics FitLocalDynamics(const torch::Tensor& states, const torch::Tensor& controls,
                                        const PriorOf& prior_of = {});

// The rows [x_t; u_t] of all steps, [N T, n + m], trajectory by trajectory; shapes as above.
torch::Tensor ActionRows(const torch::Tensor& states, const torch::Tensor& actions);

// The controller that acts as somebody does whose mean actions in those states are `actions` [N, T, m], with the noise
// [m, m], positive definite: fitted in the same way,
//   K = Sigma_ux Sigma_xx^-1,   k = ubar - K xbar,   Sigma_t = Sigma_uu - K Sigma_xx K^T + noise
// Throws as above, and std::runtime_error where a Sigma_t is not positive definite.
LinearGaussianController FitLinearController(const torch::Tensor& states, const torch::Tensor& actions,
                                             const torch::Tensor& noise, const PriorOf& prior_of = {});

// Mean and variance, at least 1e-6, of the states [N, n] that the trajectories begin in.
GaussianStates FitStart(const torch::Tensor& states);

}  // namespace reverie

#endif  // REVERIE_CONTROL_LOCAL_DYNAMICS_H_
