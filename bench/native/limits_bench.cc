// What the machine can do at most: the figures that others are given as shares of.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "device/arena.h"
#include "harness.h"
#include "kernels/ops.h"
#include "limits.h"

namespace infercept::bench {
namespace {

// Beyond any cache, and quick to write.
constexpr size_t kMemoryBytes = size_t{1} << 29;

// The best of several passes that lie apart in time: what else the machine does can only make one
// slower.
constexpr uint32_t kPasses = 3;

}  // namespace

std::string RunLimits(const Options& options) {
  const Ops* ops = FindOps(options.isa);
  if (ops == nullptr) throw std::runtime_error("this machine does not run " + options.isa);
  ThreadPool pool(options.threads);
  Result<Arena> memory = Arena::Create(kMemoryBytes, "a benchmark");
  if (!memory.ok()) throw std::runtime_error(memory.status().DebugString());
  const Arena arena = std::move(memory).Take();
  std::memset(arena.data(), 1, arena.size());  // memory that was never written is one page of zeros
  const uint32_t samples = options.quick ? 50 : 200;
  double bandwidth = 0;
  ComputeLimits best;
  for (uint32_t pass = 0; pass < kPasses; ++pass) {
    bandwidth = std::max(bandwidth, ReadBandwidth({arena.data(), arena.size()}, samples, pool));
    const ComputeLimits compute = MeasureCompute(ops->isa(), samples, pool);
    best.int8 = std::max(best.int8, compute.int8);
    best.bf16 = std::max(best.bf16, compute.bf16);
    best.float32 = std::max(best.float32, compute.float32);
  }
  const std::string isa(ops->isa());
  std::printf("%s, %s\n", MachineHeader(options.threads).c_str(), isa.c_str());
  std::printf("read bandwidth %.1f GB/s; int8 %.0f GOPS, BF16 %.0f GFLOPS, float %.0f GFLOPS\n",
              bandwidth / 1e9, best.int8 / 1e9, best.bf16 / 1e9, best.float32 / 1e9);
  char line[256];
  std::snprintf(line, sizeof(line),
                R"({"isa":"%s","readGigabytesPerSecond":%.1f,"int8Gops":%.0f,"bf16Gflops":%.0f,)"
                R"("float32Gflops":%.0f})",
                isa.c_str(), bandwidth / 1e9, best.int8 / 1e9, best.bf16 / 1e9, best.float32 / 1e9);
  return line;
}

}  // namespace infercept::bench
