// A fixed set of threads that run one loop at a time, together with the calling thread.
// Owner: whoever executes steps. All methods from that one thread.
//
// A step is a hundred short loops, so handing over must cost about a microsecond: an idle worker
// spins for a moment, then sleeps. Nobody waits for a worker that has not started: what it would
// have done, others do (so a machine that is busy with other work delays a loop by at most one
// range).
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace infercept {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller: ThreadPool(1) starts no thread. At most 256.
  explicit ThreadPool(uint32_t threads);
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

  void Run(uint32_t count, uint32_t grain, RangeFunction function, const void* body);
  void WaitForWorkers();
  void WorkerLoop(uint32_t thread);
  bool Join();
  void Leave();
  void TakeRanges(uint32_t thread);

  struct Job {
    RangeFunction function = nullptr;
    const void* body = nullptr;
    uint32_t count = 0;
    uint32_t grain = 1;
  };

  std::vector<std::thread> workers_;  // Constant after construction.

  Job job_;  // Written by the caller while the job is closed and no worker is in it; read by those
             // who joined.

  // On cache lines of their own: all threads write next_, and idle ones read state_ in a loop.
  alignas(64) std::atomic<uint64_t> next_{0};  // First index that nobody has taken; may pass count.
  // Bits 0-8: workers inside the job. Bit 9: the job is open to join. Bit 10: the caller sleeps
  // until they left. Bits 11-31: number of the job, so that a worker joins each once.
  alignas(64) std::atomic<uint32_t> state_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace infercept
