#include "model/workspace.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace infercept {
namespace {

// Of one region: a cache line, and the widest vector.
constexpr size_t kAlignment = 64;
// Rows of logits made at a time: enough for the output matrix to be read once for many rows, few
// enough that 128k vocabularies need 32 MiB.
constexpr uint32_t kLogitRowsMax = 64;

size_t Aligned(size_t bytes) { return DivCeil(bytes, kAlignment) * kAlignment; }

// Enough for every MatMul: matrices that share one have the same columns, each their own dtype.
size_t MatMulScratchBytes(const Ops& ops, std::span<const TensorSpec> tensors, uint32_t rows) {
  std::set<std::pair<uint32_t, DType>> seen;
  std::map<uint32_t, size_t> bytes;  // by columns
  size_t largest = 0;
  for (const TensorSpec& tensor : tensors) {
    if (!seen.emplace(tensor.columns, tensor.dtype).second) continue;
    size_t& sum = bytes[tensor.columns];
    sum += ops.MatMulScratchBytes(tensor.dtype, rows, tensor.columns);
    largest = std::max(largest, sum);
  }
  return largest;
}

}  // namespace

Result<Workspace> Workspace::Create(const ModelSpec& spec, const Ops& ops,
                                    const WorkspaceLimits& limits, Device& device) {
  IC_CHECK(limits.rows > 0);
  const Hyperparameters& h = spec.hyperparameters;
  Workspace space;
  space.rows_max_ = limits.rows;
  space.logit_rows_max_ = std::min(limits.rows, kLogitRowsMax);
  const size_t heads_width = size_t{h.heads + 2 * h.kv_heads} * h.head_dim;
  const size_t rows = limits.rows;
  const size_t choices = rows * h.experts.used;
  space.expert_rows = ExpertRows(static_cast<uint32_t>(choices), h.experts.count);
  const size_t logits = size_t{space.logit_rows_max_} * h.vocabulary_size;
  const std::pair<float**, size_t> regions[] = {
      {&space.residual, rows * h.width},
      {&space.normed, rows * h.width},
      {&space.qkv, rows * heads_width},
      {&space.attention, rows * h.heads * h.head_dim},
      {&space.gate, rows * h.ffn_width},
      {&space.up, rows * h.ffn_width},
      {&space.projection, rows * h.width},
      {&space.expert_scores, rows * h.experts.count},
      {&space.expert_weights, choices},
      {&space.expert_inputs, choices * h.width},
      {&space.expert_outputs, choices * h.width},
      {&space.logit_inputs, rows * h.width},
      {&space.logits, logits},
      {&space.adjusted_logits, device.properties().is_host ? 0 : logits},
  };
  const size_t scratch =
      std::max(MatMulScratchBytes(ops, spec.tensors, limits.rows),
               ops.AttentionScratchBytes({.rows = limits.rows,
                                          .context_tokens = limits.context_tokens,
                                          .heads = h.heads,
                                          .head_dim = h.head_dim,
                                          .threads = limits.threads}));
  size_t total = Aligned(scratch);
  for (const auto& region : regions) total += Aligned(region.second * sizeof(float));
  constexpr std::string_view kPurpose = "activations of a step";
  Result<Arena> arena = device.Allocate(total, kPurpose);
  if (!arena.ok()) return arena.status();
  space.arena_ = std::move(arena).Take();
  std::byte* next = space.arena_.data();
  for (const auto& [pointer, count] : regions) {
    *pointer = reinterpret_cast<float*>(next);
    next += Aligned(count * sizeof(float));
  }
  space.scratch = std::span(next, scratch);
  space.host_logits = space.logits;
  if (device.properties().is_host) return space;
  Result<Arena> host = device.AllocatePinned(sizeof(float) * logits, kPurpose);
  if (!host.ok()) return host.status();
  space.host_ = std::move(host).Take();
  space.host_logits = reinterpret_cast<float*>(space.host_.data());
  return space;
}

}  // namespace infercept
