// The blocks of one tier: who is free, and how often each other one is referenced.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace infercept {

class BlockPool {
 public:
  explicit BlockPool(uint32_t blocks);

  uint32_t size() const { return static_cast<uint32_t>(references_.size()); }
  uint32_t free() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t references(BlockId block) const { return references_[Index(block)]; }

  // Begins to fetch the count of a block from memory.
  void Prefetch(BlockId block) const {
    __builtin_prefetch(&references_[Index(block)], /*write=*/1);
  }

  // A free block with one reference. REQUIRES: free() > 0.
  BlockId Allocate();
  // One more reference. Also revives a block whose count is 0 but which was not freed (see
  // Release).
  void AddReference(BlockId block);
  // One reference less; returns what is left. A block at 0 belongs to the caller, who keeps it for
  // the prefix cache or frees it.
  uint32_t Release(BlockId block);
  // REQUIRES: references(block) == 0, and it is not free already.
  void Free(BlockId block);

 private:
  std::vector<uint32_t> references_;
  // Blocks with 0 references that nobody keeps; last freed is taken first.
  std::vector<BlockId> free_;
};

}  // namespace infercept
