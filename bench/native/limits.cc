#include "limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <bit>
#include <cmath>
#include <cstring>

#include "harness.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

#if defined(__x86_64__) && !defined(__clang__)
// As in ops_avx512.cc: GCC bug 105593.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
// The loops use few words of each vocabulary.
#pragma GCC diagnostic ignored "-Wunused-function"

namespace infercept::bench {
using cpu::LevelBytes;

namespace {

namespace scalar {
#include "kernels/cpu/simd_scalar.inc"
#include "limits.inc"
}  // namespace scalar

#if defined(__x86_64__)
IC_TARGET_REGION("avx2,fma,f16c")
namespace avx2 {
#include "kernels/cpu/simd_avx2.inc"
#include "limits.inc"
}  // namespace avx2
IC_END_TARGET_REGION

IC_TARGET_REGION("avx2,fma,f16c,avxvnni")
namespace avxvnni {
#include "kernels/cpu/simd_avxvnni.inc"
#include "limits.inc"
}  // namespace avxvnni
IC_END_TARGET_REGION

IC_TARGET_REGION("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace avx512 {
#include "kernels/cpu/simd_avx512.inc"
#include "limits.inc"
}  // namespace avx512
IC_END_TARGET_REGION

IC_TARGET_REGION("avx512f,avx512bf16")
uint64_t DotPairsRegisters(uint32_t rounds) {
  // As kChains in limits.inc.
  constexpr uint32_t kSums = 12;
  const auto factors = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3F003F00));  // 0.5
  __m512 sums[kSums];
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (uint32_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (uint32_t i = 0; i < kSums; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], factors, factors);
  }
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kSums; ++i) Keep(sums[i]);
  return uint64_t{rounds} * kSums * 16 * 4;
}
IC_END_TARGET_REGION
#elif defined(__aarch64__)
namespace neon {
#include "kernels/cpu/simd_neon.inc"
#include "limits.inc"
}  // namespace neon

IC_TARGET_REGION("arch=armv8.2-a+dotprod")
namespace neondot {
#include "kernels/cpu/simd_neondot.inc"
#include "limits.inc"
}  // namespace neondot
IC_END_TARGET_REGION

IC_TARGET_REGION("arch=armv8.2-a+dotprod+i8mm")
uint64_t DotMatrixRegisters(uint32_t rounds) {
  // As kChains in limits.inc.
  constexpr uint32_t kSums = 12;
  const int8x16_t factors = vdupq_n_s8(3);
  int32x4_t sums[kSums];
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kSums; ++i) sums[i] = vdupq_n_s32(static_cast<int32_t>(i));
  for (uint32_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (uint32_t i = 0; i < kSums; ++i) sums[i] = vmmlaq_s32(sums[i], factors, factors);
  }
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kSums; ++i) Keep(sums[i]);
  return uint64_t{rounds} * kSums * 64;
}
IC_END_TARGET_REGION
#endif

struct Loops {
  uint64_t (*dot)(uint32_t rounds);
  uint64_t (*multiply_add)(uint32_t rounds);
  uint64_t (*dot_pairs)(uint32_t rounds) = nullptr;  // null: the ISA has none
};

Loops LoopsOf(std::string_view isa) {
#if defined(__x86_64__)
  if (isa == "avx512bf16") {
    return {avx512::DotRegisters, avx512::MultiplyAddRegisters, DotPairsRegisters};
  }
  if (isa == "avx512") return {avx512::DotRegisters, avx512::MultiplyAddRegisters};
  if (isa == "avxvnni") return {avxvnni::DotRegisters, avxvnni::MultiplyAddRegisters};
  if (isa == "avx2") return {avx2::DotRegisters, avx2::MultiplyAddRegisters};
#elif defined(__aarch64__)
  if (isa == "neoni8mm") return {DotMatrixRegisters, neondot::MultiplyAddRegisters};
  if (isa == "neondot") return {neondot::DotRegisters, neondot::MultiplyAddRegisters};
  if (isa == "neon") return {neon::DotRegisters, neon::MultiplyAddRegisters};
#endif
  return {scalar::DotRegisters, scalar::MultiplyAddRegisters};
}

double Rate(uint64_t (*loop)(uint32_t rounds), uint32_t samples, ThreadPool& pool) {
  // About 0.1 ms: longer than handing over, shorter than a time slice.
  constexpr uint32_t kRounds = 20'000;
  const uint32_t parts = pool.threads() * 4;
  const double seconds = MedianSeconds(samples, [&] {
    // A range may be several parts, and is all of them where there is one thread.
    pool.ParallelFor(parts, 1, [&](uint32_t begin, uint32_t end, uint32_t) {
      for (uint32_t part = begin; part < end; ++part) Keep(loop(kRounds));
    });
  });
  return static_cast<double>(loop(kRounds)) * parts / seconds;
}

}  // namespace

// A sample reads as much as one matrix has, so that both are disturbed alike by what else the
// machine does.
double ReadBandwidth(std::span<const std::byte> memory, uint32_t samples, ThreadPool& pool) {
  constexpr uint32_t kPart = 128 * 1024;
  constexpr uint32_t kParts = 64;
  size_t offset = 0;
  const double seconds = MedianSeconds(samples, [&] {
    if (offset + kPart * kParts > memory.size()) offset = 0;
    pool.ParallelFor(kParts, 1, [&](uint32_t begin, uint32_t end, uint32_t) {
      const std::byte* range = memory.data() + offset + size_t{begin} * kPart;
      const auto* words = reinterpret_cast<const uint64_t*>(range);
      uint64_t sums[8] = {};
      for (size_t i = 0; i < size_t{end - begin} * kPart / 8; i += 8) {
        for (uint32_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
      }
      Keep(sums);
    });
    offset += kPart * kParts;
  });
  return double{kPart} * kParts / seconds;
}

ComputeLimits MeasureCompute(std::string_view isa, uint32_t samples, ThreadPool& pool) {
  const Loops loops = LoopsOf(isa);
  ComputeLimits limits{Rate(loops.dot, samples, pool), Rate(loops.multiply_add, samples, pool)};
  limits.bf16 = loops.dot_pairs != nullptr ? Rate(loops.dot_pairs, samples, pool) : limits.float32;
  return limits;
}

}  // namespace infercept::bench
