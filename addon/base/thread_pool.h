// A fixed set of threads that run one loop at a time, together with the calling thread.
// Owner: whoever executes steps. All methods from that one thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace infercept {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller: ThreadPool(1) starts no thread.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  // Calls body(begin, end, thread) over disjoint ranges that cover [0, count); ranges are multiples of `grain`
  // (but the last). Returns when all are done. The split decides who computes, never what (ops.h, Rule 1).
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
  void WorkerLoop(uint32_t thread);
  void TakeRanges(uint32_t thread);

  struct Job {
    RangeFunction function = nullptr;
    const void* body = nullptr;
    uint32_t count = 0;
    uint32_t grain = 1;
  };

  std::vector<std::thread> workers_;  // Constant after construction.

  Job job_;  // Written by the caller before generation_ is raised, read by workers after.
  std::atomic<uint32_t> next_{0};
  std::atomic<uint32_t> generation_{0};
  std::atomic<uint32_t> busy_{0};  // Workers that have not finished the current generation.
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // Only for sleeping.
  std::condition_variable wake_;
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace infercept
