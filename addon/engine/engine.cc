#include "engine/engine.h"

#include <chrono>
#include <new>
#include <utility>

#include "engine/dump.h"
#include "engine/json_writer.h"

namespace infercept {
namespace {

class SteadyClock final : public Clock {
 public:
  Nanos Now() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  void Advance(Nanos) override {}
};

SteadyClock steady_clock;

// What is being handled, as a Status. REQUIRES: an exception is being handled.
Status CurrentException() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory,
                  "The process is out of memory. Use a smaller kvCache.bytes or swap.hostBytes.");
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal, error.what());
  } catch (...) {
    return Status(StatusCode::kInternal, "An unknown exception on the engine thread.");
  }
}

}  // namespace

Engine::Engine(Loader loader, std::function<void()> notify)
    : outbox_(std::move(notify)), loader_(std::move(loader)), thread_([this] { ThreadMain(); }) {}

Engine::~Engine() {
  Stop();
  thread_.join();
}

SchedulerStats Engine::Stats() const {
  const std::lock_guard lock(stats_mutex_);
  return stats_;
}

template <typename Body>
void Engine::Guard(const Body& body) {
  Status status;
  try {
    status = body();
  } catch (...) {
    status = CurrentException();
  }
  if (!status.ok()) Fail(std::move(status));
}

void Engine::ThreadMain() {
  Guard([this] {
    Load();
    return Status();
  });
  Serve();
  outbox_.Publish(StoppedNotice{});
}

void Engine::Load() {
  const auto report = [this](const ProgressNotice& progress) {
    outbox_.Publish(progress);
    return !inbox_.stopped();
  };
  Result<Runtime> loaded = loader_(report);
  loader_ = nullptr;  // Frees what it holds: the vocabulary's copy, the specification.
  if (!loaded.ok()) {
    Fail(loaded.status());
    return;
  }
  runtime_.emplace(std::move(loaded).Take());
  handler_.emplace(*runtime_->scheduler, *runtime_->generations, runtime_->sequences_max);
  recorder_.emplace(*runtime_->executor);
  if (recorder_->runs_ahead()) ahead_.emplace(*runtime_->scheduler, *recorder_, steady_clock);
  Publish();
  outbox_.Publish(LoadedNotice{runtime_->info});
}

void Engine::Serve() {
  bool busy = false;
  while (!inbox_.stopped()) {
    incoming_.commands.clear();
    incoming_.dumps.clear();
    applied_ = 0;
    if (busy) {
      inbox_.Drain(incoming_);
    } else {
      inbox_.WaitAndDrain(incoming_);
    }
    Guard([this, &busy] {
      busy = false;
      if (!failure_.ok()) return Status();
      if (!incoming_.commands.empty()) {
        if (Status status = FinishStep(); !status.ok()) return status;
        ApplyCommands();
      }
      busy = Step();
      // A step that failed left its plan open: what it prepared is in no agreement with what is
      // done.
      if (!busy && failure_.ok()) CheckIdle();
      return Status();
    });
    if (!failure_.ok()) RefuseCommands();
    Publish();
    AnswerDumps();
  }
}

void Engine::ApplyCommands() {
  const Nanos now = steady_clock.Now();
  checked_ = false;
  for (; applied_ < incoming_.commands.size(); ++applied_) {
    handler_->Apply(std::move(incoming_.commands[applied_]), now, events_);
  }
  handler_->TakeEvents(events_);
}

bool Engine::Step() {
  const Result<StepOutcome> outcome =
      ahead_ ? ahead_->Step() : StepOnce(*runtime_->scheduler, *recorder_, steady_clock, result_);
  handler_->TakeEvents(events_);
  if (!outcome.ok()) {
    Fail(outcome.status());
    return false;
  }
  if (outcome.value() == StepOutcome::kIdle) return false;
  checked_ = false;
  return true;
}

Status Engine::FinishStep() {
  if (!ahead_) return Status();
  Status status = ahead_->Finish();
  handler_->TakeEvents(events_);
  return status;
}

void Engine::CheckIdle() {
  if (checked_) return;
  runtime_->scheduler->CheckIntegrity();
  checked_ = true;
}

void Engine::Fail(Status status) {
  failure_ = std::move(status);
  if (handler_.has_value()) handler_->FailAll(failure_, events_);
  Publish();
  outbox_.Publish(FailedNotice{failure_});
}

void Engine::RefuseCommands() {
  for (; applied_ < incoming_.commands.size(); ++applied_) {
    const Command& command = incoming_.commands[applied_];
    const SeqId* seq = nullptr;
    if (const auto* submit = std::get_if<SubmitCommand>(&command)) seq = &submit->seq;
    if (const auto* fork = std::get_if<ForkCommand>(&command)) seq = &fork->child;
    if (seq != nullptr) events_.emplace_back(std::in_place_type<FailureEvent>, *seq, failure_);
  }
}

void Engine::Publish() {
  if (runtime_.has_value() && failure_.ok()) {
    runtime_->scheduler->ReadStats(fresh_stats_);
    const std::lock_guard lock(stats_mutex_);
    std::swap(stats_, fresh_stats_);
  }
  std::vector<StepRecord> none;
  outbox_.Publish(events_, recorder_.has_value() ? recorder_->fresh() : none);
}

void Engine::AnswerDumps() {
  for (const auto& [id, subject] : incoming_.dumps) {
    std::string json;
    try {
      json = DumpJson(subject);
    } catch (...) {
      json = "{\"error\":" + JsonString(CurrentException().message()) + "}";
    }
    outbox_.Publish(DumpNotice{id, std::move(json)});
  }
  incoming_.dumps.clear();
}

std::string Engine::DumpJson(DumpSubject subject) const {
  if (subject == DumpSubject::kDurations) {
    return DurationsJson(runtime_ ? runtime_->scheduler->durations().Export()
                                  : std::vector<LearnedDurations>{});
  }
  return infercept::DumpJson(
      {.failure = failure_,
       .scheduler = runtime_ ? runtime_->scheduler.get() : nullptr,
       .steps = recorder_ ? recorder_->Recent() : std::vector<StepRecord>{}});
}

}  // namespace infercept
