// Goal: a loop covers every index exactly once, whoever runs it, over many jobs, sleeping workers
// and busy machines. Method: counts per index; run it under -fsanitize=thread too
// (INFERCEPT_SANITIZE=thread).
#include "base/thread_pool.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/processors.h"
#include "test.h"

namespace infercept::test {
namespace {

// Runs one loop; fails unless each index was in exactly one range, and each range begins at a
// multiple of grain.
void ExpectCovered(ThreadPool& pool, uint32_t count, uint32_t grain) {
  std::vector<uint32_t> visits(count);  // plain: a second visitor is a race that the sanitizer sees
  std::atomic<uint32_t> wrong{0};
  pool.ParallelFor(count, grain, [&](uint32_t begin, uint32_t end, uint32_t thread) {
    if (begin % std::max(grain, 1u) != 0 || begin >= end || end > count) ++wrong;
    if (thread >= pool.threads()) ++wrong;
    for (uint32_t i = begin; i < end; ++i) ++visits[i];
  });
  EXPECT_EQ(wrong.load(), 0u) << "count " << count << " grain " << grain;
  for (uint32_t i = 0; i < count; ++i) {
    EXPECT_EQ(visits[i], 1u) << "index " << i << " of " << count << ", grain " << grain;
  }
}

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const uint32_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const uint32_t count : {0u, 1u, 2u, 7u, 64u, 1000u}) {
      for (const uint32_t grain : {0u, 1u, 3u, 64u, 5000u}) ExpectCovered(pool, count, grain);
    }
  }
}

TEST(ThreadPool, NoIndexIsLostAtTheEndOfTheRange) {
  ThreadPool pool(3);
  std::atomic<uint64_t> sum{0};
  pool.ParallelFor(UINT32_MAX, UINT32_MAX / 2,
                   [&](uint32_t begin, uint32_t end, uint32_t) { sum += end - begin; });
  EXPECT_EQ(sum.load(), uint64_t{UINT32_MAX});
}

// Far more threads than cores, and jobs short enough that workers join late, twice, or not at all.
TEST(ThreadPool, SurvivesManyShortJobs) {
  ThreadPool pool(8);
  std::vector<uint64_t> totals(8 * 16);  // one cache line per thread
  uint64_t expected = 0;
  for (uint32_t job = 0; job < 20000; ++job) {
    const uint32_t count = job % 37;
    expected += count;
    pool.ParallelFor(count, 1 + job % 3, [&](uint32_t begin, uint32_t end, uint32_t thread) {
      totals[thread * 16] += end - begin;
    });
  }
  uint64_t total = 0;
  for (uint32_t thread = 0; thread < 8; ++thread) total += totals[thread * 16];
  EXPECT_EQ(total, expected);
}

// What one loop wrote, the next one reads on other threads.
TEST(ThreadPool, LoopsHappenOneAfterTheOther) {
  ThreadPool pool(4);
  std::vector<uint32_t> values(256);
  for (uint32_t round = 0; round < 500; ++round) {
    std::vector<uint32_t> next(values.size());
    pool.ParallelFor(256, 8, [&](uint32_t begin, uint32_t end, uint32_t) {
      for (uint32_t i = begin; i < end; ++i) next[i] = values[(i + 101) % 256] + 1;
    });
    values.swap(next);
  }
  for (const uint32_t value : values) EXPECT_EQ(value, 500u);
}

TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // longer than any spin
    ExpectCovered(pool, 100, 1);
  }
}

// A worker that is asleep, or that the system does not run, is not waited for; one that took a
// range is.
TEST(ThreadPool, WaitsForRangesThatWereTaken) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<uint32_t> started{0};
    std::atomic<uint32_t> finished{0};
    pool.ParallelFor(2, 1, [&](uint32_t, uint32_t, uint32_t thread) {
      ++started;
      while (started != 2) std::this_thread::yield();  // each thread has one range
      if (thread == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ++finished;
    });
    EXPECT_EQ(finished.load(), 2u);
  }
}

// Ranges shrink towards the end of each thread's share, down to the grain: each is a part of what
// was left.
TEST(ThreadPool, RangesBecomeSmaller) {
  ThreadPool pool(2);
  std::mutex mutex;
  std::map<uint32_t, uint32_t> sizes;  // by first index
  pool.ParallelFor(1003, 2, [&](uint32_t begin, uint32_t end, uint32_t) {
    const std::lock_guard lock(mutex);
    sizes[begin] = end - begin;
  });
  for (const auto& [begin, size] : sizes) {
    const uint32_t share_end = begin < 502 ? 502 : 1003;
    EXPECT_LE(begin + size, share_end);
    EXPECT_LE(size, std::max(2u, (share_end - begin) / 4)) << "at " << begin;
  }
  EXPECT_GE(sizes[0], 100u);
  EXPECT_EQ(sizes[1002], 1u);
}

TEST(ThreadPool, EachThreadBeginsWithItsOwnShare) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    std::atomic<uint32_t> started{0};
    std::array<std::atomic<uint32_t>, 3> first = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    pool.ParallelFor(12, 1, [&](uint32_t begin, uint32_t, uint32_t thread) {
      if (first[thread].load() != UINT32_MAX) return;
      first[thread] = begin;
      ++started;
      while (started != 3) std::this_thread::yield();
    });
    EXPECT_EQ(first[0].load(), 0u);
    EXPECT_EQ(first[1].load(), 4u);
    EXPECT_EQ(first[2].load(), 8u);
  }
}

#if defined(__linux__)

// The processors that each thread of a pool may use while it runs ranges.
std::vector<std::vector<uint32_t>> PlacesOf(ThreadPool& pool) {
  std::vector<std::vector<uint32_t>> places(pool.threads());
  std::atomic<uint32_t> started{0};
  pool.ParallelFor(pool.threads(), 1, [&](uint32_t, uint32_t, uint32_t thread) {
    places[thread] = AllowedProcessors();
    ++started;
    while (started != pool.threads()) std::this_thread::yield();  // each thread has one range
  });
  return places;
}

TEST(ThreadPool, PinnedWorkersStayOnOneProcessorEach) {
  const std::vector<uint32_t> allowed = AllowedProcessors();
  ASSERT_TRUE(!allowed.empty());
  ThreadPool pool(4, ThreadPlacement::kPinned);
  const auto places = PlacesOf(pool);
  EXPECT_TRUE(places[0] == allowed);  // the caller stays free
  for (uint32_t i = 1; i < 4; ++i) {
    EXPECT_TRUE(places[i] == std::vector<uint32_t>{allowed[i % allowed.size()]}) << i;
  }
}

TEST(ThreadPool, FreeWorkersMayRunWhereTheCallerMay) {
  ThreadPool pool(3);
  for (const auto& places : PlacesOf(pool)) EXPECT_TRUE(places == AllowedProcessors());
}

#endif

TEST(ThreadPool, IdleWorkersUseNoProcessor) {
  ThreadPool pool(8);
  ExpectCovered(pool, 100, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();  // processor time of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const double used_ms = 1000.0 * static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used_ms, 20.0);  // one spinning worker would use 100
}

TEST(ThreadPool, ComesAndGoes) {
  for (int round = 0; round < 100; ++round) ThreadPool pool(4);
  EXPECT_THROW(ThreadPool(0), InternalError);
}

}  // namespace
}  // namespace infercept::test
