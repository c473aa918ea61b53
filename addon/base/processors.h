// Which processors a thread may run on. Known on Linux only: elsewhere the list is empty, and
// pinning does nothing.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

namespace infercept {

// Those that the calling thread may run on, ascending.
std::vector<uint32_t> AllowedProcessors();

// Keeps a thread on one of them. Only a wish: a system that refuses leaves the thread as it was.
void PinThread(std::thread& thread, uint32_t processor);

}  // namespace infercept
