#include "engine/command_handler.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace infercept {
namespace {

SeqId SequenceOf(const Command& command) {
  return std::visit(
      [](const auto& alternative) {
        if constexpr (requires { alternative.child; })
          return alternative.child;
        else
          return alternative.seq;
      },
      command);
}

}  // namespace

CommandHandler::CommandHandler(Scheduler& scheduler, GenerationTable& generations,
                               uint32_t sequences_max)
    : scheduler_(scheduler), generations_(generations), sequences_max_(sequences_max) {}

void CommandHandler::Apply(Command command, Nanos now, std::vector<Event>& events) {
  const SeqId seq = SequenceOf(command);
  Status status = std::visit([&](auto& alternative) { return Handle(alternative, now); }, command);
  if (status.ok()) return;
  if (IsLive(seq)) {
    if (scheduler_.Find(seq) != nullptr) IC_CHECK(scheduler_.Release(seq).ok());
    Forget(seq);
  }
  events.emplace_back(std::in_place_type<FailureEvent>, seq, std::move(status));
}

Status CommandHandler::Handle(SubmitCommand& command, Nanos now) {
  if (live_.size() >= sequences_max_) {
    return Status(StatusCode::kOverloaded,
                  "The engine has " + std::to_string(live_.size()) +
                      " live sequences, its limit. Finish or dispose some before starting more.");
  }
  if (IsLive(command.seq)) {
    return Status(StatusCode::kInvalidArgument, "A sequence with this id is alive already.");
  }
  Status status = generations_.BeginTurn(command.seq, std::move(command.turn), command.tokens);
  if (!status.ok()) return status;
  status = scheduler_.Submit(command.seq, std::move(command.tokens), command.priority, command.keep,
                             now);
  if (!status.ok()) {
    generations_.Erase(command.seq);
    return status;
  }
  live_.insert(command.seq);
  return Status();
}

Status CommandHandler::Handle(ResumeCommand& command, Nanos now) {
  if (!IsLive(command.seq)) return Status();
  Status status = scheduler_.Resume(command.seq, command.tokens, command.turn.has_value(), now);
  if (!status.ok()) return status;
  if (command.turn.has_value()) {
    return generations_.BeginTurn(command.seq, std::move(*command.turn), command.tokens);
  }
  return generations_.AppendReturned(command.seq, command.tokens);
}

Status CommandHandler::Handle(MarkCommand& command, Nanos now) {
  if (!IsLive(command.seq)) return Status();
  return scheduler_.Mark(command.seq, command.facts, now);
}

Status CommandHandler::Handle(PauseCommand& command, Nanos now) {
  if (!IsLive(command.seq)) return Status();
  return scheduler_.Pause(command.seq, command.facts, now);
}

Status CommandHandler::Handle(AbortCommand& command, Nanos now) {
  if (!IsLive(command.seq)) return Status();
  Status status = scheduler_.Abort(command.seq, command.tokens, now);
  if (status.ok() && command.tokens.has_value() && scheduler_.Find(command.seq) != nullptr) {
    generations_.Rewind(command.seq, *command.tokens);
  }
  return status;
}

Status CommandHandler::Handle(RewindCommand& command, Nanos) {
  if (!IsLive(command.seq)) return Status();
  Status status = scheduler_.Rewind(command.seq, command.tokens);
  if (status.ok()) generations_.Rewind(command.seq, command.tokens);
  return status;
}

Status CommandHandler::Handle(ForkCommand& command, Nanos now) {
  if (!IsLive(command.parent) || IsLive(command.child)) {
    return Status(StatusCode::kInvalidArgument, "A fork needs a live parent and a new child.");
  }
  if (live_.size() >= sequences_max_) {
    return Status(StatusCode::kOverloaded, "The engine has as many live sequences as it may.");
  }
  Status status = scheduler_.Fork(command.parent, command.child, now);
  if (!status.ok()) return status;
  generations_.Fork(command.parent, command.child);
  live_.insert(command.child);
  return Status();
}

Status CommandHandler::Handle(SuspendCommand& command, Nanos) {
  if (!IsLive(command.seq)) return Status();
  return scheduler_.Suspend(command.seq);
}

Status CommandHandler::Handle(ReleaseCommand& command, Nanos) {
  if (!IsLive(command.seq)) return Status();
  Status status = scheduler_.Release(command.seq);
  Forget(command.seq);
  return status;
}

void CommandHandler::TakeEvents(std::vector<Event>& events) {
  std::vector<SchedulerEvent>& reported = scheduler_.TakeEvents();
  // Planning came first (decisions, resumes), then sampling, then commit (pauses, finishes).
  const auto committed = std::ranges::find_if_not(reported, [](const SchedulerEvent& event) {
    return std::holds_alternative<DecisionEvent>(event) ||
           std::holds_alternative<ResumeEvent>(event);
  });
  for (auto event = reported.begin(); event != committed; ++event) Append(*event, events);
  std::ranges::move(generations_.events(), std::back_inserter(events));
  generations_.events().clear();
  for (auto event = committed; event != reported.end(); ++event) Append(*event, events);
}

void CommandHandler::Append(SchedulerEvent& event, std::vector<Event>& events) {
  if (const auto* finish = std::get_if<FinishEvent>(&event)) {
    if (scheduler_.Find(finish->seq) == nullptr) Forget(finish->seq);
  }
  std::visit([&events](auto& value) { events.emplace_back(std::move(value)); }, event);
}

void CommandHandler::FailAll(const Status& status, std::vector<Event>& events) {
  for (const SeqId seq : live_) events.emplace_back(std::in_place_type<FailureEvent>, seq, status);
  live_.clear();
}

void CommandHandler::Forget(SeqId seq) {
  live_.erase(seq);
  if (generations_.Contains(seq)) generations_.Erase(seq);
}

}  // namespace infercept
