#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace infercept {
namespace {

constexpr uint32_t kActive = 0x1FF;
constexpr uint32_t kOpen = 1u << 9;
constexpr uint32_t kCallerSleeps = 1u << 10;
constexpr uint32_t kJob = 1u << 11;  // one step of the job number

// Pauses before sleeping. A pause takes 10 to 140 cycles by processor, so this is 3 to 50 us:
// longer than the gaps between the loops of a step, shorter than what anyone would miss.
constexpr uint32_t kSpins = 1000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins while done(value) is false, a moment long. Returns the last value seen.
template <typename Done>
uint32_t SpinUntil(const std::atomic<uint32_t>& state, const Done& done) {
  uint32_t value = state.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < kSpins && !done(value); ++i) {
    Pause();
    value = state.load(std::memory_order_acquire);
  }
  return value;
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) {
  IC_CHECK(threads >= 1 && threads <= 256);
  for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
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
  job_ = {function, body, count, grain};
  next_.store(0, std::memory_order_relaxed);
  state_.fetch_add(kJob | kOpen, std::memory_order_release);
  state_.notify_all();
  TakeRanges(0);
  WaitForWorkers();
}

// Closes the job and waits for those who are in it.
void ThreadPool::WaitForWorkers() {
  state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  uint32_t state = SpinUntil(state_, [](uint32_t value) { return (value & kActive) == 0; });
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
  for (;;) {
    uint32_t state = SpinUntil(state_, [&](uint32_t value) { return value / kJob != seen; });
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
  for (;;) {
    const uint64_t taken = next_.fetch_add(job_.grain, std::memory_order_relaxed);
    if (taken >= job_.count) return;
    const uint32_t begin = static_cast<uint32_t>(taken);
    job_.function(job_.body, begin, begin + std::min(job_.grain, job_.count - begin), thread);
  }
}

}  // namespace infercept
