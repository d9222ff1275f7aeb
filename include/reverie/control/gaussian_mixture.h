// A mixture of Gaussians over rows of numbers, by expectation maximisation, and the prior that it makes.
//
//   p(y) = sum_k w_k N(y | mu_k, S_k)
//   E:  r_ik = w_k N(y_i | mu_k, S_k) / p(y_i)
//   M:  w_k = mean_i r_ik,  mu_k = sum_i r_ik y_i / sum_i r_ik,  S_k = sum_i r_ik (y_i - mu_k)(y_i - mu_k)^T / sum_i
//   r_ik
//         + rho diag(var y)
//
// rho, 1e-6, is relative to each column's variance over all rows, so that units do not matter; a column that does not
// vary has the rounding of its numbers instead. A component that loses its rows begins anew as all rows' Gaussian.
// One component is the Gaussian of all rows. All tensors are float64 on the CPU.
#ifndef REVERIE_CONTROL_GAUSSIAN_MIXTURE_H_
#define REVERIE_CONTROL_GAUSSIAN_MIXTURE_H_

#include <cstdint>

#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {

// Of a normal-inverse-Wishart distribution, in the form in which it is added to data (control/local_dynamics.h).
struct GaussianPrior {
  torch::Tensor mean;     // mu_0 [D]
  torch::Tensor scatter;  // Phi [D, D]
  double mean_rows = 0;   // m: rows that the mean counts as
  double rows = 0;        // n_0: rows that the scatter counts as
};

class GaussianMixture {
 public:
  struct FitReport {
    double log_likelihood = 0;  // mean over rows, of the parameters before the last M step
    int64_t iterations = 0;
  };

  bool fitted() const { return weights_.defined(); }
  int64_t components() const { return fitted() ? weights_.size(0) : 0; }
  const torch::Tensor& weights() const { return weights_; }          // [K]
  const torch::Tensor& means() const { return means_; }              // [K, D]
  const torch::Tensor& covariances() const { return covariances_; }  // [K, D, D]

  // To rows [N, D] by that many components: from the present parameters where they are as many and of as many columns,
  // else from rows dealt to them at random. Ends where the mean log-likelihood gains less than `tolerance`. Throws
  // std::invalid_argument where a shape does not fit or there are fewer rows than components, std::runtime_error where
  // a row is not finite. Cost: O(K N D^2) an iteration.
  FitReport Fit(const torch::Tensor& rows, int64_t components, torch::Generator& generator,
                int64_t max_iterations = 100, double tolerance = 1e-5);

  // What rows [N, D], such as those of one step of some trajectories, are expected to be distributed like: with omega
  // the mean over the rows of r_ik,
  //   mu_0 = sum_k omega_k mu_k,   Phi = sum_k omega_k (S_k + (mu_k - mu_0)(mu_k - mu_0)^T)
  // Each counts as `strength` rows: m = strength, Phi times m, n_0 = strength (N_all - 2 - D) / N_all, N_all being the
  // rows that it was fitted to, not below 0. Source: the authors' code of guided policy search (Levine and Abbeel
  // 2014).
  GaussianPrior PriorOf(const torch::Tensor& rows, double strength) const;

  void VisitState(StateVisitor& state);

 private:
  // ln w_k + ln N(y_i | mu_k, S_k), [K, N].
  torch::Tensor LogJoint(const torch::Tensor& rows) const;
  // Returns whether a component lost its rows and began anew.
  bool Maximise(const torch::Tensor& rows, const torch::Tensor& responsibilities);

  torch::Tensor weights_, means_, covariances_;
  int64_t rows_ = 0;  // that it was fitted to
};

}  // namespace reverie

#endif  // REVERIE_CONTROL_GAUSSIAN_MIXTURE_H_
