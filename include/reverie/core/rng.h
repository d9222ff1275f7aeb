// Random streams, split by name from one seed.
//
// A stream is named by the path of its uses ("model" / "bootstrap"), never by the order in which streams were asked
// for: a new consumer of randomness shifts no other. Nothing here is global.
#ifndef REVERIE_CORE_RNG_H_
#define REVERIE_CORE_RNG_H_

#include <cstdint>
#include <random>
#include <string_view>

namespace reverie {

// Engine of float64 host code (environments, start states). Its state is written to and read from text by << and >>.
using RandomEngine = std::mt19937_64;

// An immutable node in the tree of seeds. Cheap to copy.
class Rng {
 public:
  explicit Rng(uint64_t seed);

  // The child stream of that name. Equal names give equal streams; the parent is unchanged.
  Rng Split(std::string_view name) const;

  // The child stream of that index: one per copy of a thing.
  Rng Split(uint64_t index) const;

  // The 64-bit seed of this stream, for generators of other libraries.
  uint64_t seed() const { return seed_; }

  // A fresh engine at the start of this stream.
  RandomEngine Engine() const;

 private:
  uint64_t seed_;
};

}  // namespace reverie

#endif  // REVERIE_CORE_RNG_H_
