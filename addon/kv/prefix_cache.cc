#include "kv/prefix_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace infercept {
namespace {

// Multiply and fold (a step of a 64-bit mix): what is above comes down.
uint64_t Mix(uint64_t value) {
  value *= 0x9e3779b97f4a7c15u;
  return value ^ (value >> 32);
}

}  // namespace

PrefixCache::PrefixCache(uint32_t device_blocks, uint32_t block_tokens)
    : block_tokens_(block_tokens),
      entries_(device_blocks),
      tokens_(static_cast<size_t>(device_blocks) * block_tokens),
      // Two buckets per block keep chains at about half an entry.
      by_key_(std::bit_ceil(std::max(device_blocks, 1u) * 2), kNone) {}

std::span<const TokenId> PrefixCache::TokensOf(uint32_t block) const {
  return std::span(tokens_).subspan(static_cast<size_t>(block) * block_tokens_, block_tokens_);
}

PrefixKey PrefixCache::KeyOf(PrefixKey parent, std::span<const TokenId> tokens) {
  uint64_t hash = parent;
  // By twos: the key of one waits for that of the one before it.
  for (size_t i = 0; i + 1 < tokens.size(); i += 2) {
    const auto low = static_cast<uint32_t>(tokens[i]);
    hash = Mix(hash ^ low ^ uint64_t{static_cast<uint32_t>(tokens[i + 1])} << 32);
  }
  if (tokens.size() % 2 == 1) hash = Mix(hash ^ static_cast<uint32_t>(tokens.back()));
  const auto key = static_cast<PrefixKey>(Mix(hash));
  return key == kNoKey ? ~kNoKey : key;
}

PrefixCache::Hit PrefixCache::Find(ContentId parent, PrefixKey key,
                                   std::span<const TokenId> tokens) const {
  IC_CHECK(tokens.size() == block_tokens_);
  for (uint32_t block = by_key_[BucketOf(key)]; block != kNone;
       block = entries_[block].next_by_key) {
    const Entry& entry = entries_[block];
    if (entry.key == key && entry.parent == parent && std::ranges::equal(TokensOf(block), tokens)) {
      return {BlockId{block}, entry.content};
    }
  }
  return {};
}

void PrefixCache::Prefetch(PrefixKey key, BlockId block) const {
  __builtin_prefetch(&by_key_[BucketOf(key)], /*write=*/1);
  __builtin_prefetch(&entries_[Index(block)], /*write=*/1);
  __builtin_prefetch(TokensOf(Index(block)).data(), /*write=*/1);
}

BlockId PrefixCache::FindContent(ContentId content) const {
  const auto block = static_cast<uint32_t>(content % entries_.size());
  return entries_[block].content == content ? BlockId{block} : kNoBlock;
}

ContentId PrefixCache::Insert(ContentId parent, PrefixKey key, std::span<const TokenId> tokens,
                              BlockId block) {
  const uint32_t index = Index(block);
  Entry& entry = entries_[index];
  IC_CHECK(entry.content == kNoContent);
  entry = Entry{};
  // Says where it is: FindContent needs no table.
  entry.content = ++insertions_ * entries_.size() + index;
  entry.parent = parent;
  std::ranges::copy(tokens, tokens_.begin() + static_cast<ptrdiff_t>(index) * block_tokens_);
  entry.key = key;
  entry.next_by_key = std::exchange(by_key_[BucketOf(key)], index);
  return entry.content;
}

void PrefixCache::SetUnreferenced(BlockId block) {
  const uint32_t index = Index(block);
  Entry& entry = entries_[index];
  IC_CHECK(entry.content != kNoContent && !entry.evictable);
  entry.evictable = true;
  entry.older = newest_;
  entry.newer = kNone;
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = index;
  newest_ = index;
  ++unreferenced_;
}

void PrefixCache::SetReferenced(BlockId block) {
  Entry& entry = entries_[Index(block)];
  IC_CHECK(entry.evictable);
  (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
  (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
  entry.evictable = false;
  --unreferenced_;
}

BlockId PrefixCache::Evict() {
  IC_CHECK(oldest_ != kNone);
  const uint32_t block = oldest_;
  SetReferenced(BlockId{block});
  Unlink(block);
  entries_[block] = Entry{};
  // The next one to go, and the chain that it is in.
  if (oldest_ != kNone) {
    __builtin_prefetch(&by_key_[BucketOf(entries_[oldest_].key)], /*write=*/1);
    if (entries_[oldest_].newer != kNone) __builtin_prefetch(&entries_[entries_[oldest_].newer], 1);
  }
  return BlockId{block};
}

void PrefixCache::Unlink(uint32_t block) {
  const Entry& entry = entries_[block];
  uint32_t* link = &by_key_[BucketOf(entry.key)];
  while (*link != block) link = &entries_[*link].next_by_key;
  *link = entry.next_by_key;
}

std::vector<BlockId> PrefixCache::Unreferenced() const {
  std::vector<BlockId> blocks;
  for (uint32_t block = oldest_; block != kNone; block = entries_[block].newer) {
    blocks.push_back(BlockId{block});
  }
  return blocks;
}

}  // namespace infercept
