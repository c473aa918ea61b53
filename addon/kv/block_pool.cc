#include "kv/block_pool.h"

#include "base/check.h"

namespace infercept {

BlockPool::BlockPool(uint32_t blocks) : references_(blocks, 0) {
  free_.reserve(blocks);
  for (uint32_t i = blocks; i > 0; --i) free_.push_back(BlockId{i - 1});
}

BlockId BlockPool::Allocate() {
  IC_CHECK(!free_.empty());
  const BlockId block = free_.back();
  free_.pop_back();
  IC_CHECK(references_[Index(block)] == 0);
  references_[Index(block)] = 1;
  return block;
}

void BlockPool::AddReference(BlockId block) { ++references_[Index(block)]; }

uint32_t BlockPool::Release(BlockId block) {
  IC_CHECK(references_[Index(block)] > 0);
  return --references_[Index(block)];
}

void BlockPool::Free(BlockId block) {
  IC_CHECK(references_[Index(block)] == 0);
  free_.push_back(block);
}

}  // namespace infercept
