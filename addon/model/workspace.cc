#include "model/workspace.h"

#include <algorithm>
#include <functional>
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

// Of all products that a step makes, and of attention.
size_t ScratchBytes(const ModelSpec& spec, const Ops& ops, const WorkspaceLimits& limits) {
  const Hyperparameters& h = spec.hyperparameters;
  size_t products = MatMulScratchBytes(ops, spec.tensors, limits.rows);
  if (h.experts.count != 0) {
    products += ops.ExpertScratchBytes(limits.rows, h.experts.used, std::max(h.width, h.ffn_width));
  }
  const size_t attention = ops.AttentionScratchBytes({.rows = limits.rows,
                                                      .context_tokens = limits.context_tokens,
                                                      .heads = h.heads,
                                                      .head_dim = h.head_dim,
                                                      .threads = limits.threads});
  return std::max(products, attention);
}

// A part of the arena, and who points to it.
struct Region {
  template <typename T>
  Region(T*& pointer, size_t count)
      : bytes(count * sizeof(T)),
        set([&pointer](std::byte* to) { pointer = reinterpret_cast<T*>(to); }) {}

  size_t bytes;
  std::function<void(std::byte*)> set;
};

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
  const ExpertSpec& experts = h.experts;
  const size_t choices = rows * experts.used;
  const size_t networks = experts.count == 0 ? rows : choices;
  const size_t bounds =
      experts.count == 0 ? 0 : ops.ExpertBoundsBytes(limits.rows, experts.count, experts.used);
  const size_t logits = size_t{space.logit_rows_max_} * h.vocabulary_size;
  ExpertPlaces& places = space.expert_places;
  places.experts = experts.count;
  places.used = experts.used;
  const Region regions[] = {
      {space.residual, rows * h.width},
      {space.normed, rows * h.width},
      {space.qkv, rows * heads_width},
      {space.attention, rows * h.heads * h.head_dim},
      {space.gate, networks * h.ffn_width},
      {space.up, networks * h.ffn_width},
      {space.projection, rows * h.width},
      {space.expert_scores, rows * experts.count},
      {space.expert_weights, choices},
      {space.expert_outputs, choices * h.width},
      {places.chosen, choices},
      {places.rows, choices},
      {places.places, choices},
      {places.bounds, bounds},
      {space.logit_inputs, rows * h.width},
      {space.logits, logits},
      {space.adjusted_logits, device.properties().is_host ? 0 : logits},
  };
  const size_t scratch = ScratchBytes(spec, ops, limits);
  size_t total = Aligned(scratch);
  for (const Region& region : regions) total += Aligned(region.bytes);
  constexpr std::string_view kPurpose = "activations of a step";
  Result<Arena> arena = device.Allocate(total, kPurpose);
  if (!arena.ok()) return arena.status();
  space.arena_ = std::move(arena).Take();
  std::byte* next = space.arena_.data();
  for (const Region& region : regions) {
    region.set(next);
    next += Aligned(region.bytes);
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
