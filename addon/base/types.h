// The few words that every folder shares: strong ids, token ids, time, and integer helpers.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace infercept {

using TokenId = int32_t;
using Nanos = int64_t;  // A duration, or a point on the engine's (or the simulation's) clock.

// One sequence in one engine. Never reused while the engine lives.
enum class SeqId : uint32_t {};
// One block of one tier; the tier is said by where the id stands.
enum class BlockId : uint32_t {};
// An interned name under which durations are learnt ("tool", "tool:calculator", ...). The strings
// live in TypeScript.
enum class KindId : uint32_t {};

inline constexpr BlockId kNoBlock{UINT32_MAX};
inline constexpr KindId kUnknownKind{0};

// What an interception is, from coarse to fine; any of it may be unknown.
struct KindPath {
  constexpr KindPath() = default;
  // Implicit: a kind alone is a path.
  constexpr KindPath(KindId kind) : kind(kind) {}
  constexpr KindPath(KindId family, KindId kind, KindId shape)
      : family(family), kind(kind), shape(shape) {}

  KindId family = kUnknownKind;  // "human", "tool", "model", "environment"
  KindId kind = kUnknownKind;    // "tool:search"
  KindId shape = kUnknownKind;   // of the call's arguments: "tool:search(depth=3)"
};

// A copy of one block's bytes; the list that it stands in names the tiers.
struct BlockCopy {
  BlockId source{};
  BlockId target{};
};

inline constexpr Nanos kNanosPerSecond = 1'000'000'000;

template <typename Id>
  requires std::is_enum_v<Id>
constexpr uint32_t Index(Id id) {
  return static_cast<uint32_t>(id);
}

// Smallest q with q * divisor >= dividend. REQUIRES: divisor > 0.
template <std::unsigned_integral T>
constexpr T DivCeil(T dividend, T divisor) {
  return static_cast<T>(dividend / divisor + (dividend % divisor != 0));
}

}  // namespace infercept
