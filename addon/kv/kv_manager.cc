#include "kv/kv_manager.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace infercept {

KvManager::KvManager(const KvConfig& config)
    : config_(config),
      device_(config.device_blocks),
      host_(config.host_blocks),
      cache_(config.device_blocks, config.block_tokens) {
  leaving_device_.reserve(config.device_blocks);
  leaving_host_.reserve(config.host_blocks);
  arriving_device_.reserve(config.device_blocks);
  arriving_host_.reserve(config.host_blocks);
}

uint32_t KvManager::leaving() const {
  return static_cast<uint32_t>(std::ranges::count_if(
      leaving_device_, [this](BlockId block) { return device_.references(block) == 1; }));
}

BlockId KvManager::AllocateDevice() {
  if (device_.free() == 0) device_.Free(cache_.Evict());
  return device_.Allocate();
}

void KvManager::ReleaseDevice(BlockId block) {
  if (device_.Release(block) > 0) return;
  if (cache_.Contains(block)) {
    cache_.SetUnreferenced(block);
  } else {
    device_.Free(block);
  }
}

void KvManager::ReleaseHost(BlockId block) {
  if (host_.Release(block) == 0) host_.Free(block);
}

uint32_t KvManager::AttachPrefix(BlockTable& table, std::span<const TokenId> tokens,
                                 uint32_t computed) {
  const uint32_t size = config_.block_tokens;
  IC_CHECK(computed == table.size() * size);
  ContentId parent = table.empty() ? kNoContent : table.back().content;
  if (!config_.prefix_cache || (!table.empty() && parent == kNoContent)) return computed;
  while (computed + size < tokens.size()) {
    const PrefixCache::Hit hit = cache_.Find(parent, tokens.subspan(computed, size));
    if (!hit.found()) break;
    if (device_.references(hit.block) == 0) cache_.SetReferenced(hit.block);
    device_.AddReference(hit.block);
    table.push_back({hit.block, kNoBlock, hit.content});
    parent = hit.content;
    computed += size;
  }
  return computed;
}

uint32_t KvManager::ExtendCost(const BlockTable& table, uint32_t computed, uint32_t tokens) const {
  const uint32_t held = static_cast<uint32_t>(table.size());
  const uint32_t wanted = BlocksFor(tokens);
  // The block that holds position `computed`
  const uint32_t writable = computed / config_.block_tokens;
  const bool copy = writable < held && table[writable].on_device() && !IsPrivate(table[writable]);
  return (wanted > held ? wanted - held : 0) + (copy ? 1 : 0);
}

void KvManager::Extend(BlockTable& table, uint32_t computed, uint32_t tokens,
                       std::vector<BlockCopy>& copies) {
  IC_CHECK(ExtendCost(table, computed, tokens) <= available());
  const uint32_t writable = computed / config_.block_tokens;
  if (writable < table.size() && !IsPrivate(table[writable])) {
    BlockRef& shared = table[writable];
    IC_CHECK(shared.on_device() && shared.content == kNoContent);
    const BlockId copy = AllocateDevice();
    copies.push_back({shared.device, copy});
    // Others keep the source referenced and never write below their own computed count.
    ReleaseDevice(std::exchange(shared.device, copy));
  }
  while (table.size() < BlocksFor(tokens))
    table.push_back({AllocateDevice(), kNoBlock, kNoContent});
}

void KvManager::Seal(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed) {
  if (!config_.prefix_cache) return;
  const uint32_t size = config_.block_tokens;
  uint32_t full = computed / size;
  uint32_t first = full;
  while (first > 0 && table[first - 1].content == kNoContent) --first;
  for (uint32_t i = first; i < full; ++i) {
    const ContentId parent = i == 0 ? kNoContent : table[i - 1].content;
    const auto block_tokens = tokens.subspan(static_cast<size_t>(i) * size, size);
    const PrefixCache::Hit hit = cache_.Find(parent, block_tokens);
    if (!hit.found()) {
      table[i].content = cache_.Insert(parent, block_tokens, table[i].device);
      continue;
    }
    // Computed twice at the same time: keep one. Batch invariance makes the two bit-identical.
    if (device_.references(hit.block) == 0) cache_.SetReferenced(hit.block);
    device_.AddReference(hit.block);
    ReleaseDevice(std::exchange(table[i].device, hit.block));
    table[i].content = hit.content;
  }
}

void KvManager::Truncate(BlockTable& table, uint32_t first) {
  // From the end, so that the cache evicts suffixes before the prefixes they need.
  while (table.size() > first) {
    if (table.back().on_device()) ReleaseDevice(table.back().device);
    if (table.back().on_host()) ReleaseHost(table.back().host);
    table.pop_back();
  }
}

void KvManager::SwapOut(BlockRef& ref, std::vector<BlockCopy>& swap_out) {
  IC_CHECK(IsPrivate(ref) && !ref.on_host());
  ref.host = host_.Allocate();
  host_.AddReference(ref.host);
  arriving_host_.push_back(ref.host);
  swap_out.push_back({ref.device, ref.host});
  leaving_device_.push_back(std::exchange(ref.device, kNoBlock));
}

bool KvManager::SwapIn(BlockRef& ref, std::vector<BlockCopy>& swap_in) {
  IC_CHECK(ref.on_host() && !ref.on_device());
  const BlockId cached = ref.content == kNoContent ? kNoBlock : cache_.FindContent(ref.content);
  if (cached != kNoBlock) {
    if (device_.references(cached) == 0) cache_.SetReferenced(cached);
    device_.AddReference(cached);
    ref.device = cached;
    ReleaseHost(std::exchange(ref.host, kNoBlock));
    return false;
  }
  ref.device = AllocateDevice();
  device_.AddReference(ref.device);
  arriving_device_.push_back(ref.device);
  swap_in.push_back({ref.host, ref.device});
  leaving_host_.push_back(std::exchange(ref.host, kNoBlock));
  return true;
}

void KvManager::CompleteCopies() {
  for (BlockId block : leaving_device_) ReleaseDevice(block);
  for (BlockId block : leaving_host_) ReleaseHost(block);
  for (BlockId block : arriving_device_) ReleaseDevice(block);
  for (BlockId block : arriving_host_) ReleaseHost(block);
  leaving_device_.clear();
  leaving_host_.clear();
  arriving_device_.clear();
  arriving_host_.clear();
}

BlockTable KvManager::Share(const BlockTable& parent) {
  for (const BlockRef& ref : parent) {
    IC_CHECK(ref.on_device() || ref.on_host());
    if (ref.on_device()) device_.AddReference(ref.device);
    if (ref.on_host()) host_.AddReference(ref.host);
  }
  return parent;
}

std::vector<uint32_t> KvManager::ExpectedReferences(std::span<const BlockTable* const> tables,
                                                    BlockId BlockRef::*tier,
                                                    uint32_t blocks) const {
  std::vector<uint32_t> expected(blocks, 0);
  for (const BlockTable* table : tables) {
    for (const BlockRef& ref : *table) {
      IC_CHECK(ref.on_device() || ref.on_host());
      if (ref.*tier != kNoBlock) ++expected[Index(ref.*tier)];
    }
  }
  return expected;
}

void KvManager::CheckIntegrity(std::span<const BlockTable* const> tables) const {
  std::vector<uint32_t> device = ExpectedReferences(tables, &BlockRef::device, device_.size());
  std::vector<uint32_t> host = ExpectedReferences(tables, &BlockRef::host, host_.size());
  for (BlockId block : leaving_device_) ++device[Index(block)];
  for (BlockId block : leaving_host_) ++host[Index(block)];
  for (BlockId block : arriving_device_) ++device[Index(block)];
  for (BlockId block : arriving_host_) ++host[Index(block)];
  uint32_t used = 0;
  for (uint32_t i = 0; i < device_.size(); ++i) {
    IC_CHECK(device_.references(BlockId{i}) == device[i]);
    used += device[i] > 0;
  }
  for (BlockId block : cache_.Unreferenced()) IC_CHECK(device[Index(block)] == 0);
  IC_CHECK(device_.free() + cache_.unreferenced() + used == device_.size());
  used = 0;
  for (uint32_t i = 0; i < host_.size(); ++i) {
    IC_CHECK(host_.references(BlockId{i}) == host[i]);
    used += host[i] > 0;
  }
  IC_CHECK(host_.free() + used == host_.size());
}

}  // namespace infercept
