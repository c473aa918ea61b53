// Which slices of a step begin with the same physical blocks, as agents with one system prompt and
// forks do. What they have in common is read once for all of them:
//
//   slice 0   |== prefix A ====|== B ==|--
//   slice 1   |== prefix A ====|== B ==|------      prefix A: slices 0, 1, 2; B: slices 0, 1
//   slice 2   |== prefix A ====|---
//   slice 3   |-----------
//
// Finding them takes one core of a Zen 5 3 us for 256 slices that have nothing in common, 12 us if
// they have 2,048 positions in blocks of 16, 40 us if they have 16,384.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor_view.h"

namespace infercept::cuda {

// At F16 and 128 values per head a split has 256 KB of keys and values, and its states at 4 queries
// 2 KB. 32,768 positions over 8 KV heads are 512 warps, 4 per multiprocessor of an H200. Shorter
// splits would keep more of them busy at short contexts, and leave more states to fold at long
// ones.
inline constexpr uint32_t kSplitTokens = 512;

struct AttentionPlanShape {
  uint32_t kv_heads = 1;
  uint32_t group_heads = 1;  // heads per KV head
  uint32_t head_dim = 0;
  uint32_t state_rows_max = 0;  // that the workspace holds
  uint32_t block_tokens = 16;
  uint32_t groups = 1;  // PagedKv::groups: one plan is for all of them
};

// Queries of one block of the kernel for many.
uint32_t ManyQueries(uint32_t head_dim);
// Tokens whose queries such a block takes when they come from several slices; 0: none.
uint32_t SharedTokensMax(const AttentionPlanShape& shape);

// Splits that some slices have in common, all of whose positions each of their tokens has behind
// it.
struct SharedPrefix {
  // The one of them that is least far: behind a window, it sees the most.
  uint32_t slice = 0;
  uint32_t first_token = 0;  // numbered over slices()
  uint32_t tokens = 0;
  uint32_t split_begin = 0;
  uint32_t split_end = 0;
};

class SharedPrefixes {
 public:
  // Replaces what was found. Lists are reused: after warm-up, nothing is allocated.
  void Find(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape);

  std::span<const SharedPrefix> prefixes() const { return prefixes_; }
  // Slices that share anything, those of a prefix side by side. All their states fit.
  std::span<const uint32_t> slices() const { return shared_; }
  // How many of a slice's first splits prefixes have.
  uint32_t splits(uint32_t slice) const { return splits_[slice]; }

 private:
  struct Member {
    uint32_t key;  // what it is ordered by
    uint32_t slice;
    uint32_t whole_splits;  // that all its rows see whole
  };

  bool CanShare(const AttentionSlice& slice) const;
  std::span<const BlockId> Blocks(const Member& member, uint32_t split) const;
  bool Agree(const Member& a, const Member& b, uint32_t split) const;
  void Order(std::span<Member> members, uint32_t split);
  // How many of the first members have the same blocks in a split. They are in order.
  size_t Run(std::span<const Member> members, uint32_t split) const;
  bool TakeStates(const Member& member);
  uint32_t Tokens(std::span<const Member> members) const;
  // Of members that share the splits before `from`. Depth: one level per split at most.
  void Share(std::span<Member> members, uint32_t from, uint32_t first_token);
  // False: there are enough prefixes.
  bool Add(std::span<const Member> members, const SharedPrefix& prefix);

  // Of the call.
  std::span<const AttentionSlice> slices_;
  AttentionPlanShape shape_;
  uint32_t states_left_ = 0;
  uint32_t tasks_left_ = 0;
  std::vector<Member> members_;

  std::vector<SharedPrefix> prefixes_;
  std::vector<uint32_t> shared_;
  std::vector<uint32_t> splits_;  // [slices]
};

}  // namespace infercept::cuda
