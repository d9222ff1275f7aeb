// What a step of Adam is told (nn/parameters.h has the formula).
#ifndef REVERIE_NN_ADAM_H_
#define REVERIE_NN_ADAM_H_

#include <cstdint>

namespace reverie {

struct AdamConstants {
  double learning_rate;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

// The numbers [begin, end) of a block have `factor` times themselves added to their gradient.
struct DecaySegment {
  int64_t begin, end;
  float factor;
};

}  // namespace reverie

#endif  // REVERIE_NN_ADAM_H_
