#include "kv/kv_manager.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace infercept {

KvManager::KvManager(const KvConfig& config)
    : config_(config),
      device_(config.device_blocks),
      host_(config.host_blocks),
      cache_(config.device_blocks, config.block_tokens),
      referrers_(config.device_blocks, 0) {
  leaving_device_.reserve(config.device_blocks);
  leaving_host_.reserve(config.host_blocks);
  arriving_device_.reserve(config.device_blocks);
  arriving_host_.reserve(config.host_blocks);
}

BlockId KvManager::AllocateDevice(BlockTable* table) {
  if (device_.free() == 0) device_.Free(cache_.Evict());
  const BlockId block = device_.Allocate();
  ChangeReferrer(block, table);
  CountPrivate(block, table);
  return block;
}

void KvManager::AddReference(BlockId block, BlockTable* table) {
  if (device_.references(block) == 1) UncountPrivate(block, table);
  device_.AddReference(block);
  ChangeReferrer(block, table);
  if (device_.references(block) == 1) CountPrivate(block, table);
}

// A reference to a block of the prefix cache, which may have had none.
void KvManager::AddCached(BlockId block, BlockTable* table) {
  if (device_.references(block) == 0) cache_.SetReferenced(block);
  AddReference(block, table);
}

void KvManager::ReleaseDevice(BlockId block, BlockTable* table) {
  if (device_.references(block) == 1) UncountPrivate(block, table);
  ChangeReferrer(block, table);
  const uint32_t left = device_.Release(block);
  if (left == 1) CountPrivate(block, table);
  if (left > 0) return;
  if (cache_.Contains(block)) {
    cache_.SetUnreferenced(block);
  } else {
    device_.Free(block);
  }
}

void KvManager::ChangeReferrer(BlockId block, const BlockTable* table) {
  referrers_[Index(block)] ^= reinterpret_cast<uintptr_t>(table);
}

// REQUIRES of both: the block has one reference.
void KvManager::CountPrivate(BlockId block, const BlockTable* table) {
  auto* const holder = reinterpret_cast<BlockTable*>(referrers_[Index(block)]);
  if (holder == nullptr) {
    ++leaving_;
    return;
  }
  if (holder->private_++ == 0) ListHolder(*holder);
  sharing_changes_ += holder != table && holder->hold_ != Hold::kFirm;
}

void KvManager::UncountPrivate(BlockId block, const BlockTable* table) {
  auto* const holder = reinterpret_cast<BlockTable*>(referrers_[Index(block)]);
  if (holder == nullptr) {
    --leaving_;
    return;
  }
  if (--holder->private_ == 0) UnlistHolder(*holder);
  sharing_changes_ += holder != table && holder->hold_ != Hold::kFirm;
}

void KvManager::ListHolder(BlockTable& table) {
  std::vector<BlockTable*>& holders = holders_[static_cast<size_t>(table.hold_)];
  table.holder_index_ = static_cast<uint32_t>(holders.size());
  holders.push_back(&table);
}

void KvManager::UnlistHolder(BlockTable& table) {
  std::vector<BlockTable*>& holders = holders_[static_cast<size_t>(table.hold_)];
  IC_DCHECK(holders[table.holder_index_] == &table);
  holders.back()->holder_index_ = table.holder_index_;
  holders[table.holder_index_] = holders.back();
  holders.pop_back();
}

void KvManager::SetHold(BlockTable& table, Hold hold) {
  if (table.hold_ == hold) return;
  if (table.private_ > 0) UnlistHolder(table);
  table.hold_ = hold;
  if (table.private_ > 0) ListHolder(table);
}

void KvManager::ReleaseHost(BlockId block) {
  if (host_.Release(block) == 0) host_.Free(block);
}

void KvManager::Append(BlockTable& table, const BlockRef& ref) {
  device_entries_.Append(table.device_, ref.device);
  other_entries_.Append(table.other_, {ref.host, ref.content});
  table.on_device_ += ref.on_device();
}

uint32_t KvManager::AttachPrefix(BlockTable& table, std::span<const TokenId> tokens,
                                 uint32_t computed) {
  const uint32_t size = config_.block_tokens;
  IC_CHECK(computed == table.size() * size);
  ContentId parent = table.empty() ? kNoContent : table.other_.back().content;
  if (!config_.prefix_cache || (!table.empty() && parent == kNoContent)) return computed;
  while (computed + size < tokens.size()) {
    const PrefixCache::Hit hit = cache_.Find(parent, tokens.subspan(computed, size));
    if (!hit.found()) break;
    AddCached(hit.block, &table);
    Append(table, {hit.block, kNoBlock, hit.content});
    ++table.sealed_;
    parent = hit.content;
    computed += size;
  }
  return computed;
}

uint32_t KvManager::ExtendCost(const BlockTable& table, uint32_t computed, uint32_t tokens) const {
  const uint32_t held = table.size();
  const uint32_t wanted = BlocksFor(tokens);
  return (wanted > held ? wanted - held : 0) + CopyCost(table, computed);
}

uint32_t KvManager::CopyCost(const BlockTable& table, uint32_t computed) const {
  const uint32_t writable = computed / config_.block_tokens;
  if (!table.forked_ || writable >= table.size()) return 0;
  const BlockId block = table.device_[writable];
  return block != kNoBlock && device_.references(block) > 1 ? 1 : 0;
}

void KvManager::Extend(BlockTable& table, uint32_t computed, uint32_t tokens,
                       std::vector<BlockCopy>& copies) {
  IC_DCHECK(ExtendCost(table, computed, tokens) <= available());
  if (CopyCost(table, computed) > 0) {
    const uint32_t writable = computed / config_.block_tokens;
    BlockId& shared = table.device_[writable];
    IC_CHECK(shared != kNoBlock && writable >= table.sealed_);
    const BlockId copy = AllocateDevice(&table);
    copies.push_back({shared, copy});
    // Others keep the source referenced and never write below their own computed count.
    ReleaseDevice(std::exchange(shared, copy), &table);
  }
  table.forked_ = false;
  const uint32_t wanted = BlocksFor(tokens);
  while (table.size() < wanted) Append(table, {AllocateDevice(&table), kNoBlock, kNoContent});
}

void KvManager::Seal(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed) {
  const uint32_t size = config_.block_tokens;
  const uint32_t full = config_.prefix_cache ? computed / size : 0;
  for (uint32_t i = table.sealed_; i < full; ++i) {
    const ContentId parent = i == 0 ? kNoContent : table.other_[i - 1].content;
    const auto block_tokens = tokens.subspan(static_cast<size_t>(i) * size, size);
    const PrefixCache::Hit hit = cache_.Find(parent, block_tokens);
    table.sealed_ = i + 1;
    if (!hit.found()) {
      table.other_[i].content = cache_.Insert(hit, parent, block_tokens, table.device_[i]);
      continue;
    }
    // Computed twice at the same time: keep one. Batch invariance makes the two bit-identical.
    AddCached(hit.block, &table);
    ReleaseDevice(std::exchange(table.device_[i], hit.block), &table);
    table.other_[i].content = hit.content;
  }
}

void KvManager::PrefetchSeal(const BlockTable& table, std::span<const TokenId> tokens,
                             uint32_t computed) const {
  // Of the first block: the others have its new content as their parent.
  const uint32_t first = table.sealed_;
  const uint32_t size = config_.block_tokens;
  if (!config_.prefix_cache || computed < (first + 1) * size) return;
  const ContentId parent = first == 0 ? kNoContent : table.other_[first - 1].content;
  cache_.Prefetch(parent, tokens.subspan(static_cast<size_t>(first) * size, size),
                  table.device_[first]);
}

void KvManager::Truncate(BlockTable& table, uint32_t first) {
  // From the end, so that the cache evicts suffixes before the prefixes they need.
  while (table.size() > first) {
    const BlockRef ref = table[table.size() - 1];
    if (ref.on_device()) ReleaseDevice(ref.device, &table);
    if (ref.on_host()) ReleaseHost(ref.host);
    table.on_device_ -= ref.on_device();
    table.device_.pop_back();
    table.other_.pop_back();
  }
  table.sealed_ = std::min(table.sealed_, table.size());
  if (first > 0) return;
  device_entries_.Give(std::move(table.device_));
  other_entries_.Give(std::move(table.other_));
}

void KvManager::SwapOut(BlockTable& table, uint32_t index, std::vector<BlockCopy>& swap_out) {
  BlockId& host = table.other_[index].host;
  IC_CHECK(IsPrivate(table, index) && host == kNoBlock);
  host = host_.Allocate();
  host_.AddReference(host);
  arriving_host_.push_back(host);
  const BlockId device = std::exchange(table.device_[index], kNoBlock);
  swap_out.push_back({device, host});
  --table.on_device_;
  UncountPrivate(device, &table);
  ChangeReferrer(device, &table);
  CountPrivate(device, &table);
  leaving_device_.push_back(device);
}

bool KvManager::SwapIn(BlockTable& table, uint32_t index, std::vector<BlockCopy>& swap_in) {
  const BlockRef ref = table[index];
  IC_CHECK(ref.on_host() && !ref.on_device());
  table.other_[index].host = kNoBlock;
  ++table.on_device_;
  const BlockId cached = ref.content == kNoContent ? kNoBlock : cache_.FindContent(ref.content);
  if (cached != kNoBlock) {
    AddCached(cached, &table);
    table.device_[index] = cached;
    ReleaseHost(ref.host);
    return false;
  }
  const BlockId device = AllocateDevice(&table);
  AddReference(device, nullptr);
  table.device_[index] = device;
  arriving_device_.push_back(device);
  swap_in.push_back({ref.host, device});
  leaving_host_.push_back(ref.host);
  return true;
}

void KvManager::CompleteCopies() {
  for (BlockId block : leaving_device_) ReleaseDevice(block, nullptr);
  for (BlockId block : leaving_host_) ReleaseHost(block);
  for (BlockId block : arriving_device_) ReleaseDevice(block, nullptr);
  for (BlockId block : arriving_host_) ReleaseHost(block);
  leaving_device_.clear();
  leaving_host_.clear();
  arriving_device_.clear();
  arriving_host_.clear();
}

void KvManager::Share(BlockTable& parent, BlockTable& child) {
  IC_CHECK(child.empty());
  device_entries_.Grow(child.device_, parent.size());
  other_entries_.Grow(child.other_, parent.size());
  for (uint32_t i = 0; i < parent.size(); ++i) {
    const BlockRef ref = parent[i];
    IC_CHECK(ref.on_device() || ref.on_host());
    if (ref.on_device()) AddReference(ref.device, &child);
    if (ref.on_host()) host_.AddReference(ref.host);
    Append(child, ref);
  }
  child.sealed_ = parent.sealed_;
  parent.forked_ = child.forked_ = true;
}

std::vector<uint32_t> KvManager::ExpectedReferences(std::span<const BlockTable* const> tables,
                                                    BlockId BlockRef::*tier,
                                                    uint32_t blocks) const {
  std::vector<uint32_t> expected(blocks, 0);
  for (const BlockTable* table : tables) {
    for (uint32_t i = 0; i < table->size(); ++i) {
      const BlockRef ref = (*table)[i];
      IC_CHECK(ref.on_device() || ref.on_host());
      if (ref.*tier != kNoBlock) ++expected[Index(ref.*tier)];
    }
  }
  return expected;
}

// What a table keeps of itself, counted anew.
void KvManager::CheckCounts(const BlockTable& table) const {
  uint32_t on_device = 0;
  uint32_t private_blocks = 0;
  for (uint32_t i = 0; i < table.size(); ++i) {
    on_device += table[i].on_device();
    private_blocks += IsPrivate(table, i);
    IC_CHECK((table[i].content != kNoContent) == (i < table.sealed_));
  }
  IC_CHECK(table.on_device_ == on_device && table.private_ == private_blocks);
  IC_CHECK(private_blocks == 0 || holders(table.hold_)[table.holder_index_] == &table);
}

void KvManager::CheckIntegrity(std::span<const BlockTable* const> tables) const {
  size_t listed = 0;
  for (const BlockTable* table : tables) {
    CheckCounts(*table);
    listed += table->private_ > 0;
  }
  for (const std::vector<BlockTable*>& holders : holders_) listed -= holders.size();
  IC_CHECK(listed == 0);
  std::vector<uint32_t> device = ExpectedReferences(tables, &BlockRef::device, device_.size());
  std::vector<uint32_t> host = ExpectedReferences(tables, &BlockRef::host, host_.size());
  for (BlockId block : leaving_device_) ++device[Index(block)];
  for (BlockId block : leaving_host_) ++host[Index(block)];
  for (BlockId block : arriving_device_) ++device[Index(block)];
  for (BlockId block : arriving_host_) ++host[Index(block)];
  uint32_t used = 0;
  uint32_t leaving = 0;
  for (uint32_t i = 0; i < device_.size(); ++i) {
    IC_CHECK(device_.references(BlockId{i}) == device[i]);
    used += device[i] > 0;
    leaving += device[i] == 1 && referrers_[i] == 0;
  }
  for (BlockId block : cache_.Unreferenced()) IC_CHECK(device[Index(block)] == 0);
  IC_CHECK(device_.free() + cache_.unreferenced() + used == device_.size());
  IC_CHECK(leaving_ == leaving);
  used = 0;
  for (uint32_t i = 0; i < host_.size(); ++i) {
    IC_CHECK(host_.references(BlockId{i}) == host[i]);
    used += host[i] > 0;
  }
  IC_CHECK(host_.free() + used == host_.size());
}

}  // namespace infercept
