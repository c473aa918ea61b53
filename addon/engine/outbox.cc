#include "engine/outbox.h"

#include <iterator>
#include <utility>

namespace infercept {

void Outbox::Add(Event event) {
  if (std::holds_alternative<DecisionEvent>(event)) {
    if (batch_.decisions >= kBatchDecisionsMax) return;
    ++batch_.decisions;
  }
  batch_.events.push_back(std::move(event));
}

void Outbox::Publish(std::vector<Event>& events, std::vector<StepRecord>& steps) {
  if (events.empty() && steps.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    for (Event& event : events) Add(std::move(event));
    std::move(steps.begin(), steps.end(), std::back_inserter(batch_.steps));
    if (batch_.steps.size() > kBatchStepsMax) {
      batch_.steps.erase(batch_.steps.begin(),
                         batch_.steps.end() - static_cast<std::ptrdiff_t>(kBatchStepsMax));
    }
  }
  events.clear();
  steps.clear();
  NotifyIfNeeded();
}

void Outbox::Publish(Notice notice) {
  {
    const std::lock_guard lock(mutex_);
    if (IsNewerProgress(notice)) {
      batch_.notices.back() = std::move(notice);
    } else {
      batch_.notices.push_back(std::move(notice));
    }
  }
  NotifyIfNeeded();
}

bool Outbox::IsNewerProgress(const Notice& notice) const {
  if (batch_.notices.empty()) return false;
  const auto* progress = std::get_if<ProgressNotice>(&notice);
  const auto* last = std::get_if<ProgressNotice>(&batch_.notices.back());
  return progress != nullptr && last != nullptr && progress->phase == last->phase;
}

void Outbox::NotifyIfNeeded() {
  {
    const std::lock_guard lock(mutex_);
    if (notified_) return;
    notified_ = true;
  }
  notify_();
}

EventBatch Outbox::Take() {
  const std::lock_guard lock(mutex_);
  notified_ = false;
  return std::exchange(batch_, EventBatch{});
}

}  // namespace infercept
