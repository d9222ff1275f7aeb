#include "reverie/env/step_noise.h"

namespace reverie {
namespace {

constexpr unsigned kHalf = 32;  // bits of a seed that a double holds exactly

}  // namespace

void StepNoise::Begin(uint64_t seed) {
  seed_ = seed;
  steps_ = 0;
}

RandomEngine StepNoise::Next() { return RandomEngine(Rng(seed_).Split(steps_++).seed()); }

void StepNoise::AddTo(std::vector<double>& snapshot) const {
  snapshot.push_back(static_cast<double>(seed_ >> kHalf));
  snapshot.push_back(static_cast<double>(seed_ & ((uint64_t{1} << kHalf) - 1)));
  snapshot.push_back(static_cast<double>(steps_));
}

void StepNoise::Restore(std::span<const double> numbers) {
  seed_ = static_cast<uint64_t>(numbers[0]) << kHalf | static_cast<uint64_t>(numbers[1]);
  steps_ = static_cast<uint64_t>(numbers[2]);
}

}  // namespace reverie
