// What the kernel tests share: inputs shaped like a model's, weights of every dtype, paged caches,
// and comparison.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/ops.h"

namespace infercept::test {

// What every Ops object multiplies with.
inline constexpr DType kWeightDTypes[] = {
    DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
    DType::kQ5_0, DType::kQ5_1,   DType::kQ2_K,   DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,
    DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};
static_assert(std::ssize(kWeightDTypes) == std::ranges::count_if(kDTypeTraits, [](const auto& t) {
                return IsWeightDType(t.dtype);
              }));
inline constexpr DType kKvDTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0,
                                      DType::kF8_E4M3};
inline constexpr double kEpsilon = 0x1p-24;  // half a unit in the last place of a float near 1

// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(Next() % limit); }
  // Bell-shaped around 0 with deviation 1.
  float Bell();
  // As activations are: bell-shaped, one in fifty ten times as large.
  std::vector<float> Activations(size_t count);

 private:
  uint64_t state_;
};

// Bytes on a cache-line boundary, as arenas give them.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t bytes) : lines_(bytes / sizeof(Line) + 1), bytes_(bytes) {}
  std::span<std::byte> span() { return {lines_.data()->bytes, bytes_}; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> lines_;
  size_t bytes_;
};

// A matrix in the file's layout with values of deviation about 1/sqrt(columns). Blocks hold random
// bits; in one of eight all bytes are equal and at an end of their range, so that extreme codes and
// inner scales meet.
struct Matrix {
  DType dtype;
  uint32_t rows;
  uint32_t columns;
  std::vector<std::byte> bytes;

  WeightView view() const { return {dtype, bytes.data(), rows, columns}; }
  std::vector<float> Row(uint32_t row) const;
};
Matrix MakeMatrix(Random& random, DType dtype, uint32_t rows, uint32_t columns);

// Three threads: more than one, and no divisor of most shapes.
ThreadPool& TestPool();

// A matrix as ops.Pack leaves it.
class PackedMatrix {
 public:
  PackedMatrix(const Ops& ops, const Matrix& matrix);
  // [tokens][rows]
  std::vector<float> Times(const std::vector<float>& x, uint32_t tokens);

 private:
  const Ops& ops_;
  const Matrix& matrix_;
  AlignedBytes bytes_;
};

// ops.Pack, then ops.MatMul: [tokens][rows].
std::vector<float> MatMul(const Ops& ops, const Matrix& matrix, const std::vector<float>& x,
                          uint32_t tokens);

// At least so many columns, in whole blocks.
constexpr uint32_t WholeBlocks(DType dtype, uint32_t columns) {
  return DivCeil(columns, BlockValues(dtype)) * BlockValues(dtype);
}

// x as the ISA's kernels for this dtype see it: rounded to BF16, or quantized per block of 32 (256
// for the K types) and back by the same float formula.
std::vector<float> SeenInputs(const Ops& ops, DType dtype, const std::vector<float>& x);

// Values that share the scale of a quantized input; 1 if none is quantized.
constexpr uint32_t InputBlock(DType dtype) { return IsQuantized(dtype) ? BlockValues(dtype) : 1; }

// Fails with index, both values and the tolerance at the first element that differs by more.
void ExpectClose(const std::vector<float>& expected, const std::vector<float>& actual,
                 const std::vector<double>& tolerance, const std::string& what);
// Fails at the first element that differs in any bit.
void ExpectSameBits(std::span<const float> expected, std::span<const float> actual,
                    const std::string& what);

}  // namespace infercept::test
