#include "served_engine.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <queue>
#include <stdexcept>
#include <utility>
#include <variant>

#include "base/rng.h"
#include "sessions.h"

namespace infercept::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr Nanos kForever = std::numeric_limits<Nanos>::max();

Nanos Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now().time_since_epoch())
      .count();
}

// What every token stands for does not matter: a letter.
TokenTable Letters(uint32_t vocabulary_size) {
  TokenTable table;
  table.bytes.assign(vocabulary_size, 'a');
  for (uint32_t i = 0; i <= vocabulary_size; ++i) table.offsets.push_back(i);
  return table;
}

// Something that happens to a session: it arrives, or its interception is over.
struct Happening {
  Nanos time = 0;
  uint32_t session = 0;
  bool operator>(const Happening& other) const { return time > other.time; }
};

WasteStats operator-(WasteStats after, const WasteStats& before) {
  after.preserved_idle -= before.preserved_idle;
  after.recompute -= before.recompute;
  after.stall -= before.stall;
  after.swap_wait -= before.swap_wait;
  after.paused_unwanted -= before.paused_unwanted;
  after.paper_preserved -= before.paper_preserved;
  after.capacity -= before.capacity;
  return after;
}

// Of what the benchmark reports.
SchedulerStats operator-(SchedulerStats after, const SchedulerStats& before) {
  after.steps -= before.steps;
  after.query_tokens -= before.query_tokens;
  after.recomputed_tokens -= before.recomputed_tokens;
  after.swapped_out_blocks -= before.swapped_out_blocks;
  after.swapped_in_blocks -= before.swapped_in_blocks;
  after.waste = after.waste - before.waste;
  after.measured_seconds -= before.measured_seconds;
  after.predicted_seconds -= before.predicted_seconds;
  return after;
}

}  // namespace

// One workload while it is served.
class ServedEngine::Run {
 public:
  Run(ServedEngine& owner, std::span<const SimSession> sessions)
      : owner_(owner), sessions_(sessions), first_id_(owner.next_id_), live_(sessions.size()) {
    owner_.next_id_ += static_cast<uint32_t>(sessions.size());
    run_.report.sessions.resize(sessions.size());
    segments_.resize(sessions.size());
    for (uint32_t i = 0; i < sessions.size(); ++i) heap_.push({sessions[i].arrival, i});
  }

  ServedRun Serve(Nanos until) {
    const SchedulerStats before = owner_.engine_->Stats();
    start_ = Now();
    while (live_ > 0 && Now() - start_ < until) {
      Deliver();
      const Nanos next = heap_.empty() ? until : std::min(until, heap_.top().time);
      Take(owner_.TakeBefore(next == kForever ? kForever : start_ + next));
    }
    run_.report.virtual_time = Now() - start_;
    run_.report.stats = owner_.engine_->Stats() - before;
    run_.report.steps = run_.report.stats.steps;
    Abort();
    return std::move(run_);
  }

 private:
  SeqId Id(uint32_t session) const { return SeqId{first_id_ + session}; }
  uint32_t Session(SeqId seq) const { return Index(seq) - first_id_; }

  void Deliver() {
    while (!heap_.empty() && start_ + heap_.top().time <= Now()) {
      const uint32_t session = heap_.top().session;
      heap_.pop();
      Nanos& arrival = run_.report.sessions[session].arrival;
      if (arrival >= 0) {
        Return(session);
      } else {
        arrival = Now() - start_;
        owner_.Post(SubmitCommand{.seq = Id(session),
                                  .tokens = Tokens(sessions_[session].prompt_tokens),
                                  .turn = ScriptedTurn(sessions_[session])});
      }
    }
  }

  void Return(uint32_t session) {
    const SimSegment& segment = sessions_[session].segments[segments_[session]++];
    owner_.Post(ResumeCommand{Id(session), Tokens(segment.returned_tokens), std::nullopt});
  }

  // No two prompts begin alike.
  std::vector<TokenId> Tokens(uint32_t count) {
    std::vector<TokenId> tokens(count);
    const auto first = static_cast<uint32_t>(kFirstPlainToken);
    for (TokenId& token : tokens) {
      token = static_cast<TokenId>(first + random_.Below(owner_.vocabulary_size_ - first));
    }
    return tokens;
  }

  void Take(EventBatch batch) {
    run_.steps.insert(run_.steps.end(), batch.steps.begin(), batch.steps.end());
    for (const Notice& notice : batch.notices) {
      if (const auto* failed = std::get_if<FailedNotice>(&notice)) {
        throw std::runtime_error(failed->status.DebugString());
      }
    }
    for (const Event& event : batch.events) {
      if (const auto* pause = std::get_if<PauseEvent>(&event)) Intercept(*pause);
      if (const auto* finish = std::get_if<FinishEvent>(&event)) Finish(*finish);
      // What is aborted may be over already.
      const auto* failure = std::get_if<FailureEvent>(&event);
      if (failure != nullptr && !over_) throw std::runtime_error(failure->status.DebugString());
    }
  }

  void Intercept(const PauseEvent& pause) {
    if (over_) return;
    const uint32_t session = Session(pause.seq);
    const SimSegment& segment = sessions_[session].segments[segments_[session]];
    owner_.Post(MarkCommand{pause.seq, {.kind = segment.kind, .remaining = {}, .disposition = {}}});
    heap_.push({Now() - start_ + segment.duration, session});
  }

  void Finish(const FinishEvent& finish) {
    --live_;
    SimSessionReport& report = run_.report.sessions[Session(finish.seq)];
    report.output_tokens = finish.generated_tokens;
    report.returned_tokens = finish.prompt_tokens - sessions_[Session(finish.seq)].prompt_tokens;
    report.intercepted = finish.intercepted;
    if (finish.generated_tokens > 0) report.first_token = finish.first_token;
    if (!over_) report.finished = finish.total;
  }

  // Those that have arrived; the others never will.
  void Abort() {
    over_ = true;
    live_ = 0;
    for (uint32_t i = 0; i < sessions_.size(); ++i) {
      const SimSessionReport& report = run_.report.sessions[i];
      if (report.arrival < 0 || report.finished >= 0) continue;
      owner_.Post(AbortCommand{Id(i), std::nullopt});
      ++live_;
    }
    heap_ = {};
    while (live_ > 0) Take(owner_.TakeBefore(kForever));
  }

  ServedEngine& owner_;
  std::span<const SimSession> sessions_;
  const uint32_t first_id_;
  size_t live_;        // sessions that have not ended
  bool over_ = false;  // nothing counts any more
  Nanos start_ = 0;
  Rng random_{7};
  std::vector<uint32_t> segments_;  // [sessions] the one that is being decoded, or waits
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> heap_;  // since start_
  ServedRun run_;
};

ServedEngine::ServedEngine(const Hyperparameters& hyperparameters, const RuntimeOptions& options)
    : vocabulary_size_(hyperparameters.vocabulary_size) {
  ModelSpec spec;
  spec.hyperparameters = hyperparameters;
  engine_ = std::make_unique<Engine>(
      [spec, options](const ReportProgress& report) {
        return LoadRuntime(spec, options, Letters(spec.hyperparameters.vocabulary_size), report);
      },
      [this] {
        const std::lock_guard lock(mutex_);
        notified_ = true;
        wake_.notify_one();
      });
  AwaitLoaded();
  WarmUp();
}

ServedRun ServedEngine::Serve(std::span<const SimSession> sessions, Nanos until) {
  return Run(*this, sessions).Serve(until);
}

void ServedEngine::Post(Command command) {
  if (const Status status = engine_->Post(std::move(command)); !status.ok()) {
    throw std::runtime_error(status.DebugString());
  }
}

EventBatch ServedEngine::TakeBefore(Nanos deadline) {
  {
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return notified_; };
    if (deadline == kForever) {
      wake_.wait(lock, ready);
    } else {
      wake_.wait_until(lock, SteadyClock::time_point(std::chrono::nanoseconds(deadline)), ready);
    }
    notified_ = false;
  }
  return engine_->Take();
}

void ServedEngine::AwaitLoaded() {
  for (;;) {
    for (const Notice& notice : TakeBefore(kForever).notices) {
      if (const auto* failed = std::get_if<FailedNotice>(&notice)) {
        throw std::runtime_error(failed->status.DebugString());
      }
      if (const auto* loaded = std::get_if<LoadedNotice>(&notice)) {
        info_ = loaded->info;
        return;
      }
    }
  }
}

void ServedEngine::WarmUp() {
  constexpr uint32_t kPromptTokens = 200;
  constexpr uint32_t kLengths = 40;  // so that they do not all end at once
  const uint32_t tokens = info_.device_blocks * info_.block_tokens;
  std::vector<SimSession> sessions(DivCeil(tokens, kPromptTokens));
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    sessions[i].prompt_tokens = kPromptTokens;
    sessions[i].segments = {{.decode_tokens = 4 + i % kLengths}};
  }
  Serve(sessions, kForever);
}

}  // namespace infercept::bench
