// One engine: a thread that loads a model and then steps until it is stopped, and the two queues
// that connect it to the world. Nothing outside the thread touches the scheduler, the executor or
// the model.
//
//              loaded                 step failed, InternalError
//   loading ------------> ready  ------------------------------------> failed
//      |    load failed     |                                            |
//      +--------------------|------------------> failed                  |
//      +--------------------+-------- Stop ------------------------------+---> stopped
//
// Failed is sticky: every live sequence fails once, every later command fails at once, Stop still
// works.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "engine/command_handler.h"
#include "engine/inbox.h"
#include "engine/outbox.h"
#include "engine/runtime.h"
#include "engine/step.h"
#include "engine/step_recorder.h"

namespace infercept {

class Engine {
 public:
  // Runs on the engine thread; returns what the engine computes with.
  using Loader = std::function<Result<Runtime>(const ReportProgress& report)>;

  // Starts the thread. `notify` is called on it when there is something to take, at most once per
  // Take.
  Engine(Loader loader, std::function<void()> notify);
  // Stops and joins. The step under way is finished first.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Any thread. Takes effect at the next step boundary; what goes wrong then is an event.
  Status Post(Command command) { return inbox_.Post(std::move(command)); }
  // All at the same boundary, in order; all or none.
  Status PostTogether(std::vector<Command> commands) {
    return inbox_.PostTogether(std::move(commands));
  }
  // Answered by a DumpNotice, after all commands posted before.
  Status RequestDump(uint32_t id, DumpSubject subject = DumpSubject::kState) {
    return inbox_.RequestDump(id, subject);
  }
  // Any thread, any time, any number of times. A load is cancelled at its next progress report.
  void Stop() { inbox_.Stop(); }

  // The taker's thread.
  EventBatch Take() { return outbox_.Take(); }
  // As of the last step boundary.
  SchedulerStats Stats() const;

 private:
  void ThreadMain();
  void Load();
  void Serve();
  // True if a step ran: there may be more to do.
  bool Step();
  // Commands are about a state that is known: waits for the step under way, if there is one.
  Status FinishStep();
  void ApplyCommands();
  void RefuseCommands();
  void AnswerDumps();
  void CheckIdle();
  void Publish();
  void Fail(Status status);
  std::string DumpJson(DumpSubject subject) const;
  // Runs `body`; an exception or error makes the engine failed.
  template <typename Body>
  void Guard(const Body& body);

  Inbox inbox_;
  Outbox outbox_;

  // Engine thread only.
  Loader loader_;
  std::optional<Runtime> runtime_;
  std::optional<CommandHandler> handler_;
  std::optional<StepRecorder> recorder_;
  std::optional<StepsAhead> ahead_;  // where the executor runs ahead
  Status failure_;                   // Not ok: failed.
  Inbox::Content incoming_;
  size_t applied_ = 0;  // Commands of incoming_ before this one are done with.
  StepResult result_;
  std::vector<Event> events_;
  bool checked_ = true;  // Nothing happened since integrity was last checked.
  SchedulerStats fresh_stats_;

  mutable std::mutex stats_mutex_;
  SchedulerStats stats_;  // Guarded by stats_mutex_.

  std::thread thread_;  // Last: starts when everything else is there.
};

}  // namespace infercept
