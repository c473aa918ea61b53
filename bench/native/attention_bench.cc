// Attention over a paged cache in the shape of a 1.1 B Llama, per KV dtype and ISA, beside the
// limit that the same run measured:
//   seconds >= max(bytes of keys and values / read bandwidth, operations / multiply-add rate)
// where a block that sequences share counts once, and an operation is a multiply or an add of a
// visible pair of query and key. Calls rotate through the layers of a cache larger than L3, as a
// step does.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "device/kv_storage.h"
#include "harness.h"
#include "kernels/ops.h"
#include "limits.h"

namespace infercept::bench {
namespace {

constexpr uint32_t kHeads = 32;
constexpr uint32_t kKvHeads = 4;
constexpr uint32_t kHeadDim = 64;
constexpr uint32_t kBlockTokens = 16;
constexpr uint32_t kLayersMax = 22;
// Most bytes of a cache; with long contexts one layer is beyond L3 already.
constexpr size_t kCacheBytesMax = size_t{512} << 20;
constexpr uint32_t kPrefillTokens = 512;
// Shared prefixes are three quarters of a context, as those of agents with a long system prompt.
constexpr uint32_t SharedTokens(uint32_t context) { return context / 4 * 3; }

struct Case {
  uint32_t sequences;
  uint32_t context;  // positions before the new tokens
  uint32_t rows;     // new tokens of each sequence
  bool shared;
};

std::vector<Case> Cases(bool quick) {
  std::vector<Case> cases;
  for (const uint32_t sequences : {1u, 8u, 16u}) {
    for (const uint32_t context : {128u, 1024u, 4096u, 8192u, 32768u}) {
      if (quick && context > 8192) continue;
      cases.push_back({sequences, context, 1, false});
      if (sequences > 1 && context >= 1024) cases.push_back({sequences, context, 1, true});
    }
  }
  cases.push_back({1, 0, kPrefillTokens, false});
  cases.push_back({1, 4096, kPrefillTokens, false});
  return cases;
}

struct Machine {
  double bandwidth;
  double rate;  // of float multiply-adds, two operations each
};

// The cache and the batch of one case.
class AttentionBench {
 public:
  AttentionBench(const Case& item, DType dtype) : item_(item) {
    const uint32_t shared = item.shared ? SharedTokens(item.context) / kBlockTokens : 0;
    const uint32_t own = DivCeil(item.context + item.rows, kBlockTokens) - shared;
    blocks_ = shared + item.sequences * own;
    const KvShape layer{1, kKvHeads, kHeadDim, kBlockTokens, dtype};
    const size_t layers = kCacheBytesMax / (blocks_ * layer.block_bytes());
    KvShape shape = layer;
    shape.layers = static_cast<uint32_t>(std::clamp<size_t>(layers, 1, kLayersMax));
    auto storage = KvStorage::Create(shape, blocks_, 0);
    if (!storage.ok()) throw std::runtime_error(storage.status().DebugString());
    storage_ = std::move(storage).Take();
    // Small numbers in every dtype, and pages that are really there.
    std::memset(storage_->Layer(0).keys, 0x21, blocks_ * shape.block_bytes());
    for (uint32_t s = 0; s < item.sequences; ++s) {
      std::vector<BlockId>& table = tables_.emplace_back();
      for (uint32_t i = 0; i < shared; ++i) table.push_back(BlockId{i});
      for (uint32_t i = 0; i < own; ++i) table.push_back(BlockId{shared + s * own + i});
    }
    for (uint32_t s = 0; s < item.sequences; ++s) {
      slices_.push_back({s * item.rows, item.rows, item.context, tables_[s].data()});
    }
    query_.assign(size_t{item.sequences} * item.rows * kHeads * kHeadDim, 0.25f);
    out_.resize(query_.size());
  }

  double Seconds(const Ops& ops, uint32_t samples, ThreadPool& pool) {
    std::vector<std::byte> scratch(
        ops.AttentionScratchBytes({.rows = item_.sequences * item_.rows,
                                   .context_tokens = item_.context + item_.rows,
                                   .heads = kHeads,
                                   .head_dim = kHeadDim,
                                   .threads = pool.threads()}) +
        64);
    const size_t shift = 64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64;
    uint32_t layer = 0;
    return MedianSeconds(samples, [&] {
      ops.Attention(query_.data(), kHeads * kHeadDim, slices_, kHeads,
                    storage_->Layer(layer++ % storage_->shape().layers), {.scale = 0.125f},
                    out_.data(), kHeads * kHeadDim, std::span(scratch).subspan(shift), pool);
    });
  }

  double bytes() const {
    return static_cast<double>(blocks_) * 2 * static_cast<double>(storage_->shape().plane_bytes());
  }
  double operations() const {
    double keys = 0;
    for (uint32_t i = 0; i < item_.rows; ++i) keys += item_.context + i + 1;
    return 4.0 * kHeads * kHeadDim * keys * item_.sequences;
  }

 private:
  Case item_;
  uint32_t blocks_ = 0;
  std::unique_ptr<KvStorage> storage_;
  std::vector<std::vector<BlockId>> tables_;
  std::vector<AttentionSlice> slices_;
  std::vector<float> query_;
  std::vector<float> out_;
};

std::string Report(const Ops& ops, DType dtype, const Case& item, const AttentionBench& bench,
                   double seconds, const Machine& machine) {
  const double memory = bench.bytes() / machine.bandwidth;
  const double compute = bench.operations() / machine.rate;
  const std::string isa(ops.isa());
  const std::string kv(DTypeName(dtype));
  const char* bound = memory > compute ? "memory" : "compute";
  const double share = std::max(memory, compute) / seconds;
  std::printf("%-8s %-5s %5u x %-4u %8u %-7s %10.1f %8.1f %8.1f %6.0f %% of %s\n", isa.c_str(),
              kv.c_str(), item.sequences, item.rows, item.context, item.shared ? "shared" : "own",
              seconds * 1e6, bench.bytes() / seconds / 1e9, bench.operations() / seconds / 1e9,
              share * 100, bound);
  char line[320];
  std::snprintf(line, sizeof(line),
                R"({"isa":"%s","kv":"%s","sequences":%u,"rows":%u,"context":%u,"shared":%s,)"
                R"("microseconds":%.1f,"gigabytesPerSecond":%.1f,"gflops":%.1f,)"
                R"("bound":"%s","limitShare":%.3f})",
                isa.c_str(), kv.c_str(), item.sequences, item.rows, item.context,
                item.shared ? "true" : "false", seconds * 1e6, bench.bytes() / seconds / 1e9,
                bench.operations() / seconds / 1e9, bound, share);
  return line;
}

double MeasureBandwidth(ThreadPool& pool) {
  const std::vector<std::byte> memory(kCacheBytesMax, std::byte{1});
  return ReadBandwidth(memory, 100, pool);
}

}  // namespace

std::string RunAttention(const Options& options) {
  ThreadPool pool(options.threads);
  std::printf("%s\n", MachineHeader(options.threads).c_str());
  const double bandwidth = MeasureBandwidth(pool);
  std::printf("%-8s %-5s %12s %8s %-7s %10s %8s %8s %14s\n", "isa", "kv", "slices", "context",
              "blocks", "us", "GB/s", "GFLOPS", "of limit");
  std::string items;
  for (const Ops* ops : SupportedOps()) {
    // Plain loops take a minute for what the others do in a second.
    const bool skip = ops->isa() == "scalar" || (options.quick && ops != SupportedOps().front());
    if (options.isa.empty() ? skip : ops->isa() != options.isa) continue;
    const Machine machine{bandwidth, MeasureCompute(ops->isa(), 20, pool).float32};
    std::printf("read bandwidth %.1f GB/s, %s in registers %.0f GFLOPS\n", bandwidth / 1e9,
                std::string(ops->isa()).c_str(), machine.rate / 1e9);
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kQ8_0}) {
      if (options.quick && dtype == DType::kBF16) continue;
      for (const Case& item : Cases(options.quick)) {
        AttentionBench bench(item, dtype);
        const double seconds = bench.Seconds(*ops, options.quick ? 11 : 25, pool);
        items += (items.empty() ? "" : ",") + Report(*ops, dtype, item, bench, seconds, machine);
      }
    }
  }
  char head[128];
  std::snprintf(head, sizeof(head), R"({"threads":%u,"readGigabytesPerSecond":%.1f,"attention":[)",
                options.threads, bandwidth / 1e9);
  return head + items + "]}";
}

}  // namespace infercept::bench
