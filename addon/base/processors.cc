#include "base/processors.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace infercept {

#if defined(__linux__)

std::vector<uint32_t> AllowedProcessors() {
  std::vector<uint32_t> processors;
  cpu_set_t set;
  // Fails on machines with more than 1024 processors: nothing is pinned there.
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return processors;
  for (uint32_t i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) processors.push_back(i);
  }
  return processors;
}

void PinThread(std::thread& thread, uint32_t processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof(set), &set);
}

#else

std::vector<uint32_t> AllowedProcessors() { return {}; }

void PinThread(std::thread&, uint32_t) {}

#endif

}  // namespace infercept
