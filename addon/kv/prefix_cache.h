// Finds device blocks by what they hold. A full block is identified by (content of the block before
// it, its own tokens), compared token by token: a hash collision can cost time, never correctness.
//
// Blocks that nobody references stay findable until memory is wanted, least recently used first.
// No allocation after construction.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"
#include "kv/block_table.h"

namespace infercept {

class PrefixCache {
 public:
  PrefixCache(uint32_t device_blocks, uint32_t block_tokens);

  struct Hit {
    BlockId block = kNoBlock;
    ContentId content = kNoContent;
    bool found() const { return block != kNoBlock; }
  };

  // Of a block with these tokens after a prefix with the key `parent` (kNoKey: at position 0).
  static PrefixKey KeyOf(PrefixKey parent, std::span<const TokenId> tokens);
  // The block that holds `tokens`, which make the key, after a prefix with content `parent`
  // (kNoContent: at position 0).
  Hit Find(ContentId parent, PrefixKey key, std::span<const TokenId> tokens) const;
  // Begins to fetch from memory what Find and Insert will look at: with many blocks each of them is
  // a cache miss or three.
  void Prefetch(PrefixKey key, BlockId block) const;
  // Likewise what SetUnreferenced and SetReferenced look at.
  void Prefetch(BlockId block) const { __builtin_prefetch(&entries_[Index(block)], /*write=*/1); }
  // The block that holds this content, or kNoBlock: a content never moves to another block.
  BlockId FindContent(ContentId content) const;

  // Makes a block findable; returns the id of what it holds, never used before. REQUIRES: Find
  // found nothing just now, block not in the cache.
  ContentId Insert(ContentId parent, PrefixKey key, std::span<const TokenId> tokens, BlockId block);

  bool Contains(BlockId block) const { return entries_[Index(block)].content != kNoContent; }
  // Blocks that nobody references, but which can still be found.
  uint32_t unreferenced() const { return unreferenced_; }

  // The last reference to a contained block went / the first one came back.
  void SetUnreferenced(BlockId block);
  void SetReferenced(BlockId block);

  // Forgets the least recently used unreferenced block and returns it. REQUIRES: unreferenced() >
  // 0.
  BlockId Evict();
  // Blocks in eviction order, for integrity checks.
  std::vector<BlockId> Unreferenced() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Entry {
    ContentId content = kNoContent;  // kNoContent: the block is not in the cache
    ContentId parent = kNoContent;
    PrefixKey key = kNoKey;
    uint32_t next_by_key = kNone;  // in the chain of its bucket
    uint32_t older = kNone;        // Neighbours among the unreferenced; valid iff `evictable`.
    uint32_t newer = kNone;
    bool evictable = false;
  };

  std::span<const TokenId> TokensOf(uint32_t block) const;
  uint32_t BucketOf(PrefixKey key) const { return key & static_cast<uint32_t>(by_key_.size() - 1); }
  void Unlink(uint32_t block);

  const uint32_t block_tokens_;
  std::vector<Entry> entries_;    // by device block
  std::vector<TokenId> tokens_;   // [device_blocks][block_tokens]
  std::vector<uint32_t> by_key_;  // bucket -> first block of its chain
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  uint32_t unreferenced_ = 0;
  uint64_t insertions_ = 0;
};

}  // namespace infercept
