// Fused passes over memory between the matrix products of a network.
//
// Tensors are float32, contiguous where nothing else is said, on one device, the CPU or a GPU. On the CPU each function
// is one pass on LibTorch's threads that allocates nothing and gives the same numbers for any number of threads. On a
// GPU it is one kernel on the current stream, two where it sums over all rows or counts a step: nothing waits, a CUDA
// graph can capture it, and it gives the same numbers every time. Both take numbers too small to be normal as zero. No
// gradients are recorded. Throws std::logic_error for any other device, and for a GPU in a build without CUDA;
// std::runtime_error where CUDA refuses a launch.
#ifndef REVERIE_NN_KERNELS_H_
#define REVERIE_NN_KERNELS_H_

#include <cstdint>
#include <vector>

#include "reverie/core/tensor.h"
#include "reverie/nn/adam.h"

namespace reverie {

// y [E, B, N], bias [E, 1, N].
void AddBias(torch::Tensor& y, const torch::Tensor& bias);   // y += bias
void BiasRelu(torch::Tensor& y, const torch::Tensor& bias);  // y = relu(y + bias)
void BiasSilu(torch::Tensor& y, const torch::Tensor& bias);  // y = silu(y + bias)
// The same, and slope [E, B, N] = silu'(y + bias).
void BiasSiluWithSlope(torch::Tensor& y, const torch::Tensor& bias, torch::Tensor& slope);

// grad [E, B, N] of the loss by the activation becomes that by what went into it; bias_grad [E, 1, N] is its sum over
// rows, left alone where it is undefined.
void ReluBackward(torch::Tensor& grad, const torch::Tensor& relu, torch::Tensor bias_grad);
void SlopeBackward(torch::Tensor& grad, const torch::Tensor& slope, torch::Tensor bias_grad);
void SumRows(const torch::Tensor& grad, torch::Tensor bias_grad);

// The gradient of an ensemble's Gaussian loss, softly bounded log-variance included (models/gaussian_ensemble.h has the
// formulas):
//   c sum [(mu - y)^2 exp(-l) + l] + penalty (sum l_max - sum l_min)
//   l = l_min + softplus(t - l_min),   t = l_max - softplus(l_max - raw)
// output [E, B, 2 D]: mu, then raw; target [E, B, D] = y; l_max, l_min [1, D]. Writes grad [E, B, 2 D] by output,
// max_grad, min_grad [1, D] by the bounds, and the loss [].
void GaussianLossGradient(const torch::Tensor& output, const torch::Tensor& target, const torch::Tensor& l_max,
                          const torch::Tensor& l_min, float c, float penalty, torch::Tensor& grad,
                          torch::Tensor& max_grad, torch::Tensor& min_grad, torch::Tensor& loss);

// One step of Adam with L2 decay (nn/parameters.h has the formula), all [N], step [] the number of steps so far, which
// becomes one more; and, where `target` is defined, target += tau (values - target) after it. Segments of the decay lie
// one behind the other; a GPU takes at most 32, and std::logic_error is thrown where there are more.
void AdamStep(const AdamConstants& constants, const std::vector<DecaySegment>& decay, torch::Tensor& step,
              torch::Tensor& values, torch::Tensor& grads, torch::Tensor& first_moment, torch::Tensor& second_moment,
              torch::Tensor target, double tau);

}  // namespace reverie

#endif  // REVERIE_NN_KERNELS_H_
