// Time that the scheduler itself takes per step, Plan and Commit, beside an executor that takes
// none: it answers each slice that samples with a token, after which some sequences pause and some
// finish. As many resume and begin, so that the numbers stay and the state does not.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <stdexcept>

#include "allocations.h"
#include "base/rng.h"
#include "harness.h"
#include "sched/scheduler.h"

namespace infercept::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Tokens between two interceptions, on average.
constexpr uint32_t kSegmentTokens = 128;
constexpr uint32_t kReturnedTokens = 32;
constexpr uint32_t kPromptTokensMin = 200;
constexpr uint32_t kPromptTokensMax = 600;
// The first ones are longer, as if they had come through some interceptions already.
constexpr uint32_t kFirstPromptTokensMax = 900;
// Where a segment ends beyond this, the sequence finishes and another one begins.
constexpr uint32_t kContextTokens = 800;
// What such contexts have on average; measured.
constexpr uint32_t kBlocksPerContext = 35;
// A tenth of each prompt is the same for all: blocks are shared.
constexpr uint32_t kSharedTokens = 48;
constexpr uint32_t kKinds = 6;

// About a model of 8 B parameters on an H200, with blocks of 2 MB over PCIe 5: 15 ms to read the
// weights, twice that at S = 3,000 tokens.
constexpr CostProfile kProfile = {15e-3, 10e-6, 1e-9, {20e-6, 20e-6}, {50e-6, 50e-6}};

struct Case {
  PolicyKind policy;
  uint32_t running;
  uint32_t paused;
  bool pressure;  // the device holds the running contexts and half as much of paused ones
};

SchedulerConfig ConfigOf(const Case& world) {
  SchedulerConfig config;
  config.policy = world.policy;
  // With room for what lengths vary.
  const uint32_t everything = (world.running + world.paused) * kBlocksPerContext * 5 / 4;
  config.kv.device_blocks = world.pressure ? world.running * kBlocksPerContext * 3 / 2 : everything;
  config.kv.host_blocks = everything;
  config.kv.block_tokens = 16;
  config.kv.block_bytes = size_t{2} << 20;
  config.context_tokens_max = 4096;
  config.step_tokens_max = 4096;
  config.slices_max = world.running * 2;
  return config;
}

struct StepCost {
  double plan = 0;  // seconds
  double commit = 0;
  uint64_t allocations = 0;
};

class World {
 public:
  explicit World(const Case& world)
      : case_(world), scheduler_(ConfigOf(world), CostModel(kProfile)), cost_(kProfile) {}

  // Steps until there are as many contexts of each kind as the case wants.
  void Fill() {
    // More at once would only queue for prefill.
    constexpr uint32_t kArrivalsPerStep = 4;
    while (paused_.size() < case_.paused || submitted_ < case_.running + case_.paused) {
      for (uint32_t i = 0; i < kArrivalsPerStep; ++i) {
        if (submitted_ < case_.running + case_.paused) Submit();
      }
      Step();
    }
    filled_ = true;
  }

  StepCost Step() {
    StepCost cost;
    const uint64_t allocations = Allocations();
    const auto start = SteadyClock::now();
    const StepPlan& plan = scheduler_.Plan(now_);
    const auto planned = SteadyClock::now();
    cost.allocations = Allocations() - allocations;
    Execute(plan);
    now_ += std::max<Nanos>(result_.total, 1);
    cost.allocations -= Allocations();
    const auto executed = SteadyClock::now();
    if (!plan.empty()) scheduler_.Commit(result_, now_);
    const auto end = SteadyClock::now();
    cost.allocations += Allocations();
    cost.plan = std::chrono::duration<double>(planned - start).count();
    cost.commit = std::chrono::duration<double>(end - executed).count();
    React();
    return cost;
  }

  SchedulerStats Stats() const { return scheduler_.Stats(); }

 private:
  void Submit() {
    const SeqId seq{submitted_++};
    const uint32_t longest = filled_ ? kPromptTokensMax : kFirstPromptTokensMax;
    std::vector<TokenId> prompt(kPromptTokensMin + random_.Below(longest - kPromptTokensMin + 1));
    for (uint32_t i = 0; i < prompt.size(); ++i) {
      prompt[i] = i < kSharedTokens ? static_cast<TokenId>(i) : NewToken();
    }
    Check(scheduler_.Submit(seq, std::move(prompt), 0, /*keep=*/false, now_));
  }

  void Execute(const StepPlan& plan) {
    result_.Clear();
    uint64_t kv_tokens = 0;
    for (const Slice& slice : plan.slices) {
      kv_tokens += uint64_t{slice.count} * slice.first_position;
      if (slice.sample) result_.sampled.push_back(Sample(slice));
    }
    const auto nanos = [](double seconds) { return static_cast<Nanos>(seconds * 1e9); };
    result_.compute = nanos(
        cost_.Forward(static_cast<double>(plan.tokens.size()), static_cast<double>(kv_tokens)));
    result_.swap_out =
        nanos(cost_.Copy(CopyDirection::kOut, static_cast<double>(plan.swap_out.size())));
    result_.swap_in =
        nanos(cost_.Copy(CopyDirection::kIn, static_cast<double>(plan.swap_in.size())));
    result_.total = std::max({result_.compute, result_.swap_out, result_.swap_in});
  }

  SampledToken Sample(const Slice& slice) {
    SampledToken sampled;
    sampled.seq = slice.seq;
    sampled.token = NewToken();
    const uint32_t context = slice.first_position + slice.count;
    if (!filled_) {
      if (paused_.size() + pausing_ < case_.paused) {
        sampled.outcome = Outcome::kPause;
        ++pausing_;
      }
    } else if (random_.Below(kSegmentTokens) == 0) {
      sampled.outcome = context > kContextTokens ? Outcome::kFinish : Outcome::kPause;
    }
    return sampled;
  }

  // What happens outside between two steps: for each sequence that paused another one resumes, for
  // each that finished another one begins.
  void React() {
    pausing_ = 0;
    for (const SchedulerEvent& event : scheduler_.TakeEvents()) {
      if (const auto* pause = std::get_if<PauseEvent>(&event)) {
        if (filled_) Resume();
        paused_.push_back(pause->seq);
        Check(scheduler_.Mark(pause->seq, {KindId{1 + random_.Below(kKinds)}, {}, {}}, now_));
      } else if (std::holds_alternative<FinishEvent>(event)) {
        Submit();
      }
    }
  }

  void Resume() {
    SeqId& seq = paused_[random_.Below(static_cast<uint32_t>(paused_.size()))];
    returned_.clear();
    for (uint32_t i = 0; i < kReturnedTokens; ++i) returned_.push_back(NewToken());
    Check(scheduler_.Resume(seq, returned_, /*new_turn=*/false, now_));
    seq = paused_.back();
    paused_.pop_back();
  }

  TokenId NewToken() { return static_cast<TokenId>(random_.Below(32000)); }

  static void Check(const Status& status) {
    if (!status.ok()) throw std::runtime_error(status.DebugString());
  }

  const Case case_;
  Scheduler scheduler_;
  const CostModel cost_;
  StepResult result_;
  Rng random_{1};
  Nanos now_ = 0;
  bool filled_ = false;
  uint32_t submitted_ = 0;
  size_t pausing_ = 0;  // in the present step, while the world is being filled
  std::vector<SeqId> paused_;
  std::vector<TokenId> returned_;
};

double Quantile(std::vector<double>& values, double quantile) {
  const auto at =
      values.begin() + static_cast<ptrdiff_t>(quantile * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, at);
  return *at;
}

struct Figures {
  double median = 0;  // microseconds of a step
  double p99 = 0;
  double plan = 0;  // medians
  double commit = 0;
  double allocations = 0;  // per step
  SchedulerStats stats;
};

Figures Measure(const Case& world, bool quick) {
  // Until every buffer has been as large as it will be, and interceptions of all ages are there.
  const uint32_t warm_up = quick ? 1000 : 4000;
  const uint32_t steps = quick ? 500 : 4000;
  World running(world);
  running.Fill();
  for (uint32_t i = 0; i < warm_up; ++i) running.Step();
  std::vector<double> whole;
  std::vector<double> plan;
  std::vector<double> commit;
  uint64_t allocations = 0;
  for (uint32_t i = 0; i < steps; ++i) {
    const StepCost cost = running.Step();
    whole.push_back((cost.plan + cost.commit) * 1e6);
    plan.push_back(cost.plan * 1e6);
    commit.push_back(cost.commit * 1e6);
    allocations += cost.allocations;
  }
  return {Quantile(whole, 0.5),
          Quantile(whole, 0.99),
          Quantile(plan, 0.5),
          Quantile(commit, 0.5),
          static_cast<double>(allocations) / steps,
          running.Stats()};
}

std::string Print(const Case& world, const Figures& figures) {
  const std::string name(PolicyName(world.policy));
  const SchedulerStats& stats = figures.stats;
  std::printf("%-10s %7u %7u  %-8s %9.1f %8.1f %8.1f %8.1f %12.2f %9u %9.1f\n", name.c_str(),
              stats.running + stats.waiting, stats.paused, world.pressure ? "pressure" : "-",
              figures.median, figures.p99, figures.plan, figures.commit, figures.allocations,
              stats.waiting,
              static_cast<double>(stats.swapped_out_blocks) / static_cast<double>(stats.steps));
  char line[512];
  std::snprintf(line, sizeof(line),
                R"({"policy":"%s","running":%u,"paused":%u,"pressure":%s,"stepMicros":%.2f,)"
                R"("p99Micros":%.2f,"planMicros":%.2f,"commitMicros":%.2f,)"
                R"("allocationsPerStep":%.3f})",
                name.c_str(), world.running, world.paused, world.pressure ? "true" : "false",
                figures.median, figures.p99, figures.plan, figures.commit, figures.allocations);
  return line;
}

}  // namespace

std::string RunOverhead(const Options& options) {
  std::printf("%s\n", MachineHeader(1).c_str());
  std::printf("%-10s %7s %7s  %-8s %9s %8s %8s %8s %12s %9s %9s\n", "policy", "active", "paused",
              "memory", "step us", "p99", "plan", "commit", "allocations", "waiting", "out/step");
  double worst = 0;
  std::string cases;
  for (const auto& [running, paused] : {std::pair{64u, 256u}, std::pair{1024u, 10000u}}) {
    for (const bool pressure : {false, true}) {
      for (const PolicyKind policy : {PolicyKind::kInfercept, PolicyKind::kAdaptive}) {
        const Case world{policy, running, paused, pressure};
        const Figures figures = Measure(world, options.quick);
        cases += (cases.empty() ? "" : ",") + Print(world, figures);
        worst = std::max(worst, figures.median);
      }
    }
  }
  char first[64];
  std::snprintf(first, sizeof(first), R"({"stepMicros":%.2f,"cases":[)", worst);
  return first + cases + "]}";
}

}  // namespace infercept::bench
