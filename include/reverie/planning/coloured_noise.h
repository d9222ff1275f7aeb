// Gaussian noise whose power falls with the frequency.
//
//   E |n(f)|^2 ~ f^-beta,  frequencies f = 1/H ... 1/2, that of the mean as if it were 1/H
//
// beta 0: white; 2: a random walk's. Source: Timmer and Koenig 1995, as iCEM uses it; here every step has unit variance
// with the mean's share counted in.
#ifndef REVERIE_PLANNING_COLOURED_NOISE_H_
#define REVERIE_PLANNING_COLOURED_NOISE_H_

#include <cstdint>

#include "reverie/core/tensor.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class ColouredNoise {
 public:
  ColouredNoise(const SequenceShape& shape, double beta, const torch::Device& device);

  // [count, H, A] float32, coloured along H, every action and sequence on its own. `generator` is of that device.
  torch::Tensor Draw(int64_t count, torch::Generator& generator) const;

 private:
  SequenceShape shape_;
  torch::Tensor re_, im_;  // [H / 2 + 1], deviations of the spectrum's real and imaginary parts
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_COLOURED_NOISE_H_
