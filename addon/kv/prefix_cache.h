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

  // The block that holds `tokens` after a prefix with content `parent` (kNoContent: at position 0).
  Hit Find(ContentId parent, std::span<const TokenId> tokens) const;
  // The block that holds this content, or kNoBlock.
  BlockId FindContent(ContentId content) const;

  // Makes a block findable; returns the id of what it holds, never used before. REQUIRES: not found
  // by Find, block not in the cache.
  ContentId Insert(ContentId parent, std::span<const TokenId> tokens, BlockId block);

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
    uint32_t next_by_key = kNone;
    uint32_t next_by_content = kNone;
    uint32_t older = kNone;  // Neighbours among the unreferenced; valid iff `evictable`.
    uint32_t newer = kNone;
    bool evictable = false;
  };

  std::span<const TokenId> TokensOf(uint32_t block) const;
  uint32_t KeyBucket(ContentId parent, std::span<const TokenId> tokens) const;
  uint32_t ContentBucket(ContentId content) const;
  void Unlink(uint32_t block);

  const uint32_t block_tokens_;
  std::vector<Entry> entries_;        // by device block
  std::vector<TokenId> tokens_;       // [device_blocks][block_tokens]
  std::vector<uint32_t> by_key_;      // bucket -> first block of its chain
  std::vector<uint32_t> by_content_;  // likewise
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  uint32_t unreferenced_ = 0;
  ContentId next_content_ = 1;
};

}  // namespace infercept
