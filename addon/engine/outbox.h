// Events on their way out: the engine thread publishes once per step, one other thread takes whole
// batches.
//
// At most one notification is outstanding. When the taker lags, events gather here and its next
// batch has them all, so a blocked event loop delays events but neither loses them nor slows the
// engine.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/engine_info.h"
#include "engine/event.h"

namespace infercept {

// What concerns the engine as a whole.
struct LoadedNotice {
  EngineInfo info;
};
struct FailedNotice {  // The load or a step failed; the engine stays failed.
  Status status;
};
struct DumpNotice {
  uint32_t id = 0;
  std::string json;
};
struct StoppedNotice {};  // The thread is about to end; nothing follows.

using Notice = std::variant<ProgressNotice, LoadedNotice, FailedNotice, DumpNotice, StoppedNotice>;

// Kept for a taker that lags: decisions and step records explain what happened, so the newest are
// enough.
inline constexpr size_t kBatchDecisionsMax = 1 << 16;
inline constexpr size_t kBatchStepsMax = 64;

struct EventBatch {
  std::vector<Event> events;      // in order
  std::vector<StepRecord> steps;  // the newest, at most kBatchStepsMax
  std::vector<Notice> notices;    // after all events
  size_t decisions = 0;           // DecisionEvents among `events`
  bool empty() const { return events.empty() && steps.empty() && notices.empty(); }
};

class Outbox {
 public:
  // `notify` is called, from the publishing thread, when there is something to take and the last
  // notification was used.
  explicit Outbox(std::function<void()> notify) : notify_(std::move(notify)) {}

  // Moves the elements out of both lists and leaves them empty, with their capacity. Does nothing
  // if both are empty.
  void Publish(std::vector<Event>& events, std::vector<StepRecord>& steps);
  // Neighbouring progress of one phase becomes one notice.
  void Publish(Notice notice);

  // Everything since the last call. Uses the notification up.
  EventBatch Take();

 private:
  void Add(Event event);
  void NotifyIfNeeded();
  // REQUIRES: mutex_ is held.
  bool IsNewerProgress(const Notice& notice) const;

  const std::function<void()> notify_;
  std::mutex mutex_;
  // Guarded by mutex_.
  EventBatch batch_;
  bool notified_ = false;  // A notification is outstanding.
};

}  // namespace infercept
