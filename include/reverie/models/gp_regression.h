// Gaussian process regression of one target: the algebra, in float64.
//
//   f ~ GP(0, k),  k(x, x') = s_f^2 exp(-1/2 sum_i ((x_i - x'_i) / l_i)^2),   y = f(x) + s_n eps
//   theta = [log l_1 ... log l_d, log s_f, log s_n]
//
// Exact, with A = K + s_n^2 I and beta = A^-1 y, of n rows:
//
//   -log p(y) = y^T beta / 2 + log |A| / 2 + n/2 log 2 pi
//   its gradient by an element of theta: tr((A^-1 - beta beta^T) dA) / 2
//
// Sparse, with m inducing points Z and Q = K_xz K_zz^-1 K_zx (Titsias 2009, equation 9):
//
//   -log p(y) <= -log N(y; 0, Q + s_n^2 I) + tr(K - Q) / (2 s_n^2)
//
// A draw of the posterior as a function, by Matheron's rule (Wilson et al. 2020, equations 13 and 15): a draw of the
// prior in F random Fourier features, and what the rows correct of it,
//
//   f(x) = phi(x)^T w + k(x, C) v        phi(x) = s_f sqrt(2 / F) cos(W (x / l) + b),  W, w ~ N(0, 1), b ~ U(0, 2 pi)
//   exact: C = X, v = A^-1 (y - phi(X) w - s_n eps)       sparse: C = Z, v = K_zz^-1 (u - phi(Z) w),  u ~ q(u)
//
// Its mean over draws is the posterior's exactly, its covariance up to what F features miss of the prior's.
//
// Inputs are in units in which 1 is a usual length, targets in units of their deviation. Costs: exact n^3, a bound or a
// sparse draw n m^2; memory n^2 or n m numbers, of a sparse draw m^2.
//
// Sources: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, 2.2 and 5.4; Titsias 2009, Variational
// Learning of Inducing Variables in Sparse Gaussian Processes; Burt, Rasmussen and van der Wilk 2020, Convergence of
// Sparse Variational Inference (inducing points); Wilson et al. 2020, Efficiently Sampling Functions from Gaussian
// Process Posteriors.
#ifndef REVERIE_MODELS_GP_REGRESSION_H_
#define REVERIE_MODELS_GP_REGRESSION_H_

#include <functional>
#include <optional>

#include "reverie/core/tensor.h"

namespace reverie {

// k of every row of a [..., n, d] with every row of b [..., m, d], [..., n, m]. Differentiable in all.
torch::Tensor RbfKernel(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& theta);

struct GpLikelihood {
  double value = 0;
  torch::Tensor gradient;  // by theta [d + 2]
};

// -log p(y) of x [n, d] and y [n]. Nothing where A is not positive definite in float64, which takes an s_f of some
// 1e6 s_n or more.
std::optional<GpLikelihood> GpNegativeLogLikelihood(const torch::Tensor& x, const torch::Tensor& y,
                                                    const torch::Tensor& theta);

// The bound on it with inducing points z [m, d].
std::optional<GpLikelihood> SparseGpNegativeBound(const torch::Tensor& x, const torch::Tensor& y,
                                                  const torch::Tensor& z, const torch::Tensor& theta);

// Which m of the rows x [n, d] to take as inducing points: one after the other that of which the others say least,
// [m] int64. Fewer where what is left is known to 1e-6 s_f^2.
torch::Tensor GreedyInducingRows(const torch::Tensor& x, int64_t m, const torch::Tensor& theta);

// What a fit minimises: the likelihood or the bound, and walls against extreme theta, flat within,
//
//   sum_i (log l_i / log 100)^30 + ((log s_f - log s_n) / log 1000)^30       (Deisenroth et al., the code of PILCO)
//
// of which the second keeps A well conditioned where the rows have no noise. By L-BFGS with strong Wolfe conditions
// from theta, in at most so many iterations. `stop` is asked after every evaluation: where it says yes, nothing is
// returned.
struct GpFit {
  torch::Tensor theta;
  double value = 0;  // of the likelihood or bound alone
};
std::optional<GpFit> FitGp(const std::function<std::optional<GpLikelihood>(const torch::Tensor& theta)>& likelihood,
                           const torch::Tensor& theta, int64_t iterations, const std::function<bool()>& stop);

// W [F, d] and b [F], which all targets share.
struct FourierFeatures {
  torch::Tensor frequencies, phases;

  // phi(x) of x [..., d], [..., F]. Differentiable.
  torch::Tensor Of(const torch::Tensor& x, const torch::Tensor& theta) const;
};

// The weights v [n or m, M] that make prior draws with w [F, M] draws of the posterior given the rows. noise [n, M] and
// [m, M]: standard normal. The factorisations must exist, as they do where the likelihood or bound does: throws
// std::runtime_error otherwise.
torch::Tensor ConditionDraws(const torch::Tensor& x, const torch::Tensor& y, const torch::Tensor& theta,
                             const FourierFeatures& features, const torch::Tensor& w, const torch::Tensor& noise);
torch::Tensor ConditionSparseDraws(const torch::Tensor& x, const torch::Tensor& y, const torch::Tensor& z,
                                   const torch::Tensor& theta, const FourierFeatures& features, const torch::Tensor& w,
                                   const torch::Tensor& noise);

}  // namespace reverie

#endif  // REVERIE_MODELS_GP_REGRESSION_H_
