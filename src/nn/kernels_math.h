// What kernels.h does to one number, for the loops of kernels.cc and the kernels of kernels.cu.
#ifndef REVERIE_SRC_NN_KERNELS_MATH_H_
#define REVERIE_SRC_NN_KERNELS_MATH_H_

#include <cmath>

#include "reverie/core/host_device.h"
#include "reverie/nn/adam.h"
#include "reverie/nn/elementwise.h"

namespace reverie {

REVERIE_HOST_DEVICE inline float Relu(float x) { return 0.0F > x ? 0.0F : x; }

struct SiluValue {
  float value, slope;
};
REVERIE_HOST_DEVICE inline SiluValue Silu(float x) {
  const float s = Sigmoid(x);
  return {.value = x * s, .slope = s * (1.0F + x * (1.0F - s))};
}

// One dimension of one row of the Gaussian loss: its gradients, and (mu - y)^2 exp(-l) + l.
struct GaussianLossTerms {
  float mean_grad, raw_grad, max_grad, min_grad, loss;
};
REVERIE_HOST_DEVICE inline GaussianLossTerms GaussianLoss(float mean, float raw, float target, float l_max, float l_min,
                                                          float c) {
  const auto [log_var, above, below] = BoundedLogVar(raw, l_max, l_min);
  const float error = mean - target;
  const float precision_error = error * Exp(-log_var);
  const float scaled_square = error * precision_error;
  const float by_log_var = c * (1.0F - scaled_square);
  const float by_t = by_log_var * below.slope;
  return {.mean_grad = 2.0F * c * precision_error,
          .raw_grad = by_t * above.slope,
          .max_grad = by_t * above.rest,
          .min_grad = by_log_var * below.rest,
          .loss = scaled_square + log_var};
}

struct AdamFactors {
  float beta1, beta2, step_size, second_correction, epsilon, tau;
};
// Those of step t, counted from 1.
REVERIE_HOST_DEVICE inline AdamFactors AdamFactorsOf(const AdamConstants& constants, double tau, double t) {
  return {.beta1 = static_cast<float>(constants.beta1),
          .beta2 = static_cast<float>(constants.beta2),
          .step_size = static_cast<float>(constants.learning_rate / (1 - std::pow(constants.beta1, t))),
          .second_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(constants.beta2, t))),
          .epsilon = static_cast<float>(constants.epsilon),
          .tau = static_cast<float>(tau)};
}

struct AdamNumbers {
  float value, first_moment, second_moment;
};
REVERIE_HOST_DEVICE inline AdamNumbers AdamStepped(const AdamFactors& f, float decay, float grad, AdamNumbers n) {
  const float g = grad + decay * n.value;
  const float m = n.first_moment + (1.0F - f.beta1) * (g - n.first_moment);
  const float v = f.beta2 * n.second_moment + (1.0F - f.beta2) * g * g;
  return {.value = n.value - f.step_size * m / (std::sqrt(v) * f.second_correction + f.epsilon),
          .first_moment = m,
          .second_moment = v};
}

}  // namespace reverie

#endif  // REVERIE_SRC_NN_KERNELS_MATH_H_
