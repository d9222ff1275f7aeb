// What squashed_gaussian.h does to one number, for the loops of squashed_gaussian.cc and the kernels of
// squashed_gaussian.cu.
#ifndef REVERIE_SRC_NN_SQUASHED_GAUSSIAN_MATH_H_
#define REVERIE_SRC_NN_SQUASHED_GAUSSIAN_MATH_H_

#include <numbers>

#include "reverie/core/host_device.h"
#include "reverie/nn/elementwise.h"

namespace reverie {

struct LogStdBounds {
  float low, high;
};

// One dimension of one row of SquashedSample.
struct SquashedDraw {
  float action, by_log_std, unclamped, log_density;
};
REVERIE_HOST_DEVICE inline SquashedDraw DrawSquashed(float mean, float raw_log_std, float noise,
                                                     const LogStdBounds& bounds) {
  constexpr auto kLn2 = static_cast<float>(std::numbers::ln2);
  constexpr float kHalfLogTwoPi = 0.918938533F;
  float log_std = bounds.low > raw_log_std ? bounds.low : raw_log_std;
  log_std = bounds.high < log_std ? bounds.high : log_std;
  const float inside = raw_log_std == log_std ? 1.0F : 0.0F;
  const float scaled_noise = Exp(log_std) * noise;
  const float u = mean + scaled_noise;
  return {
      .action = Tanh(u),
      .by_log_std = inside * scaled_noise,
      .unclamped = inside,
      .log_density = -0.5F * noise * noise - log_std - kHalfLogTwoPi - 2.0F * (kLn2 - u - Softplus(-2.0F * u).value)};
}

struct HeadGradient {
  float mean, log_std;
};
REVERIE_HOST_DEVICE inline HeadGradient SquashedGradient(float action, float by_log_std, float unclamped,
                                                         float action_grad, float log_prob_grad) {
  const float by_u = 2.0F * action * log_prob_grad + (1.0F - action * action) * action_grad;
  return {.mean = by_u, .log_std = by_u * by_log_std - log_prob_grad * unclamped};
}

}  // namespace reverie

#endif  // REVERIE_SRC_NN_SQUASHED_GAUSSIAN_MATH_H_
