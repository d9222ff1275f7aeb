// The tanh-squashed diagonal Gaussian of SAC's actor.
//
//   a = tanh(u),  u = mean + exp(log_std) * noise,  noise ~ N(0, I)
//   log pi(a) = sum_j [ log N(u_j; mean_j, std_j) - 2 (log 2 - u_j - softplus(-2 u_j)) ]
//
// The correction is the stable form of log(1 - tanh(u)^2): finite for every finite u, with exact gradients.
// Source: Haarnoja et al. 2018b, appendix C; the stable form is algebra (see tests/nn/squashed_gaussian_test.cc).
#ifndef REVERIE_NN_SQUASHED_GAUSSIAN_H_
#define REVERIE_NN_SQUASHED_GAUSSIAN_H_

#include "reverie/core/tensor.h"

namespace reverie {

// Bounds of the log standard deviation that an actor's head is clamped to.
inline constexpr double kLogStdMin = -20.0;
inline constexpr double kLogStdMax = 2.0;

// mean, log_std, u: [B, A] float32, one device. Returns [B]. Differentiable in all three. Cost: O(B A).
// Throws std::logic_error where shapes differ. Not supported: full covariance.
torch::Tensor SquashedLogProb(const torch::Tensor& mean, const torch::Tensor& log_std, const torch::Tensor& u);

// Draws and what their gradient needs: float32, contiguous, one device, reused from one minibatch to the next. The
// functions below keep the promises of nn/kernels.h on the CPU and on a GPU (one kernel each) and throw as those do.
struct SquashedSample {
  torch::Tensor action;       // [B, A] in (-1, 1)
  torch::Tensor log_prob;     // [B]
  torch::Tensor by_log_std;   // [B, A] std noise where the head's log_std is inside its bounds, else 0
  torch::Tensor unclamped;    // [B, A] 1 where it is inside, else 0
  torch::Tensor log_density;  // [B, A] the action's terms of log_prob

  static SquashedSample Empty(int64_t rows, int64_t act_dim, const torch::Device& device);
};

// head [B, 2 A]: mean, then log_std before its clamp. noise [B, A]. No gradients are recorded.
void SampleSquashed(const torch::Tensor& head, const torch::Tensor& noise, SquashedSample& sample);

// Writes the gradient head_grad [B, 2 A] by `head` of a loss, given its gradients by the action [B, A] and by log_prob
// ([], one number for every row):
//   dL/du = 2 a dL/dlog_prob + (1 - a^2) dL/da;   dL/dmean = dL/du;   dL/dlog_std = dL/du std noise - dL/dlog_prob
void SquashedHeadGradient(const SquashedSample& sample, const torch::Tensor& action_grad,
                          const torch::Tensor& log_prob_grad, torch::Tensor head_grad);

}  // namespace reverie

#endif  // REVERIE_NN_SQUASHED_GAUSSIAN_H_
