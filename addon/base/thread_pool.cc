#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/processors.h"

namespace infercept {
namespace {

constexpr uint32_t kActive = 0x1FF;
constexpr uint32_t kOpen = 1u << 9;
constexpr uint32_t kCallerSleeps = 1u << 10;
constexpr uint32_t kJob = 1u << 11;  // one step of the job number

// Ranges are one part in so many of what is left of a share: whoever runs at a quarter of the
// others' speed need not be waited for.
constexpr uint64_t kRangesLeft = 4;

// Reading the clock takes as long as a pause or two.
constexpr int kPausesPerLook = 8;

Nanos Now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

template <typename Done>
uint32_t ThreadPool::Patience::Spin(const std::atomic<uint32_t>& state, const Done& done) {
  uint32_t value = state.load(std::memory_order_acquire);
  if (done(value)) return value;
  const Nanos end = Now() + limit_;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      Pause();
      value = state.load(std::memory_order_acquire);
      if (!done(value)) continue;
      limit_ = std::min(kSpinMax, 2 * limit_);
      return value;
    }
  } while (Now() < end);
  limit_ = std::max(kSpinMin, limit_ / 2);
  return value;
}

ThreadPool::ThreadPool(uint32_t threads, ThreadPlacement placement) {
  IC_CHECK(threads >= 1 && threads <= 256);
  shares_ = std::make_unique<Share[]>(threads);
  for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
  if (placement == ThreadPlacement::kPinned) Pin();
}

void ThreadPool::Pin() {
  const std::vector<uint32_t> processors = AllowedProcessors();
  if (processors.empty()) return;
  for (size_t i = 0; i < workers_.size(); ++i) {
    PinThread(workers_[i], processors[(i + 1) % processors.size()]);
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  state_.fetch_add(kJob, std::memory_order_release);
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(uint32_t count, uint32_t grain, RangeFunction function, const void* body) {
  grain = std::max(grain, 1u);
  if (count == 0) return;
  if (workers_.empty() || count <= grain) return function(body, 0, count, 0);
  job_ = {function, body, grain};
  const uint64_t grains = DivCeil(count, grain);
  for (uint64_t i = 0, begin = 0; i < threads(); ++i) {
    shares_[i].next.store(begin, std::memory_order_relaxed);
    begin = std::min<uint64_t>(count, grains * (i + 1) / threads() * grain);
    shares_[i].end = begin;
  }
  state_.fetch_add(kJob | kOpen, std::memory_order_release);
  state_.notify_all();
  TakeRanges(0);
  WaitForWorkers();
}

// Closes the job and waits for those who are in it.
void ThreadPool::WaitForWorkers() {
  state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  uint32_t state = patience_.Spin(state_, [](uint32_t value) { return (value & kActive) == 0; });
  if ((state & kActive) == 0) return;
  state = state_.fetch_or(kCallerSleeps, std::memory_order_acq_rel) | kCallerSleeps;
  while ((state & kActive) != 0) {
    state_.wait(state, std::memory_order_acquire);
    state = state_.load(std::memory_order_acquire);
  }
  state_.fetch_and(~kCallerSleeps, std::memory_order_relaxed);
}

void ThreadPool::WorkerLoop(uint32_t thread) {
  uint32_t seen = 0;
  Patience patience;
  for (;;) {
    uint32_t state = patience.Spin(state_, [&](uint32_t value) { return value / kJob != seen; });
    while (state / kJob == seen) {
      state_.wait(state, std::memory_order_acquire);
      state = state_.load(std::memory_order_acquire);
    }
    if (stopping_.load(std::memory_order_relaxed)) return;
    seen = state / kJob;
    if (!Join()) continue;
    TakeRanges(thread);
    Leave();
  }
}

// Joins the open job, whichever that is by now; joining one twice finds no ranges left.
bool ThreadPool::Join() {
  uint32_t state = state_.load(std::memory_order_relaxed);
  while ((state & kOpen) != 0) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) return true;
  }
  return false;
}

void ThreadPool::Leave() {
  const uint32_t before = state_.fetch_sub(1, std::memory_order_release);
  if ((before & kActive) == 1 && (before & kCallerSleeps) != 0) state_.notify_all();
}

void ThreadPool::TakeRanges(uint32_t thread) {
  for (uint32_t i = 0; i < threads(); ++i) TakeRangesOf((thread + i) % threads(), thread);
}

void ThreadPool::TakeRangesOf(uint32_t share, uint32_t thread) {
  std::atomic<uint64_t>& next = shares_[share].next;
  const uint64_t end = shares_[share].end;
  uint64_t begin = next.load(std::memory_order_relaxed);
  while (begin < end) {
    const uint64_t left = end - begin;
    const uint64_t size = std::max<uint64_t>(1, left / kRangesLeft / job_.grain) * job_.grain;
    if (!next.compare_exchange_weak(begin, begin + size, std::memory_order_relaxed)) continue;
    job_.function(job_.body, static_cast<uint32_t>(begin),
                  static_cast<uint32_t>(begin + std::min(size, left)), thread);
    begin = next.load(std::memory_order_relaxed);
  }
}

}  // namespace infercept
