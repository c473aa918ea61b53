#include "model/workspace.h"

#include <algorithm>
#include <utility>

namespace infercept {
namespace {

// Of one region: a cache line, and the widest vector.
constexpr size_t kAlignment = 64;
// Rows of logits made at a time: enough for the output matrix to be read once for many rows, few
// enough that 128k vocabularies need 32 MiB.
constexpr uint32_t kLogitRowsMax = 64;

size_t Aligned(size_t bytes) { return DivCeil(bytes, kAlignment) * kAlignment; }

// Enough for every op, whatever dtype a file stores each matrix in. Columns that Q8_0 cannot have
// do not occur with it.
size_t ScratchBytes(const Hyperparameters& h, const Ops& ops, uint32_t rows_max,
                    uint32_t context_tokens_max, uint32_t threads) {
  size_t bytes = ops.AttentionScratchBytes(context_tokens_max, h.heads, h.head_dim, threads);
  for (const uint32_t columns : {h.width, h.heads * h.head_dim, h.ffn_width}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
      if (dtype == DType::kQ8_0 && columns % kQ8BlockValues != 0) continue;
      bytes = std::max(bytes, ops.MatMulScratchBytes(dtype, rows_max, columns));
    }
  }
  return bytes;
}

}  // namespace

Result<Workspace> Workspace::Create(const Hyperparameters& h, const Ops& ops, uint32_t rows_max,
                                    uint32_t context_tokens_max, uint32_t threads) {
  IC_CHECK(rows_max > 0);
  Workspace space;
  space.rows_max_ = rows_max;
  space.logit_rows_max_ = std::min(rows_max, kLogitRowsMax);
  const size_t heads_width = size_t{h.heads + 2 * h.kv_heads} * h.head_dim;
  const size_t rows = rows_max;
  const std::pair<float**, size_t> regions[] = {
      {&space.residual, rows * h.width},
      {&space.normed, rows * h.width},
      {&space.qkv, rows * heads_width},
      {&space.attention, rows * h.heads * h.head_dim},
      {&space.gate, rows * h.ffn_width},
      {&space.up, rows * h.ffn_width},
      {&space.projection, rows * h.width},
      {&space.logit_inputs, rows * h.width},
      {&space.logits, size_t{space.logit_rows_max_} * h.vocabulary_size},
  };
  const size_t scratch = ScratchBytes(h, ops, rows_max, context_tokens_max, threads);
  size_t total = Aligned(scratch);
  for (const auto& region : regions) total += Aligned(region.second * sizeof(float));
  Result<Arena> arena = Arena::Create(total, "activations of a step");
  if (!arena.ok()) return arena.status();
  space.arena_ = std::move(arena).Take();
  std::byte* next = space.arena_.data();
  for (const auto& [pointer, count] : regions) {
    *pointer = reinterpret_cast<float*>(next);
    next += Aligned(count * sizeof(float));
  }
  space.scratch = std::span(next, scratch);
  return space;
}

}  // namespace infercept
