// Commands on their way in: any thread posts, the engine thread drains at step boundaries.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "engine/command.h"

namespace infercept {

// Far more than a step can leave behind: a program that gets here posts faster than the engine
// steps.
inline constexpr size_t kInboxCommandsMax = 1 << 16;

// What is asked for: the engine's state, or what it learnt about how long interceptions last.
enum class DumpSubject : uint8_t { kState, kDurations };

struct DumpRequest {
  uint32_t id = 0;
  DumpSubject subject = DumpSubject::kState;
};

class Inbox {
 public:
  struct Content {
    std::vector<Command> commands;   // in the order in which they were posted
    std::vector<DumpRequest> dumps;  // to be answered after `commands`
    bool empty() const { return commands.empty() && dumps.empty(); }
  };

  // kOverloaded when full; commands that free something (abort, release) always pass. kDisposed
  // after Stop.
  Status Post(Command command);
  // All of them, or none; they take effect at the same step boundary.
  Status PostTogether(std::vector<Command> commands);
  Status RequestDump(uint32_t id, DumpSubject subject = DumpSubject::kState);
  // Nothing is taken in any more; a waiting drain returns.
  void Stop();
  bool stopped() const;

  // Exchanges `content`, which must be empty, for what has arrived.
  void Drain(Content& content);
  // As Drain, but waits until there is something or Stop was called; then for what follows at once,
  // at most a millisecond.
  void WaitAndDrain(Content& content);

 private:
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  // Guarded by mutex_.
  Content content_;
  bool stopped_ = false;
};

}  // namespace infercept
