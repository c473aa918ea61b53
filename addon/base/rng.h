// Seeded randomness that is the same on every platform (the standard distributions are not).
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace infercept {

// SplitMix64 (Steele, Lea and Flood 2014): one addition and a mix per draw.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t value = state_ += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
  }
  // [0, limit). REQUIRES: limit > 0. The bias of the remainder is below 2^-32 for the limits we
  // use.
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(Next() % limit); }
  // [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  double Exponential(double mean) { return -mean * std::log1p(-Uniform()); }
  double Normal(double mean, double deviation) {
    const double radius = std::sqrt(-2 * std::log1p(-Uniform()));
    return mean + deviation * radius * std::cos(2 * std::numbers::pi * Uniform());
  }

 private:
  uint64_t state_;
};

}  // namespace infercept
