#include "engine/inbox.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace infercept {
namespace {

bool Frees(const Command& command) {
  return std::holds_alternative<AbortCommand>(command) ||
         std::holds_alternative<ReleaseCommand>(command);
}

// Who starts many sequences at once posts them microseconds apart; a step that begins with the
// first alone costs the others milliseconds. So one that wakes waits until nothing has come for a
// moment, but never longer than a fraction of a step.
constexpr std::chrono::microseconds kGatherQuiet{60};
constexpr std::chrono::microseconds kGatherAtMost{1000};

Status Stopped() { return Status(StatusCode::kDisposed, "The engine was disposed."); }

}  // namespace

Status Inbox::Post(Command command) {
  std::vector<Command> commands;
  commands.push_back(std::move(command));
  return PostTogether(std::move(commands));
}

Status Inbox::PostTogether(std::vector<Command> commands) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return Stopped();
    if (content_.commands.size() + commands.size() > kInboxCommandsMax &&
        !std::ranges::all_of(commands, Frees)) {
      return Status(StatusCode::kOverloaded,
                    "The engine's inbox holds " + std::to_string(content_.commands.size()) +
                        " commands, its limit. Wait for runs to finish before starting more.");
    }
    std::ranges::move(commands, std::back_inserter(content_.commands));
  }
  arrived_.notify_one();
  return Status();
}

Status Inbox::RequestDump(uint32_t id, DumpSubject subject) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return Stopped();
    content_.dumps.push_back({id, subject});
  }
  arrived_.notify_one();
  return Status();
}

void Inbox::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  arrived_.notify_one();
}

bool Inbox::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

void Inbox::Drain(Content& content) {
  IC_CHECK(content.empty());
  const std::lock_guard lock(mutex_);
  std::swap(content, content_);
}

void Inbox::WaitAndDrain(Content& content) {
  IC_CHECK(content.empty());
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return stopped_ || !content_.empty(); });
  const auto latest = std::chrono::steady_clock::now() + kGatherAtMost;
  size_t commands = 0;
  while (!stopped_ && commands < content_.commands.size() &&
         std::chrono::steady_clock::now() < latest) {
    commands = content_.commands.size();
    arrived_.wait_for(lock, kGatherQuiet,
                      [&] { return stopped_ || content_.commands.size() > commands; });
  }
  std::swap(content, content_);
}

}  // namespace infercept
