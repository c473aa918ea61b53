// Random worlds for the scheduler: who lives in them, on how much memory, on which device. A world
// is a plain value and a function of its seed; what happens in it is a function of the world.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "sched/cost_model.h"
#include "sched/scheduler_config.h"
#include "sched/step_plan.h"

namespace infercept::test {

// One interception: how long it lasts, and what is done and said meanwhile.
struct WorldInterception {
  Nanos duration = 0;  // hidden from the scheduler
  uint32_t returned_tokens = 0;
  KindId kind = kUnknownKind;
  bool from_code = false;  // by Pause at a step boundary, not by a trigger
  bool ends_turn = false;  // of a kept sequence: the turn finishes, and a new one comes afterwards
  std::optional<Nanos> announced;
  std::optional<Disposition> wish;
  bool suspend = false;
  uint32_t rewind_percent = 0;  // how much of the context is cut off
};

// Decoding up to an interception, and that interception. The last segment has none.
struct WorldSegment {
  uint32_t decode_tokens = 1;
  WorldInterception interception;
};

// What befalls a life at any moment, whatever its state.
enum class Disturbance : uint8_t { kNone, kAbort, kRelease, kPause };

struct WorldLife {
  bool skipped = false;  // left out by the search for a smaller failing world
  // Forked from this life in its interception `fork_at`; -1: submitted.
  int32_t parent = -1;
  uint32_t fork_at = 0;
  Nanos arrival = 0;           // of a fork: from the fork to its first resume
  uint32_t prompt_tokens = 1;  // of a fork: tokens of its first resume
  uint32_t prefix = 0;         // lives with equal prefix numbers begin alike
  uint32_t prefix_tokens = 0;
  int32_t priority = 0;
  bool keep = false;
  std::vector<WorldSegment> segments;  // at least one
  Disturbance disturbance = Disturbance::kNone;
  Nanos disturbed_after = 0;  // from the arrival
};

// What the device takes, in whole nanoseconds: times of a world can be scaled without rounding.
struct WorldDevice {
  Nanos step = 1'000'000;
  Nanos query_token = 10'000;
  Nanos kv_token = 1;
  std::array<Nanos, 2> copy_start = {0, 0};  // by CopyDirection
  std::array<Nanos, 2> copy_block = {10'000, 10'000};

  Nanos Compute(uint64_t query_tokens, uint64_t kv_tokens) const;
  Nanos Copy(CopyDirection direction, uint64_t blocks) const;
  CostProfile Profile(double factor) const;
};

struct World {
  uint64_t seed = 0;
  SchedulerConfig config;
  WorldDevice device;
  double belief = 1;          // the cost model starts with this many times the truth
  uint32_t alphabet = 2;      // distinct tokens; with two, contexts become alike by chance
  bool copies_first = false;  // the executor copies before it computes, not after
  std::vector<WorldLife> lives;

  std::string DebugString() const;
};

// Everything the scheduler offers, hostile sizes, and too little memory.
World RandomWorld(uint64_t seed);
// Sessions that come, call tools and finish undisturbed, all of which fit: for comparing two runs.
World CalmWorld(uint64_t seed);

// A smaller world for which `fails` still returns a text: lives, segments and deeds are left out as
// long as it does.
World Minimize(World world, const std::function<std::string(const World&)>& fails);

}  // namespace infercept::test
