// A paged cache with scattered blocks and several sequences, for the attention tests.
#pragma once

#include <cmath>
#include <initializer_list>
#include <span>
#include <vector>

#include "ops_support.h"

namespace infercept::test {

struct AttentionShape {
  DType dtype = DType::kF16;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  uint32_t head_dim = 16;
  uint32_t block_tokens = 16;
  float soft_cap = 0;
  uint32_t window_tokens = 0;
  std::vector<float> sinks = {};  // none, or one per head
  uint32_t groups = 1;            // PagedKv::groups; the layer is in the middle one

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }
  AttentionRules rules() const {
    return {scale(), soft_cap, window_tokens, sinks.empty() ? nullptr : sinks.data()};
  }
  uint32_t group() const { return groups / 2; }
  // A table in which these blocks are those of the layer's group.
  std::vector<BlockId> Spread(std::span<const BlockId> blocks) const;
  size_t query_width() const { return size_t{heads} * head_dim; }
  size_t kv_width() const { return size_t{kv_heads} * head_dim; }
};

// Queries, keys and values of one sequence, [tokens][width] each.
struct SequenceInput {
  uint32_t tokens;
  std::vector<float> query;
  std::vector<float> key;
  std::vector<float> value;
};
SequenceInput MakeSequence(Random& random, const AttentionShape& shape, uint32_t tokens);

// Rows [first, first + rows) of one sequence, as one slice of a batch.
struct Piece {
  uint32_t sequence;
  uint32_t first;
  uint32_t rows;
};

class PagedSequences {
 public:
  // Blocks are dealt in random order; memory that no token was written to holds NaN.
  PagedSequences(Random& random, const AttentionShape& shape, std::vector<SequenceInput> sequences);

  // From now on, all sequences have their first `tokens`, or all of a shorter one, in the same
  // blocks. REQUIRES: whole blocks, and equal keys and values there.
  void Share(uint32_t tokens);

  // WriteKv and Attention of one batch, on tables of what a window shows. Returns [rows of all
  // pieces][heads][head_dim].
  std::vector<float> Step(const Ops& ops, std::span<const Piece> pieces,
                          ThreadPool& pool = TestPool());
  // Every sequence in one slice, one batch each: [tokens][heads][head_dim] of sequence after
  // sequence.
  std::vector<std::vector<float>> Whole(const Ops& ops);

  std::span<const std::byte> keys() { return keys_.span(); }
  const AttentionShape& shape() const { return shape_; }
  const SequenceInput& sequence(uint32_t index) const { return sequences_[index]; }

 private:
  PagedKv cache();
  // The table of a slice without the blocks that none of its queries sees.
  const std::vector<BlockId>& Release(const AttentionSlice& slice,
                                      std::vector<std::vector<BlockId>>& tables) const;

  AttentionShape shape_;
  std::vector<SequenceInput> sequences_;
  std::vector<std::vector<BlockId>> tables_;
  size_t block_stride_ = 0;
  AlignedBytes keys_;
  AlignedBytes values_;
};

std::string Describe(const Ops& ops, const AttentionShape& shape);

// The shape with each of these windows; with capped scores; with scores that no value belongs to,
// up to some that outweigh all others; with all three; in a group of layers. REQUIRES: four heads.
std::vector<AttentionShape> WithEachRule(const AttentionShape& plain,
                                         std::initializer_list<uint32_t> windows);

}  // namespace infercept::test
