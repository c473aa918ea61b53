// A fixed set of threads that run one loop at a time, together with the calling thread.
// Owner: whoever executes steps. All methods from that one thread.
//
// A step is a hundred short loops, so handing over must cost less than a microsecond: who waits
// spins for a moment, then sleeps. The application may want the processors, too:
// - Who spun in vain spins for half as long the next time, who did not for twice as long: on a busy
//   machine threads sleep earlier and leave the processor to those they wait for.
// - Nobody waits for a worker that has not started: what it would have done, others do.
// - Ranges become smaller towards the end of a loop, so that what the slowest thread took last is
//   little.
// Each thread begins with its own share of the loop, and then helps with the others': in the next
// loop over the same things, what it wrote is in its cache.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/types.h"

namespace infercept {

enum class ThreadPlacement : uint8_t {
  kFree,  // the system moves threads as it likes
  // Each worker stays on a processor of its own, in turn over those that the constructing thread
  // may use; the first of them is left to the caller, which stays free. Linux only, elsewhere
  // kFree.
  kPinned,
};

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller: ThreadPool(1) starts no thread. At most 256.
  explicit ThreadPool(uint32_t threads, ThreadPlacement placement = ThreadPlacement::kFree);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  // Calls body(begin, end, thread) over disjoint ranges that cover [0, count); ranges are multiples
  // of `grain` (but the last), thread < threads(). Returns when all are done. The split decides who
  // computes, never what (ops.h, Rule 1). No allocation. REQUIRES: body does not throw and does not
  // call the pool.
  template <typename Body>
  void ParallelFor(uint32_t count, uint32_t grain, const Body& body) {
    Run(count, grain, &Invoke<Body>, &body);
  }

 private:
  using RangeFunction = void (*)(const void* body, uint32_t begin, uint32_t end, uint32_t thread);

  template <typename Body>
  static void Invoke(const void* body, uint32_t begin, uint32_t end, uint32_t thread) {
    (*static_cast<const Body*>(body))(begin, end, thread);
  }

  // Spins for a moment whose length follows from how often that was in vain. One per thread.
  class Patience {
   public:
    // Until done(value of `state`), or in vain. Returns the value seen last.
    template <typename Done>
    uint32_t Spin(const std::atomic<uint32_t>& state, const Done& done);

   private:
    Nanos limit_ = kSpinMax;
  };

  void Run(uint32_t count, uint32_t grain, RangeFunction function, const void* body);
  void Pin();
  void WaitForWorkers();
  void WorkerLoop(uint32_t thread);
  bool Join();
  void Leave();
  void TakeRanges(uint32_t thread);
  void TakeRangesOf(uint32_t share, uint32_t thread);

  // Longer than all gaps within a step but its sampling, and nothing that anyone would miss.
  static constexpr Nanos kSpinMax = 50'000;
  // Longer than most gaps between the loops of a step. A worker with less patience would never see
  // the next loop: with 2 us, beside a program that keeps one of two processors busy, steps took as
  // long as on one thread.
  static constexpr Nanos kSpinMin = 20'000;

  struct Job {
    RangeFunction function = nullptr;
    const void* body = nullptr;
    uint32_t grain = 1;
  };

  // The part of a job that one thread begins with. On a cache line of its own.
  struct alignas(64) Share {
    std::atomic<uint64_t> next{0};  // First index that nobody has taken; may pass `end`.
    uint64_t end = 0;               // Written and read like job_.
  };

  std::unique_ptr<Share[]> shares_;   // [threads]
  std::vector<std::thread> workers_;  // Constant after construction.
  Patience patience_;                 // The caller's.

  Job job_;  // Written by the caller while the job is closed and no worker is in it; read by those
             // who joined.

  // On a cache line of its own: idle threads read it in a loop.
  // Bits 0-8: workers inside the job. Bit 9: the job is open to join. Bit 10: the caller sleeps
  // until they left. Bits 11-31: number of the job, so that a worker joins each once.
  alignas(64) std::atomic<uint32_t> state_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace infercept
