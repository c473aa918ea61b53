#include "random_world.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/rng.h"

namespace infercept::test {
namespace {

constexpr uint32_t kMillisecond = 1'000'000;  // in nanoseconds

bool OneIn(Rng& random, uint32_t n) { return random.Below(n) == 0; }

// With a window, contexts may be longer than the pool.
uint32_t ContextMax(const SchedulerConfig& config) {
  const uint32_t pool = config.kv.device_blocks / config.kv.groups * config.kv.block_tokens;
  return std::min(config.context_tokens_max, config.kv.window_tokens > 0 ? 3 * pool : pool);
}

std::vector<bool*> AllIdeas(AdaptiveIdeas& ideas) {
  return {&ideas.copy_ahead,   &ideas.spare_copies,   &ideas.full_duplex, &ideas.host_turnover,
          &ideas.price_return, &ideas.partial_return, &ideas.large_yield};
}

// From pools that hold two small contexts to pools that hold most of them.
SchedulerConfig RandomConfig(Rng& random, uint64_t seed) {
  SchedulerConfig config;
  config.policy = static_cast<PolicyKind>(seed % 6);
  config.kv.block_tokens = 1u << random.Below(4);
  config.kv.device_blocks = DivCeil(24 + random.Below(280), config.kv.block_tokens);
  if (!OneIn(random, 3)) config.kv.host_blocks = random.Below(2 * config.kv.device_blocks);
  config.kv.block_bytes = 64 * config.kv.block_tokens;
  config.kv.prefix_cache = !OneIn(random, 4);
  config.context_tokens_max = OneIn(random, 4) ? 20 + random.Below(100) : 1000;
  config.step_tokens_max = std::max(config.kv.block_tokens, 4 + random.Below(64));
  if (!OneIn(random, 3)) config.saturation_tokens = 1 + random.Below(config.step_tokens_max);
  config.slices_max = OneIn(random, 3) ? 1 + random.Below(4) : 32;
  if (OneIn(random, 3)) config.slo = {0.25 * (1 + random.Below(16)), 1};
  for (bool* idea : AllIdeas(config.ideas)) *idea = !OneIn(random, 6);
  // From one token to more than the pool has room for.
  const uint32_t pool = config.kv.device_blocks * config.kv.block_tokens;
  if (OneIn(random, 3))
    config.kv.window_tokens = 1 + random.Below(OneIn(random, 4) ? pool : pool / 3);
  return config;
}

// Groups of layers of both kinds, on a pool of as many rows. A generator of its own: worlds without
// groups stay what they are.
void CutLayers(SchedulerConfig& config, uint64_t seed) {
  Rng random(~seed);
  if (!OneIn(random, 3)) return;
  KvConfig& kv = config.kv;
  kv.groups = 2 + random.Below(3);
  kv.full_groups = 1 + random.Below(kv.groups - 1);
  kv.window_tokens = 1 + random.Below(std::max(1u, kv.device_blocks * kv.block_tokens / 4));
  kv.device_blocks *= kv.groups;
  kv.host_blocks *= kv.groups;
  if (kv.window_tokens % 8 == 0) kv.device_blocks -= kv.groups / 2;  // not a multiple
}

WorldDevice RandomDevice(Rng& random) {
  WorldDevice device;
  device.step = 1 + random.Below(2 * kMillisecond);
  device.query_token = random.Below(50'000);
  device.kv_token = random.Below(500);
  for (int direction = 0; direction < 2; ++direction) {
    device.copy_start[direction] = OneIn(random, 2) ? 0 : random.Below(100'000);
    // From links that move the pool in a step to links that move one block in several steps.
    device.copy_block[direction] = 1 + random.Below(OneIn(random, 3) ? 4 * kMillisecond : 100'000);
  }
  return device;
}

Nanos RandomDuration(Rng& random) {
  const auto duration = static_cast<Nanos>(random.Below(4) * random.Below(10 * kMillisecond));
  return OneIn(random, 10) ? duration * 100 : duration;
}

WorldInterception RandomInterception(Rng& random, bool keep) {
  WorldInterception interception;
  interception.duration = RandomDuration(random);
  interception.returned_tokens = random.Below(OneIn(random, 8) ? 40 : 10);
  interception.kind = KindId{random.Below(4)};
  interception.from_code = OneIn(random, 6);
  interception.ends_turn = keep && OneIn(random, 2);
  if (OneIn(random, 6)) interception.announced = RandomDuration(random);
  if (OneIn(random, 8)) interception.wish = static_cast<Disposition>(random.Below(3));
  interception.suspend = OneIn(random, 10);
  if (OneIn(random, 8)) interception.rewind_percent = 1 + random.Below(99);
  return interception;
}

void AddSegments(Rng& random, WorldLife& life) {
  const uint32_t count = 1 + random.Below(5);
  for (uint32_t i = 0; i < count; ++i) {
    life.segments.push_back({1 + random.Below(8), RandomInterception(random, life.keep)});
  }
}

WorldLife RandomLife(Rng& random, uint32_t context_max) {
  WorldLife life;
  life.arrival = random.Below(20) * kMillisecond;
  life.prompt_tokens = 1 + random.Below(std::max(1u, context_max / (OneIn(random, 4) ? 1 : 3)));
  if (OneIn(random, 60)) life.prompt_tokens = context_max + random.Below(3);
  life.prefix = random.Below(2);
  life.prefix_tokens = OneIn(random, 3) ? 0 : random.Below(life.prompt_tokens + 1);
  life.priority = OneIn(random, 3) ? static_cast<int32_t>(random.Below(3)) - 1 : 0;
  life.keep = OneIn(random, 3);
  AddSegments(random, life);
  if (OneIn(random, 6)) life.disturbance = static_cast<Disturbance>(1 + random.Below(3));
  life.disturbed_after = random.Below(40 * kMillisecond);
  return life;
}

WorldLife RandomFork(Rng& random, uint32_t parent) {
  WorldLife life = RandomLife(random, 12);
  life.parent = static_cast<int32_t>(parent);
  life.fork_at = random.Below(2);
  life.keep = true;
  return life;
}

std::string Describe(const WorldInterception& interception) {
  std::ostringstream text;
  text << " then "
       << (interception.ends_turn   ? "ends its turn"
           : interception.from_code ? "is paused from code"
                                    : "pauses")
       << " for " << interception.duration << " ns, kind " << Index(interception.kind)
       << ", returns " << interception.returned_tokens;
  if (interception.announced) text << ", announced " << *interception.announced << " ns";
  if (interception.wish) text << ", wishes " << DispositionName(*interception.wish);
  if (interception.suspend) text << ", is suspended";
  if (interception.rewind_percent > 0)
    text << ", is cut back by " << interception.rewind_percent << " %";
  return text.str();
}

std::string Describe(const WorldLife& life) {
  constexpr const char* kDisturbances[] = {"", "aborted", "released", "paused"};
  std::ostringstream text;
  if (life.parent >= 0) {
    text << "forked from " << life.parent << " at its interception " << life.fork_at
         << ", resumed after " << life.arrival << " ns with ";
  } else {
    text << "arrives at " << life.arrival << " ns with ";
  }
  text << life.prompt_tokens << " tokens (" << life.prefix_tokens << " of prefix " << life.prefix
       << "), priority " << life.priority << (life.keep ? ", kept" : "");
  if (life.disturbance != Disturbance::kNone) {
    text << ", " << kDisturbances[static_cast<int>(life.disturbance)] << " " << life.disturbed_after
         << " ns later";
  }
  for (size_t i = 0; i < life.segments.size(); ++i) {
    text << "\n      decodes " << life.segments[i].decode_tokens;
    if (i + 1 < life.segments.size()) text << Describe(life.segments[i].interception);
  }
  return text.str();
}

// One change that makes a world simpler; false: nothing to change.
using Simplification = std::function<bool(World&)>;

void AddLifeSimplifications(std::vector<Simplification>& all, size_t i) {
  const auto on_life = [&all, i](auto change) {
    all.push_back([i, change](World& world) { return change(world.lives[i]); });
  };
  on_life([](WorldLife& life) { return !std::exchange(life.skipped, true); });
  on_life([](WorldLife& life) {
    return std::exchange(life.disturbance, Disturbance::kNone) != Disturbance::kNone;
  });
  on_life([](WorldLife& life) { return std::exchange(life.prefix_tokens, 0) > 0; });
  on_life([](WorldLife& life) { return std::exchange(life.priority, 0) != 0; });
  for (int times = 0; times < 4; ++times) {
    on_life([](WorldLife& life) {
      if (life.segments.size() == 1) return false;
      life.segments.pop_back();
      return true;
    });
  }
  on_life([](WorldLife& life) {
    for (WorldSegment& segment : life.segments) {
      const WorldInterception& all_of_it = segment.interception;
      WorldInterception plain;
      plain.duration = all_of_it.duration;
      plain.returned_tokens = all_of_it.returned_tokens;
      segment.interception = plain;
    }
    return true;
  });
}

std::vector<Simplification> Simplifications(const World& world) {
  std::vector<Simplification> all;
  for (size_t i = world.lives.size(); i-- > 0;) AddLifeSimplifications(all, i);
  all.push_back([](World& w) { return std::exchange(w.config.kv.host_blocks, 0u) > 0; });
  all.push_back([](World& w) { return std::exchange(w.config.kv.prefix_cache, false); });
  all.push_back([](World& w) { return std::exchange(w.config.kv.window_tokens, 0u) > 0; });
  all.push_back([](World& w) { return std::exchange(w.config.slo.ttft, 1.0) != 1.0; });
  all.push_back([](World& w) { return std::exchange(w.alphabet, 1u << 30) != 1u << 30; });
  all.push_back([](World& w) { return std::exchange(w.belief, 1.0) != 1.0; });
  return all;
}

}  // namespace

Nanos WorldDevice::Compute(uint64_t query_tokens, uint64_t kv_tokens) const {
  if (query_tokens == 0) return 0;
  return step + static_cast<Nanos>(query_tokens) * query_token +
         static_cast<Nanos>(kv_tokens) * kv_token;
}

Nanos WorldDevice::Copy(CopyDirection direction, uint64_t blocks) const {
  const auto i = static_cast<size_t>(direction);
  return blocks == 0 ? 0 : copy_start[i] + static_cast<Nanos>(blocks) * copy_block[i];
}

CostProfile WorldDevice::Profile(double factor) const {
  const auto seconds = [factor](Nanos nanos) { return static_cast<double>(nanos) * 1e-9 * factor; };
  return {seconds(step),
          seconds(query_token),
          seconds(kv_token),
          {seconds(copy_start[0]), seconds(copy_start[1])},
          {seconds(copy_block[0]), seconds(copy_block[1])}};
}

std::string World::DebugString() const {
  std::ostringstream text;
  text << "seed " << seed << ": " << PolicyName(config.policy) << ", " << config.kv.device_blocks
       << " + " << config.kv.host_blocks << " blocks of " << config.kv.block_tokens
       << ", prefix cache " << (config.kv.prefix_cache ? "on" : "off") << ", window "
       << config.kv.window_tokens << " in " << config.kv.groups - config.kv.full_groups << " of "
       << config.kv.groups << " groups, context at most " << config.context_tokens_max
       << ", step at most " << config.step_tokens_max << " tokens and " << config.slices_max
       << " slices, S " << config.saturation_tokens << ", slo " << config.slo.ttft << " : "
       << config.slo.throughput << ", ideas";
  for (const bool* idea : AllIdeas(const_cast<AdaptiveIdeas&>(config.ideas))) text << " " << *idea;
  text << ", " << alphabet << " tokens, copies " << (copies_first ? "first" : "last") << "\n  step "
       << device.step << " + " << device.query_token << " q + " << device.kv_token << " kv ns, out "
       << device.copy_start[0] << " + " << device.copy_block[0] << " n ns, in "
       << device.copy_start[1] << " + " << device.copy_block[1] << " n ns, believed times "
       << belief << "\n";
  for (size_t i = 0; i < lives.size(); ++i) {
    if (!lives[i].skipped) text << "  life " << i << " " << Describe(lives[i]) << "\n";
  }
  return text.str();
}

World RandomWorld(uint64_t seed) {
  Rng random(seed);
  World world;
  world.seed = seed;
  world.config = RandomConfig(random, seed);
  CutLayers(world.config, seed);
  world.device = RandomDevice(random);
  world.belief = std::array{1.0, 1.0, 0.25, 4.0}[random.Below(4)];
  world.alphabet = OneIn(random, 3) ? 2 : 1u << 30;
  world.copies_first = OneIn(random, 2);
  const uint32_t lives = 1 + random.Below(24);
  for (uint32_t i = 0; i < lives; ++i) {
    const bool fork = i > 0 && OneIn(random, 6);
    world.lives.push_back(fork ? RandomFork(random, random.Below(i))
                               : RandomLife(random, ContextMax(world.config)));
  }
  return world;
}

World CalmWorld(uint64_t seed) {
  Rng random(seed);
  World world;
  world.seed = seed;
  world.config.policy = static_cast<PolicyKind>(seed % 6);
  world.config.kv.block_tokens = 4;
  world.config.kv.device_blocks = 50 + random.Below(50);
  world.config.kv.host_blocks = OneIn(random, 2) ? 0 : 100;
  world.config.kv.block_bytes = 256;
  world.config.step_tokens_max = 64;
  world.alphabet = 1u << 30;
  world.device.copy_block = {200'000, 200'000};
  for (uint32_t i = 0; i < 24; ++i) {
    WorldLife life;
    life.arrival = random.Below(60 * kMillisecond);
    life.prompt_tokens = 20 + random.Below(40);
    const uint32_t segments = 1 + random.Below(4);
    for (uint32_t j = 0; j < segments; ++j) {
      WorldInterception interception;
      interception.kind = KindId{1 + random.Below(3)};
      interception.duration = 1 + random.Below(Index(interception.kind) * 20 * kMillisecond);
      interception.returned_tokens = 1 + random.Below(10);
      life.segments.push_back({4 + random.Below(12), interception});
    }
    world.lives.push_back(std::move(life));
  }
  return world;
}

World Minimize(World world, const std::function<std::string(const World&)>& fails) {
  // Twice: what could not be left out at first may be of no use once other things are gone.
  for (int round = 0; round < 2; ++round) {
    for (const Simplification& simplify : Simplifications(world)) {
      World simpler = world;
      if (simplify(simpler) && !fails(simpler).empty()) world = std::move(simpler);
    }
  }
  return world;
}

}  // namespace infercept::test
