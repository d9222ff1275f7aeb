// What imagination.h does to one number, for its loops on the CPU and its kernels.
#ifndef REVERIE_SRC_MODELS_IMAGINATION_MATH_H_
#define REVERIE_SRC_MODELS_IMAGINATION_MATH_H_

#include <bit>
#include <cstdint>

#include "reverie/nn/elementwise.h"

namespace reverie {

REVERIE_HOST_DEVICE inline float Standardised(float x, float mean, float std) { return (x - mean) / std; }

// One dimension's own part of TargetDecoder.
struct TargetScale {
  float l_max, l_min, offset, scale;
};
REVERIE_HOST_DEVICE inline float DrawTarget(float mean, float raw, float noise, const TargetScale& target) {
  const float log_var = BoundedLogVar(raw, target.l_max, target.l_min).value;
  return (mean + Exp(0.5F * log_var) * noise) * target.scale + target.offset;
}

REVERIE_HOST_DEVICE inline bool IsFinite(float x) {
  constexpr uint32_t kExponent = 0x7F800000U;
  return (std::bit_cast<uint32_t>(x) & kExponent) != kExponent;
}

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_IMAGINATION_MATH_H_
