// What is random in the steps of an environment, apart from what a reset draws.
//
//   xi_t = draws of a stream named by (seed, t)      t the number of the step since the seed was set
//
// so that three numbers in a snapshot are all of it. An environment that has one says so in its spec (random_steps),
// begins it with a number of the reset's engine, keeps it in its snapshots, and begins it anew in DoReseed.
#ifndef REVERIE_ENV_STEP_NOISE_H_
#define REVERIE_ENV_STEP_NOISE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "reverie/core/rng.h"

namespace reverie {

class StepNoise {
 public:
  void Begin(uint64_t seed);

  // The stream of the next step.
  RandomEngine Next();

  static constexpr size_t kNumbers = 3;
  void AddTo(std::vector<double>& snapshot) const;
  void Restore(std::span<const double> numbers);  // [kNumbers]

 private:
  uint64_t seed_ = 0;
  uint64_t steps_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_ENV_STEP_NOISE_H_
