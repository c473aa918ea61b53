// Reproducible random numbers for tests: the same on every machine and library, unlike std
// distributions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace infercept::test {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {  // splitmix64
    uint64_t value = state_ += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
  }
  // In [0, bound). REQUIRES: bound > 0.
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(Next() % bound); }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Unit() < probability; }

  std::string Text(uint32_t length, const std::string& alphabet) {
    std::string text;
    for (uint32_t i = 0; i < length; ++i) {
      text += alphabet[Below(static_cast<uint32_t>(alphabet.size()))];
    }
    return text;
  }

 private:
  uint64_t state_;
};

}  // namespace infercept::test
