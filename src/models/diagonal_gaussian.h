// Gaussians without correlations, as networks say them. Internal to the models.
#ifndef REVERIE_SRC_MODELS_DIAGONAL_GAUSSIAN_H_
#define REVERIE_SRC_MODELS_DIAGONAL_GAUSSIAN_H_

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "reverie/nn/ensemble_mlp.h"
#include "soft_bounds.h"

namespace reverie {

// Of targets [..., D].
struct DiagonalGaussian {
  at::Tensor mean, log_var;

  // A network's output [..., 2 D]: means, then log variances, softly within bounds.
  static DiagonalGaussian FromOutput(const at::Tensor& output, double least_log_var, double most_log_var) {
    const std::vector<at::Tensor> halves = output.chunk(2, -1);
    return {.mean = halves[0], .log_var = SoftlyBetween(least_log_var, most_log_var, halves[1])};
  }

  // u = (y - mean) / std and back.
  at::Tensor Standardized(const at::Tensor& y) const { return (y - mean) * at::exp(-0.5 * log_var); }
  at::Tensor FromStandard(const at::Tensor& u) const { return mean + at::exp(0.5 * log_var) * u; }

  // -log N(y; mean, std^2) of each target.
  at::Tensor Nll(const at::Tensor& y) const {
    return 0.5 * ((y - mean).square() * at::exp(-log_var) + log_var + std::log(2 * std::numbers::pi));
  }
};

// What some generators begin with: a network says where and how wide a target is, and the generator what form
// u = (y - mean) / std has.
inline MlpShape BaseShape(int64_t members, int64_t inputs, const std::vector<int64_t>& hidden, int64_t targets) {
  return {.members = members, .widths = Widths(inputs, hidden, 2 * targets), .activation = Activation::kSilu};
}
inline DiagonalGaussian BaseOf(const at::Tensor& output) { return DiagonalGaussian::FromOutput(output, -14, 4); }

// What the generator is told of a row. Without the Gaussian it could not undo where that is off.
inline at::Tensor ConditionOf(const at::Tensor& z, const DiagonalGaussian& base) {
  return at::cat({z, base.mean, base.log_var}, -1);
}
inline int64_t ConditionDim(int64_t inputs, int64_t targets) { return inputs + 2 * targets; }

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_DIAGONAL_GAUSSIAN_H_
