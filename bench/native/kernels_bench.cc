// MatMul in the shapes of a 1.1 B Llama, per dtype and ISA, beside the limit that the same run
// measured:
//   seconds >= max(weight bytes / read bandwidth, 2 rows columns tokens / rate)
// with the rate of the int8 dot product for Q8_0, of the float multiply-add for others. Weights
// rotate through memory larger than any cache, as they do in a decode step.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "device/arena.h"
#include "harness.h"
#include "kernels/ops.h"
#include "kernels/random_blocks.h"
#include "limits.h"

namespace infercept::bench {
namespace {

// As large as such a model: beyond the share of L3 that a process gets.
constexpr size_t kMemoryBytes = size_t{1} << 30;

struct Shape {
  uint32_t rows;
  uint32_t columns;
};
constexpr Shape kShapes[] = {{2048, 2048}, {256, 2048}, {5632, 2048}, {2048, 5632}, {32000, 2048}};
constexpr uint32_t kTokens[] = {1, 2, 4, 8, 16, 64};
// One of each family of kernels and width of codes first; then the others.
constexpr DType kDTypes[] = {DType::kQ8_0,   DType::kQ4_0, DType::kQ4_K,   DType::kQ6_K,
                             DType::kIQ4_XS, DType::kBF16, DType::kF16,    DType::kF32,
                             DType::kQ4_1,   DType::kQ5_0, DType::kQ5_1,   DType::kQ2_K,
                             DType::kQ3_K,   DType::kQ5_K, DType::kIQ4_NL, DType::kMXFP4};

Arena NewArena(size_t bytes) {
  Result<Arena> arena = Arena::Create(bytes, "a benchmark");
  if (!arena.ok()) throw std::runtime_error(arena.status().DebugString());
  return std::move(arena).Take();
}

// Numbers of no meaning that are finite in every dtype: small scales, bytes of all values.
void FillWeights(DType dtype, std::span<std::byte> bytes) {
  uint32_t state = 1;
  for (size_t i = 0; i < bytes.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    bytes[i] = static_cast<std::byte>(state >> 24);
  }
  const size_t step = BlockBytes(dtype);
  const size_t top = step - 1;  // of a float: the byte with sign and exponent
  for (size_t i = 0; i + step <= bytes.size(); i += step) {
    if (IsQuantized(dtype)) {
      SetBlockScales(dtype, 0.01f, &bytes[i]);
    } else {
      bytes[i + top] = std::byte{0x21};
    }
  }
}

double RateOf(DType dtype, const ComputeLimits& limits) {
  if (IsQuantized(dtype)) return limits.int8;
  return dtype == DType::kBF16 ? limits.bf16 : limits.float32;
}

struct Case {
  const Ops* ops;
  DType dtype;
  Shape shape;
  uint32_t tokens;
};

struct Machine {
  double bandwidth;
  ComputeLimits compute;
};

struct Figures {
  double seconds;
  double bytes;  // of packed weights
  double operations;
  double limit_seconds;
};

class MatMulBench {
 public:
  MatMulBench(std::span<std::byte> memory, ThreadPool& pool) : memory_(memory), pool_(pool) {}

  // Fills memory with copies of one packed matrix.
  void Prepare(const Ops& ops, DType dtype, Shape shape) {
    packed_bytes_ = DivCeil<size_t>(ops.PackedBytes(dtype, shape.rows, shape.columns), 64) * 64;
    std::vector<std::byte> source(shape.rows * RowBytes(dtype, shape.columns));
    FillWeights(dtype, source);
    ops.Pack({dtype, source.data(), shape.rows, shape.columns}, memory_.first(packed_bytes_),
             pool_);
    copies_ = memory_.size() / packed_bytes_;
    for (size_t i = 1; i < copies_; ++i) {
      std::memcpy(memory_.data() + i * packed_bytes_, memory_.data(), packed_bytes_);
    }
  }

  Figures Measure(const Case& item, const Machine& machine, uint32_t samples) {
    const auto [rows, columns] = item.shape;
    const std::vector<float> x(size_t{item.tokens} * columns, 0.25f);
    std::vector<float> out(size_t{item.tokens} * rows);
    const Arena scratch = NewArena(item.ops->MatMulScratchBytes(item.dtype, item.tokens, columns));
    const std::span scratch_bytes(scratch.data(), scratch.size());
    size_t copy = 0;
    Figures figures;
    figures.seconds = MedianSeconds(samples, [&] {
      const std::byte* weight = memory_.data() + (copy++ % copies_) * packed_bytes_;
      item.ops->MatMul({{item.dtype, weight, rows, columns}, out.data(), rows}, x.data(),
                       item.tokens, scratch_bytes, pool_);
    });
    figures.bytes = static_cast<double>(packed_bytes_);
    figures.operations = 2.0 * rows * columns * item.tokens;
    const double rate = RateOf(item.dtype, machine.compute);
    figures.limit_seconds = std::max(figures.bytes / machine.bandwidth, figures.operations / rate);
    return figures;
  }

 private:
  std::span<std::byte> memory_;
  ThreadPool& pool_;
  size_t packed_bytes_ = 0;
  size_t copies_ = 0;
};

std::string Report(const Case& item, const Figures& figures) {
  const double share = 100 * figures.limit_seconds / figures.seconds;
  std::printf("%-8s %-5s %6u x %-5u %6u %11.1f %9.1f %9.1f %8.0f %%\n",
              std::string(item.ops->isa()).c_str(), std::string(DTypeName(item.dtype)).c_str(),
              item.shape.rows, item.shape.columns, item.tokens, figures.seconds * 1e6,
              figures.bytes / figures.seconds / 1e9, figures.operations / figures.seconds / 1e9,
              share);
  char line[256];
  std::snprintf(
      line, sizeof(line),
      R"({"isa":"%s","dtype":"%s","rows":%u,"columns":%u,"tokens":%u,"microseconds":%.1f,)"
      R"("gigabytesPerSecond":%.1f,"gops":%.1f,"limitShare":%.3f})",
      std::string(item.ops->isa()).c_str(), std::string(DTypeName(item.dtype)).c_str(),
      item.shape.rows, item.shape.columns, item.tokens, figures.seconds * 1e6,
      figures.bytes / figures.seconds / 1e9, figures.operations / figures.seconds / 1e9,
      share / 100);
  return line;
}

std::string RunIsa(const Ops& ops, const Options& options, double bandwidth, MatMulBench& bench,
                   ThreadPool& pool) {
  const uint32_t samples = options.quick ? 20 : 40;
  const Machine machine{bandwidth, MeasureCompute(ops.isa(), samples, pool)};
  std::printf("%s in registers: int8 %.0f GOPS, float %.0f GFLOPS\n",
              std::string(ops.isa()).c_str(), machine.compute.int8 / 1e9,
              machine.compute.float32 / 1e9);
  std::string items;
  for (const DType dtype : kDTypes) {
    for (const Shape& shape : kShapes) {
      const bool large = size_t{shape.rows} * shape.columns > size_t{1} << 25;
      if (options.quick && (dtype != DType::kQ8_0 || large)) continue;
      bench.Prepare(ops, dtype, shape);
      for (const uint32_t tokens : kTokens) {
        if (large && tokens > 8) continue;  // only the last token of a sequence needs logits
        const Case item{&ops, dtype, shape, tokens};
        items += (items.empty() ? "" : ",") + Report(item, bench.Measure(item, machine, samples));
      }
    }
  }
  return items;
}

}  // namespace

std::string RunKernels(const Options& options) {
  ThreadPool pool(options.threads);
  const Arena memory = NewArena(kMemoryBytes);
  const std::span bytes(memory.data(), memory.size());
  std::memset(bytes.data(), 1, bytes.size());  // memory that was never written is one page of zeros
  std::printf("%s\n", MachineHeader(options.threads).c_str());
  const double bandwidth = ReadBandwidth(bytes, 100, pool);
  std::printf("read bandwidth %.1f GB/s\n", bandwidth / 1e9);
  std::printf("%-8s %-5s %14s %6s %11s %9s %9s %10s\n", "isa", "dtype", "rows x columns", "tokens",
              "us", "GB/s", "GOPS", "of limit");
  MatMulBench bench(bytes, pool);
  std::string items;
  for (const Ops* ops : SupportedOps()) {
    const bool slow = options.quick && ops != SupportedOps().front();
    if (options.isa.empty() ? slow : ops->isa() != options.isa) continue;
    items += (items.empty() ? "" : ",") + RunIsa(*ops, options, bandwidth, bench, pool);
  }
  char head[256];
  std::snprintf(head, sizeof(head), R"({"threads":%u,"readGigabytesPerSecond":%.1f,"matmul":[)",
                options.threads, bandwidth / 1e9);
  return head + items + "]}";
}

}  // namespace infercept::bench
