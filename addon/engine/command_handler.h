// Applies commands to the scheduler (memory) and the generation table (tokens), which know nothing
// of each other, and keeps the two in agreement. Owner: the engine. Thread: the engine's, at step
// boundaries.
#pragma once

#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "engine/command.h"
#include "engine/event.h"
#include "engine/generation.h"
#include "sched/scheduler.h"

namespace infercept {

class CommandHandler {
 public:
  // Both outlive the handler. More than `sequences_max` live sequences are refused (kOverloaded).
  CommandHandler(Scheduler& scheduler, GenerationTable& generations, uint32_t sequences_max);

  // What cannot be done frees the sequence and adds a FailureEvent. Commands for sequences that are
  // gone have no effect: a finish may cross them on their way.
  void Apply(Command command, Nanos now, std::vector<Event>& events);

  // Moves what happened since the last call to the end of `events`, oldest first per sequence, and
  // forgets the sequences that are gone. To be called after commands and after each step.
  void TakeEvents(std::vector<Event>& events);

  // One FailureEvent for every sequence that lives, and none lives after. Touches neither scheduler
  // nor table.
  void FailAll(const Status& status, std::vector<Event>& events);

  size_t live() const { return live_.size(); }

 private:
  Status Handle(SubmitCommand& command, Nanos now);
  Status Handle(ResumeCommand& command, Nanos now);
  Status Handle(MarkCommand& command, Nanos now);
  Status Handle(PauseCommand& command, Nanos now);
  Status Handle(AbortCommand& command, Nanos now);
  Status Handle(RewindCommand& command, Nanos now);
  Status Handle(ForkCommand& command, Nanos now);
  Status Handle(SuspendCommand& command, Nanos now);
  Status Handle(ReleaseCommand& command, Nanos now);
  void Append(SchedulerEvent& event, std::vector<Event>& events);
  bool IsLive(SeqId seq) const { return live_.contains(seq); }
  void Forget(SeqId seq);

  Scheduler& scheduler_;
  GenerationTable& generations_;
  const uint32_t sequences_max_;
  std::unordered_set<SeqId>
      live_;  // Submitted or forked, and neither finished, failed nor released.
};

}  // namespace infercept
