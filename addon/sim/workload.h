// What a simulated world asks for: sessions with sizes and times, no contents.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace infercept {

// Decoding up to the next interception, and that interception. The last segment of a session has
// none.
struct SimSegment {
  uint32_t decode_tokens = 1;  // at least 1
  KindId kind = kUnknownKind;
  Nanos duration = 0;  // hidden from the scheduler
  uint32_t returned_tokens = 0;
};

struct SimSession {
  Nanos arrival = 0;
  uint32_t prompt_tokens = 1;
  uint32_t prefix = 0;         // sessions with the same prefix number share their first tokens
  uint32_t prefix_tokens = 0;  // how many; at most prompt_tokens
  int32_t priority = 0;
  std::vector<SimSegment> segments;  // at least one
  // A sub-agent: arrives `arrival` after that segment of that session paused, which goes on when
  // its own duration is over and all its sub-agents have finished. -1: arrives by itself.
  int32_t parent = -1;
  uint32_t parent_segment = 0;
};

// The six augmentations of InferCept (ICML 2024), Table 1. KindId of each is its number + 1.
enum class Augmentation : uint8_t { kMath, kQuestion, kEnvironment, kChat, kImage, kSpeech };
inline constexpr uint32_t kAugmentations = 6;
std::string_view AugmentationName(Augmentation augmentation);

struct MixOptions {
  double rate = 1;      // sessions per second, Poisson
  double seconds = 60;  // of arrivals
  uint64_t seed = 1;
  uint32_t context_tokens_max = 2000;  // a session ends when it would grow beyond
  double time_scale = 1;               // multiplies interception durations
  double token_scale = 1;              // multiplies token counts
  int32_t only = -1;                   // an Augmentation, or -1: the uniform mix of all
};
std::vector<SimSession> MakeMix(const MixOptions& options);

}  // namespace infercept
