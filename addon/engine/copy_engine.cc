#include "engine/copy_engine.h"

#include <chrono>
#include <utility>

namespace infercept {

CopyEngine::CopyEngine(const KvStorage& storage)
    : out_(storage, &KvStorage::CopyOut), in_(storage, &KvStorage::CopyIn) {}

void CopyEngine::Start(std::span<const BlockCopy> swap_out, std::span<const BlockCopy> swap_in) {
  out_.Start(swap_out);
  in_.Start(swap_in);
}

CopyTimes CopyEngine::Wait() {
  Join();
  return {.swap_out = out_.Take(), .swap_in = in_.Take()};
}

void CopyEngine::Join() noexcept {
  out_.Join();
  in_.Join();
}

CopyEngine::Lane::Lane(const KvStorage& storage, CopyFunction copy)
    : storage_(storage), copy_(copy), thread_([this] { Loop(); }) {}

CopyEngine::Lane::~Lane() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CopyEngine::Lane::Start(std::span<const BlockCopy> copies) {
  {
    std::lock_guard lock(mutex_);
    IC_CHECK(!busy_);
    duration_ = 0;
    failure_ = nullptr;
    if (copies.empty()) return;
    copies_ = copies;
    busy_ = true;
  }
  changed_.notify_all();
}

void CopyEngine::Lane::Join() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !busy_; });
}

Nanos CopyEngine::Lane::Take() {
  std::lock_guard lock(mutex_);
  IC_CHECK(!busy_);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  return duration_;
}

void CopyEngine::Lane::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return busy_ || stopping_; });
    if (!busy_) return;
    const std::span<const BlockCopy> copies = copies_;
    lock.unlock();
    const auto begin = std::chrono::steady_clock::now();
    std::exception_ptr failure = CopyAll(copies);
    const auto end = std::chrono::steady_clock::now();
    lock.lock();
    duration_ = std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
    failure_ = std::move(failure);
    busy_ = false;
    changed_.notify_all();
  }
}

// An exception that left the thread would end the process.
std::exception_ptr CopyEngine::Lane::CopyAll(std::span<const BlockCopy> copies) const noexcept {
  try {
    (storage_.*copy_)(copies);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace infercept
