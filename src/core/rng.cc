#include "reverie/core/rng.h"

namespace reverie {
namespace {

// Finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose output bits all depend on all input bits.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// FNV-1a.
uint64_t Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace

Rng::Rng(uint64_t seed) : seed_(seed) {}

Rng Rng::Split(std::string_view name) const { return Rng(Mix(Mix(seed_) ^ Hash(name))); }

Rng Rng::Split(uint64_t index) const { return Rng(Mix(Mix(seed_) + Mix(index ^ 0x5851f42d4c957f2dULL))); }

RandomEngine Rng::Engine() const {
  std::seed_seq seeds{static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)};
  return RandomEngine(seeds);
}

}  // namespace reverie
