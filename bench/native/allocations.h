// Counts what this program asks of the heap: the benchmarks replace operator new.
#pragma once

#include <cstdint>

namespace infercept::bench {

// Calls of operator new by this thread so far. Over-aligned ones are not counted: the scheduler has
// none.
uint64_t Allocations();

}  // namespace infercept::bench
