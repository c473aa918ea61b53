#include "base/thread_pool.h"

#include <algorithm>

namespace infercept {

ThreadPool::ThreadPool(uint32_t threads) {
  for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(uint32_t count, uint32_t grain, RangeFunction function, const void* body) {
  job_ = {function, body, count, std::max(grain, 1u)};
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  TakeRanges(0);
  while (busy_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

void ThreadPool::WorkerLoop(uint32_t thread) {
  uint32_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || generation_.load() != seen; });
      if (stopping_) return;
      seen = generation_.load();
    }
    TakeRanges(thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::TakeRanges(uint32_t thread) {
  for (;;) {
    const uint32_t begin = next_.fetch_add(job_.grain, std::memory_order_relaxed);
    if (begin >= job_.count) return;
    job_.function(job_.body, begin, std::min(job_.count, begin + job_.grain), thread);
  }
}

}  // namespace infercept
