#include "sim/simulation.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "base/check.h"
#include "engine/step.h"
#include "sim/sim_executor.h"

namespace infercept {
namespace {

constexpr uint64_t kStepsBetweenCancelChecks = 4096;
// From the end of a step to the next plan: recording, events, commands. Little beside a step, but
// not nothing: a context that paused has waited when it is first looked at.
constexpr Nanos kBetweenSteps = 20'000;

class VirtualClock final : public Clock {
 public:
  Nanos Now() override { return now_; }
  void Advance(Nanos duration) override { now_ += duration; }
  void SkipTo(Nanos time) { now_ = std::max(now_, time); }

 private:
  Nanos now_ = 0;
};

// Something that happens to a session at a time: it arrives, or what its interception waits for
// (the augmentation, a sub-agent) is there.
struct Happening {
  Nanos time = 0;
  uint32_t session = 0;
  bool arrival = false;

  bool operator>(const Happening& other) const {
    return time != other.time ? time > other.time : session > other.session;
  }
};

CostProfile WindowedProfile(const SimOptions& options) {
  CostProfile profile = options.profile;
  const KvConfig& kv = options.scheduler.kv;
  profile.window_tokens = kv.window_tokens;
  profile.full_share = static_cast<double>(kv.full_groups) / kv.groups;
  return profile;
}

class Simulation {
 public:
  Simulation(std::span<const SimSession> sessions, const SimOptions& options)
      : sessions_(sessions),
        options_(options),
        executor_(sessions, WindowedProfile(options), options.on_plan),
        scheduler_(options.scheduler, CostModel(WindowedProfile(options))) {
    report_.sessions.resize(sessions.size());
    awaited_.resize(sessions.size());
    for (uint32_t i = 0; i < sessions.size(); ++i) {
      const SimSession& session = sessions[i];
      if (session.parent < 0) {
        heap_.push({session.arrival, i, true});
      } else {
        sub_agents_[PauseKey(static_cast<uint32_t>(session.parent), session.parent_segment)]
            .push_back(i);
      }
    }
  }

  Result<SimReport> Run() {
    while (!Over()) {
      if (Status status = Deliver(); !status.ok()) return status;
      Result<StepOutcome> outcome = StepOnce(scheduler_, executor_, clock_, result_);
      if (!outcome.ok()) return outcome.status();
      for (const SchedulerEvent& event : scheduler_.TakeEvents()) Take(event);
      if (outcome.value() == StepOutcome::kRan) clock_.Advance(kBetweenSteps);
      if (options_.check_integrity) scheduler_.CheckIntegrity();
      if (outcome.value() == StepOutcome::kIdle && heap_.empty()) break;
      if (outcome.value() == StepOutcome::kIdle) clock_.SkipTo(heap_.top().time);
      if (++report_.steps % kStepsBetweenCancelChecks == 0 && options_.cancelled &&
          options_.cancelled()) {
        return Status(StatusCode::kAborted, "the simulation was cancelled");
      }
    }
    for (uint32_t i = 0; i < sessions_.size(); ++i) ReportUnfinished(SeqId{i});
    report_.stats = scheduler_.Stats();
    report_.virtual_time = clock_.Now();
    return std::move(report_);
  }

 private:
  // Names the pause that ends a segment of a session.
  static uint64_t PauseKey(uint32_t session, uint32_t segment) {
    return uint64_t{session} << 32 | segment;
  }

  bool Over() { return options_.until > 0 && clock_.Now() >= options_.until; }

  Status Deliver() {
    while (!heap_.empty() && heap_.top().time <= clock_.Now()) {
      const Happening next = heap_.top();
      heap_.pop();
      if (!next.arrival && --awaited_[next.session] > 0) continue;
      Status status = next.arrival ? Arrive(next) : Return(next);
      if (!status.ok()) return status;
    }
    return {};
  }

  Status Arrive(const Happening& next) {
    const SimSession& session = sessions_[next.session];
    report_.sessions[next.session].arrival = next.time;
    std::vector<TokenId> prompt(session.prompt_tokens);
    for (uint32_t i = 0; i < prompt.size(); ++i) {
      prompt[i] = SimExecutor::PromptToken(session, next.session, i);
    }
    return scheduler_.Submit(SeqId{next.session}, std::move(prompt), session.priority,
                             /*keep=*/false, next.time);
  }

  Status Return(const Happening& next) {
    const SeqId seq{next.session};
    const uint32_t position = static_cast<uint32_t>(scheduler_.Find(seq)->tokens.size());
    std::vector<TokenId> returned(executor_.Segment(seq).returned_tokens);
    for (uint32_t i = 0; i < returned.size(); ++i) {
      returned[i] = SimExecutor::PromptToken(sessions_[next.session], next.session, position + i);
    }
    executor_.NextSegment(seq);
    return scheduler_.Resume(seq, returned, /*new_turn=*/false, next.time);
  }

  void Take(const SchedulerEvent& event) {
    if (const auto* pause = std::get_if<PauseEvent>(&event)) {
      BeginInterception(pause->seq);
    } else if (const auto* finish = std::get_if<FinishEvent>(&event)) {
      SimSessionReport& session = report_.sessions[Index(finish->seq)];
      session.first_token = finish->first_token;
      session.finished = finish->total;
      session.intercepted = finish->intercepted;
      session.output_tokens = finish->generated_tokens;
      const SimSession& wanted = sessions_[Index(finish->seq)];
      session.returned_tokens = finish->prompt_tokens - wanted.prompt_tokens;
      if (wanted.parent >= 0) {
        heap_.push({clock_.Now(), static_cast<uint32_t>(wanted.parent), false});
      }
    }
  }

  void BeginInterception(SeqId seq) {
    const SimSegment& segment = executor_.Segment(seq);
    const Nanos now = clock_.Now();
    uint32_t& awaited = awaited_[Index(seq)];
    awaited = 1;
    heap_.push({now + segment.duration, Index(seq), false});
    if (const auto called = sub_agents_.find(PauseKey(Index(seq), executor_.SegmentIndex(seq)));
        called != sub_agents_.end()) {
      for (uint32_t child : called->second)
        heap_.push({now + sessions_[child].arrival, child, true});
      awaited += static_cast<uint32_t>(called->second.size());
    }
    // What is known in code is told at once: the tool's name, and what the caller wishes. How long
    // it takes is not.
    InterceptionFacts facts;
    facts.kind = segment.kind;
    if (options_.durations_known && awaited == 1) facts.remaining = segment.duration;
    if (Index(segment.kind) < options_.wishes.size())
      facts.disposition = options_.wishes[Index(segment.kind)];
    IC_CHECK(scheduler_.Mark(seq, facts, now).ok());
  }

  void ReportUnfinished(SeqId seq) {
    const Sequence* sequence = scheduler_.Find(seq);
    if (!sequence) return;
    SimSessionReport& session = report_.sessions[Index(seq)];
    const TurnState& turn = sequence->turn;
    session.output_tokens = turn.generated_tokens;
    session.returned_tokens = turn.prompt_tokens - sessions_[Index(seq)].prompt_tokens;
    session.intercepted = turn.intercepted;
    if (sequence->status == SequenceStatus::kPaused) {
      session.intercepted += clock_.Now() - sequence->interception.started;
    }
    if (turn.first_token >= 0) session.first_token = turn.first_token - turn.arrival;
  }

  std::span<const SimSession> sessions_;
  const SimOptions& options_;
  VirtualClock clock_;
  SimExecutor executor_;
  Scheduler scheduler_;
  StepResult result_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> sub_agents_;  // By the pause that starts them
  // [sessions] What a paused session still waits for: its augmentation and its sub-agents.
  std::vector<uint32_t> awaited_;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> heap_;
  SimReport report_;
};

}  // namespace

Result<SimReport> Simulate(std::span<const SimSession> sessions, const SimOptions& options) {
  return Simulation(sessions, options).Run();
}

}  // namespace infercept
