#include "reverie/env/dm_control/tolerance.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace reverie::dm_control {
namespace {

// The s of Sigmoid.
double ScaleOf(const Tolerance& tolerance) {
  const double v = tolerance.value_at_margin;
  switch (tolerance.sigmoid) {
    case Sigmoid::kGaussian:
      return std::sqrt(-2 * std::log(v));
    case Sigmoid::kHyperbolic:
      return std::acosh(1 / v);
    case Sigmoid::kLongTail:
      return std::sqrt(1 / v - 1);
    case Sigmoid::kReciprocal:
      return 1 / v - 1;
    case Sigmoid::kCosine:
      return std::acos(2 * v - 1) / std::numbers::pi;
    case Sigmoid::kLinear:
      return 1 - v;
    case Sigmoid::kQuadratic:
      return std::sqrt(1 - v);
    case Sigmoid::kTanhSquared:
      return std::atanh(std::sqrt(1 - v));
  }
  return 0;
}

}  // namespace

double Tolerance::operator()(double x) const {
  const double outside = x < lower ? lower - x : x > upper ? x - upper : 0;
  if (margin == 0) {
    return outside == 0 ? 1 : 0;
  }
  const double d = outside / margin * ScaleOf(*this);
  switch (sigmoid) {
    case Sigmoid::kGaussian:
      return std::exp(-0.5 * d * d);
    case Sigmoid::kHyperbolic:
      return 1 / std::cosh(d);
    case Sigmoid::kLongTail:
      return 1 / (d * d + 1);
    case Sigmoid::kReciprocal:
      return 1 / (d + 1);
    case Sigmoid::kCosine:
      return d < 1 ? (1 + std::cos(std::numbers::pi * d)) / 2 : 0;
    case Sigmoid::kLinear:
      return std::max(1 - d, 0.0);
    case Sigmoid::kQuadratic:
      return std::max(1 - d * d, 0.0);
    case Sigmoid::kTanhSquared:
      return 1 - std::tanh(d) * std::tanh(d);
  }
  return 0;
}

// Inside the interval d is 0, where every sigmoid is 1: no branch that is not taken spoils a gradient.
torch::Tensor Tolerance::operator()(const torch::Tensor& x) const {
  if (margin == 0) {
    return x.ge(lower).logical_and(x.le(upper)).to(x.scalar_type());
  }
  torch::Tensor outside = at::zeros_like(x);
  if (std::isfinite(lower)) {
    outside = outside + (lower - x).clamp_min(0);
  }
  if (std::isfinite(upper)) {
    outside = outside + (x - upper).clamp_min(0);
  }
  const torch::Tensor d = outside * (ScaleOf(*this) / margin);
  switch (sigmoid) {
    case Sigmoid::kGaussian:
      return (-0.5 * d.square()).exp();
    case Sigmoid::kHyperbolic: {  // cosh would overflow
      const torch::Tensor e = (-d).exp();
      return 2 * e / (1 + e.square());
    }
    case Sigmoid::kLongTail:
      return (d.square() + 1).reciprocal();
    case Sigmoid::kReciprocal:
      return (d + 1).reciprocal();
    case Sigmoid::kCosine:
      return (1 + (std::numbers::pi * d.clamp_max(1)).cos()) / 2;
    case Sigmoid::kLinear:
      return (1 - d).clamp_min(0);
    case Sigmoid::kQuadratic:
      return (1 - d.square()).clamp_min(0);
    case Sigmoid::kTanhSquared:
      return 1 - d.tanh().square();
  }
  return {};
}

}  // namespace reverie::dm_control
