// Elementary functions for the fused kernels: branch-free float32 that a compiler vectorises, no tables, no libm.
//
// Each is within a few units in the last place of the exact value, where that is a normal number. NaN in, NaN out. In a
// CUDA source they need --expt-relaxed-constexpr.
#ifndef REVERIE_NN_ELEMENTWISE_H_
#define REVERIE_NN_ELEMENTWISE_H_

#include <bit>
#include <cstdint>

#include "reverie/core/host_device.h"

namespace reverie {

constexpr float kExpRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits

// e^x = 2^n p, of a number or of a vector of them: n = round(x / ln 2), shifted = n + kExpRound, p = e^(x - n ln 2).
template <class Number>
REVERIE_HOST_DEVICE inline void ExpParts(const Number& x, Number& shifted, Number& p) {
  shifted = x * 1.44269504F + kExpRound;
  const Number n = shifted - kExpRound;
  const Number r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  p = r * (1.0F / 5040) + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
}

// Below -87 it stays at e^-87, above 88 at e^88.
REVERIE_HOST_DEVICE inline float Exp(float x) {
  x = -87.0F > x ? -87.0F : x;
  x = 88.0F < x ? 88.0F : x;
  float shifted;
  float p;
  ExpParts(x, shifted, p);
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kExpRound) + 127U;
  return p * std::bit_cast<float>(exponent << 23U);
}

REVERIE_HOST_DEVICE inline float Sigmoid(float x) { return 1.0F / (1.0F + Exp(-x)); }

// (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x; its Taylor series where that would cancel.
REVERIE_HOST_DEVICE inline float Tanh(float x) {
  const float magnitude = x < 0 ? -x : x;
  const float e = Exp(-2.0F * magnitude);
  const float far = (1.0F - e) / (1.0F + e);
  const float s = x * x;
  float p = -1382.0F / 155925;
  p = p * s + 62.0F / 2835;
  p = p * s - 17.0F / 315;
  p = p * s + 2.0F / 15;
  p = p * s - 1.0F / 3;
  const float near = x + x * s * p;
  return magnitude < 0.3F ? near : x < 0 ? -far : far;
}

// log(1 + t) = 2 atanh(t / (2 + t)) for t in [0, 1].
REVERIE_HOST_DEVICE inline float Log1p(float t) {
  const float z = t / (2.0F + t);
  const float s = z * z;
  float p = 1.0F / 15;
  p = p * s + 1.0F / 13;
  p = p * s + 1.0F / 11;
  p = p * s + 1.0F / 9;
  p = p * s + 1.0F / 7;
  p = p * s + 1.0F / 5;
  p = p * s + 1.0F / 3;
  p = p * s + 1.0F;
  return 2.0F * z * p;
}

// softplus(x) = log(1 + e^x), its derivative sigmoid(x), and 1 - sigmoid(x) without cancellation.
struct SoftplusValue {
  float value, slope, rest;
};
REVERIE_HOST_DEVICE inline SoftplusValue Softplus(float x) {
  const float e = Exp(x < 0 ? x : -x);
  const float large = 1.0F / (1.0F + e);
  const float small = e * large;
  return {.value = (0.0F > x ? 0.0F : x) + Log1p(e), .slope = x < 0 ? small : large, .rest = x < 0 ? large : small};
}

// The soft bounds of an ensemble's log-variance: l_min + softplus(t - l_min), t = l_max - softplus(l_max - raw); and
// both softplus, for its gradient.
struct BoundedLogVarValue {
  float value;
  SoftplusValue above, below;
};
REVERIE_HOST_DEVICE inline BoundedLogVarValue BoundedLogVar(float raw, float l_max, float l_min) {
  const SoftplusValue above = Softplus(l_max - raw);
  const float t = l_max - above.value;
  const SoftplusValue below = Softplus(t - l_min);
  return {.value = l_min + below.value, .above = above, .below = below};
}

}  // namespace reverie

#endif  // REVERIE_NN_ELEMENTWISE_H_
