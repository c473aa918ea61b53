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
  IC_CHECK(config.full_groups < config.groups && (config.groups == 1 || config.full_groups > 0));
  copying_device_.reserve(config.device_blocks);
  copying_host_.reserve(config.host_blocks);
  backings_.reserve(std::min(config.device_blocks, config.host_blocks));
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

void KvManager::PrefetchRelease(BlockId block) const {
  device_.Prefetch(block);
  cache_.Prefetch(block);
  __builtin_prefetch(&referrers_[Index(block)], /*write=*/1);
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
  if (table.backed_ > 0) UnlistBacked(table);
  table.hold_ = hold;
  if (table.private_ > 0) ListHolder(table);
  if (table.backed_ > 0) ListBacked(table);
}

BlockId KvManager::AllocateHost() {
  if (host_.free() == 0) {
    const auto tables =
        std::ranges::find_if(backed_, [](const auto& list) { return !list.empty(); });
    DropSpareCopies(*tables->front());
  }
  return host_.Allocate();
}

void KvManager::ReleaseHost(BlockId block) {
  if (host_.Release(block) == 0) host_.Free(block);
}

void KvManager::ListBacked(BlockTable& table) {
  std::vector<BlockTable*>& tables = backed_[static_cast<size_t>(table.hold_)];
  table.backed_index_ = static_cast<uint32_t>(tables.size());
  tables.push_back(&table);
  spare_[static_cast<size_t>(table.hold_)] += table.backed_;
}

void KvManager::UnlistBacked(BlockTable& table) {
  std::vector<BlockTable*>& tables = backed_[static_cast<size_t>(table.hold_)];
  tables.back()->backed_index_ = table.backed_index_;
  tables[table.backed_index_] = tables.back();
  tables.pop_back();
  spare_[static_cast<size_t>(table.hold_)] -= table.backed_;
}

void KvManager::CountBacked(BlockTable& table) {
  if (table.backed_ == 0) ListBacked(table);
  ++table.backed_;
  ++spare_[static_cast<size_t>(table.hold_)];
}

void KvManager::UncountBacked(BlockTable& table) {
  --table.backed_;
  --spare_[static_cast<size_t>(table.hold_)];
  if (table.backed_ == 0) UnlistBacked(table);
}

// All of a table at once: looking for them costs as much as its entries.
void KvManager::DropSpareCopies(BlockTable& table) {
  for (uint32_t i = 0; i < table.size() && table.backed_ > 0; ++i) {
    if (!IsBacked(table, i)) continue;
    ReleaseHost(std::exchange(table.other_[i].host, kNoBlock));
    UncountBacked(table);
  }
}

void KvManager::Append(BlockTable& table, BlockId device, const BlockTable::Other& other) {
  device_entries_.Append(table.device_, device);
  other_entries_.Append(table.other_, other);
  table.on_device_ += device != kNoBlock;
}

// The window of a chunk's first token and the chunk itself lie in so many rows at most.
uint64_t KvManager::MostWindowRows() const {
  const uint64_t tokens = uint64_t{config_.window_tokens} - 1 + config_.chunk_tokens;
  return DivCeil(tokens, uint64_t{config_.block_tokens}) + 1;
}

uint32_t KvManager::TokensHeldMax() const {
  const uint64_t pool = config_.device_blocks;
  uint64_t rows = pool / config_.groups;
  if (config_.window_tokens > 0 && rows >= MostWindowRows()) {
    if (config_.full_groups == 0) return UINT32_MAX;
    rows = (pool - MostWindowRows() * sliding_groups()) / config_.full_groups;
  }
  return static_cast<uint32_t>(std::min<uint64_t>(rows * config_.block_tokens, UINT32_MAX));
}

uint32_t KvManager::AttachPrefix(BlockTable& table, std::span<const TokenId> tokens,
                                 uint32_t computed) {
  const uint32_t size = config_.block_tokens;
  IC_CHECK(computed == Rows(table) * size);
  if (!config_.prefix_cache || table.sealed_ < Rows(table)) return computed;
  if (config_.window_tokens > 0 && table.empty()) return FindWindow(table, tokens) * size;
  while (computed + size < tokens.size()) {
    // Going further would release blocks, and could not be undone.
    if (ReleasedFor(computed + size) > table.released_) break;
    const uint32_t first = table.size();
    const RowHits hits = AppendFound(table, tokens, nullptr);
    if (!hits.prefix || !hits.window) {
      Truncate(table, first);
      break;
    }
    AttachFound(table, first);
    ++table.sealed_;
    computed += size;
  }
  return computed;
}

// Appends a row with what the cache knows of it, or the table did, but without blocks.
KvManager::RowHits KvManager::AppendFound(BlockTable& table, std::span<const TokenId> tokens,
                                          const BlockTable::Known* known) {
  const uint32_t row = Rows(table);
  const auto row_tokens = TokensOf(tokens, row);
  const BlockTable::Other before =
      row == 0 ? BlockTable::Other{} : table.other_[size_t{row - 1} * config_.groups];
  const PrefixKey key = known ? known->key : PrefixCache::KeyOf(before.key, row_tokens);
  ContentId beside = kNoContent;
  RowHits hits;
  for (uint32_t group = 0; group < config_.groups; ++group) {
    BlockTable::Other entry{kNoBlock, KeyOf(group, key), kNoContent};
    const ContentId parent = ParentOf(group, before.content, beside);
    entry.content = known ? known->content : cache_.Find(parent, entry.key, row_tokens).content;
    if (group == 0) beside = entry.content;
    const bool known_there = entry.content != kNoContent;
    const bool there = known_there && cache_.FindContent(entry.content) != kNoBlock;
    // The chain of contents goes through the first group, whether its blocks are there or not.
    hits.prefix &= group < config_.full_groups ? there : group > 0 || known_there;
    hits.window &= group < config_.full_groups || there;
    Append(table, kNoBlock, entry);
  }
  return hits;
}

// The blocks of found rows, from entry `first` on, but those that are released.
void KvManager::AttachFound(BlockTable& table, uint32_t first) {
  for (uint32_t i = first; i < table.size(); ++i) {
    if (IsReleased(table, i)) continue;
    AddCached(table.device_[i] = cache_.FindContent(table.other_[i].content), &table);
    ++table.on_device_;
  }
}

// Fills an empty table with the longest prefix of which the cache has the window, and of full
// groups all; blocks of the others before it may be gone. Without full groups, of those that the
// table had before it is known what they hold, of others as far as the cache has all before them.
// Returns how many rows that is.
uint32_t KvManager::FindWindow(BlockTable& table, std::span<const TokenId> tokens) {
  uint32_t usable = 0;
  uint32_t found = 0;  // consecutive rows up to here of whose windows the cache has all
  uint32_t row = 0;
  for (; (row + 1) * config_.block_tokens < tokens.size(); ++row) {
    const bool known = table.known_ && row < table.known_->size();
    const RowHits hits = AppendFound(table, tokens, known ? &(*table.known_)[row] : nullptr);
    if (!hits.prefix) break;
    found = hits.window ? found + 1 : 0;
    if (FirstVisibleRow((row + 1) * config_.block_tokens) + found > row) usable = row + 1;
  }
  table.sealed_ = row;
  table.released_ = row * sliding_groups();
  Truncate(table, usable * config_.groups);
  table.released_ = ReleasedFor(usable * config_.block_tokens);
  AttachFound(table, FirstLive(table));
  return usable;
}

uint32_t KvManager::BlocksWanted(const BlockTable& table, uint32_t computed,
                                 uint32_t tokens) const {
  const uint32_t held = Rows(table);
  const uint32_t rows = std::max(RowsFor(tokens), held);
  if (config_.window_tokens == 0) return rows * config_.groups - table.on_device_;
  const uint64_t most = FirstVisibleRow(computed) + MostWindowRows();
  const auto sliding = std::max(static_cast<uint32_t>(std::min<uint64_t>(rows, most)), held);
  return rows * config_.full_groups + sliding * sliding_groups() - table.released_ -
         table.on_device_;
}

uint32_t KvManager::ExtendCost(const BlockTable& table, uint32_t computed, uint32_t tokens) const {
  const uint32_t held = table.size();
  const uint32_t wanted = BlocksFor(tokens);
  return (wanted > held ? wanted - held : 0) + CopyCost(table, computed);
}

uint32_t KvManager::CopyCost(const BlockTable& table, uint32_t computed) const {
  if (!table.forked_) return 0;
  const uint32_t first = FirstWritten(computed);
  uint32_t shared = 0;
  for (uint32_t i = first; i < table.size() && i < first + config_.groups; ++i) {
    const BlockId block = table.device_[i];
    shared += block != kNoBlock && device_.references(block) > 1;
  }
  return shared;
}

bool KvManager::IsLastRowBacked(const BlockTable& table) const {
  for (uint32_t i = table.size() - config_.groups; i < table.size(); ++i) {
    if (IsBacked(table, i)) return true;
  }
  return false;
}

void KvManager::Extend(BlockTable& table, uint32_t computed, uint32_t tokens,
                       std::vector<BlockCopy>& copies) {
  IC_DCHECK(ExtendCost(table, computed, tokens) <= available());
  const uint32_t first = FirstWritten(computed);
  for (uint32_t i = first; i < table.size() && i < first + config_.groups; ++i) {
    MakeWritable(table, i, copies);
  }
  table.forked_ = false;
  const uint32_t wanted = BlocksFor(tokens);
  while (table.size() < wanted) Append(table, AllocateDevice(&table), {});
}

void KvManager::MakeWritable(BlockTable& table, uint32_t index, std::vector<BlockCopy>& copies) {
  if (table.backed_ > 0 && IsBacked(table, index)) {
    ReleaseHost(std::exchange(table.other_[index].host, kNoBlock));
    UncountBacked(table);
  }
  BlockId& shared = table.device_[index];
  if (!table.forked_ || shared == kNoBlock || device_.references(shared) == 1) return;
  IC_CHECK(index / config_.groups >= table.sealed_);
  const BlockId copy = AllocateDevice(&table);
  copies.push_back({shared, copy});
  // Others never write below their own computed count; should they let go, the source stays until
  // it is copied.
  AddReference(shared, nullptr);
  copying_device_.push_back(shared);
  ReleaseDevice(std::exchange(shared, copy), &table);
}

void KvManager::PrepareBlocks(BlockTable& table, std::span<const TokenId> tokens,
                              uint32_t computed) const {
  const uint32_t groups = config_.groups;
  const uint32_t full = computed / config_.block_tokens;
  PrefixKey key =
      table.sealed_ == 0 ? kNoKey : table.other_[size_t{table.sealed_ - 1} * groups].key;
  for (uint32_t row = table.sealed_; row < full; ++row) {
    key = PrefixCache::KeyOf(key, TokensOf(tokens, row));
    for (uint32_t group = 0; group < groups; ++group) {
      const size_t i = size_t{row} * groups + group;
      table.other_[i].key = KeyOf(group, key);
      cache_.Prefetch(table.other_[i].key, table.device_[i]);
    }
  }
}

void KvManager::SealBlocks(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed) {
  const uint32_t groups = config_.groups;
  const uint32_t full = computed / config_.block_tokens;
  if (table.other_[size_t{full - 1} * groups].key == kNoKey) PrepareBlocks(table, tokens, computed);
  ContentId before =
      table.sealed_ == 0 ? kNoContent : table.other_[size_t{table.sealed_ - 1} * groups].content;
  for (uint32_t row = table.sealed_; row < full; ++row) {
    const auto row_tokens = TokensOf(tokens, row);
    before = SealBlock(table, row * groups, before, row_tokens);
    for (uint32_t group = 1; group < groups; ++group) {
      SealBlock(table, row * groups + group, ParentOf(group, kNoContent, before), row_tokens);
    }
  }
  table.sealed_ = full;
}

ContentId KvManager::SealBlock(BlockTable& table, uint32_t index, ContentId parent,
                               std::span<const TokenId> tokens) {
  BlockTable::Other& other = table.other_[index];
  const PrefixCache::Hit hit = cache_.Find(parent, other.key, tokens);
  if (hit.found()) {
    // Computed twice at the same time: keep one. Batch invariance makes the two bit-identical.
    AddCached(hit.block, &table);
    ReleaseDevice(std::exchange(table.device_[index], hit.block), &table);
    other.content = hit.content;
  } else {
    other.content = cache_.Insert(parent, other.key, tokens, table.device_[index]);
  }
  return other.content;
}

// The copies that an entry has.
void KvManager::ReleaseEntry(BlockTable& table, uint32_t index) {
  const BlockRef ref = table[index];
  if (ref.on_device() && ref.on_host()) UncountBacked(table);
  if (ref.on_device()) ReleaseDevice(ref.device, &table);
  if (ref.on_host()) ReleaseHost(ref.host);
  table.on_device_ -= ref.on_device();
  table.device_[index] = table.other_[index].host = kNoBlock;
}

// All before row `first`, of the groups with a window.
void KvManager::ReleaseRows(BlockTable& table, uint32_t first) {
  IC_CHECK(first <= Rows(table));
  for (uint32_t row = ReleasedRows(table); row < first; ++row) {
    for (uint32_t group = config_.full_groups; group < config_.groups; ++group) {
      ReleaseEntry(table, row * config_.groups + group);
      ++table.released_;
    }
  }
}

void KvManager::Remember(BlockTable& table) const {
  if (!table.known_) table.known_ = std::make_unique<std::vector<BlockTable::Known>>();
  std::vector<BlockTable::Known>& known = *table.known_;
  if (known.size() < table.sealed_) known.resize(table.sealed_);
  for (uint32_t i = 0; i < table.sealed_; ++i) {
    known[i] = {table.other_[i].key, table.other_[i].content};
  }
}

void KvManager::Truncate(BlockTable& table, uint32_t first) {
  const uint32_t rows = first / config_.groups;
  IC_DCHECK(first == rows * config_.groups);
  for (uint32_t i = first; i < table.size(); ++i) Prefetch(table, i);
  // Where there are full groups, those that need a window find all before it, too.
  if (table.released_ > 0 && rows < table.sealed_ && config_.full_groups == 0) Remember(table);
  // From the end, so that the cache evicts suffixes before the prefixes they need.
  while (table.size() > first) {
    ReleaseEntry(table, table.size() - 1);
    table.device_.pop_back();
    table.other_.pop_back();
  }
  table.sealed_ = std::min(table.sealed_, rows);
  table.released_ = std::min(table.released_, rows * sliding_groups());
  if (first > 0) return;
  device_entries_.Give(std::move(table.device_));
  other_entries_.Give(std::move(table.other_));
}

// Until CompleteCopies.
void KvManager::HoldForCopy(BlockId device, BlockTable& table) {
  if (device_.references(device) == 1) UncountPrivate(device, &table);
  device_.AddReference(device);
  copying_device_.push_back(device);
}

bool KvManager::SwapOut(BlockTable& table, uint32_t index, std::vector<BlockCopy>& swap_out) {
  IC_CHECK(IsPrivate(table, index));
  const bool copy = !IsBacked(table, index);
  const BlockId device = table.device_[index];
  if (copy) {
    const BlockId host = AllocateHost();
    host_.AddReference(host);
    table.other_[index].host = host;
    HoldForCopy(device, table);
    copying_host_.push_back(host);
    swap_out.push_back({device, host});
  } else {
    UncountBacked(table);
  }
  table.device_[index] = kNoBlock;
  --table.on_device_;
  ReleaseDevice(device, &table);
  return copy;
}

void KvManager::CopyAhead(BlockTable& table, uint32_t index, std::vector<BlockCopy>& swap_out) {
  IC_CHECK(IsPrivate(table, index) && !IsBacked(table, index));
  const BlockId device = table.device_[index];
  const BlockId host = AllocateHost();
  HoldForCopy(device, table);
  backings_.push_back({&table, index, device, host});
  swap_out.push_back({device, host});
}

void KvManager::Reattach(BlockTable& table, uint32_t computed) {
  for (uint32_t i = FirstLive(table); i < table.size() && table.missing() > 0; ++i) {
    BlockTable::Other& other = table.other_[i];
    if (!IsMissing(table, i) || other.content == kNoContent) continue;
    const BlockId cached = cache_.FindContent(other.content);
    if (cached == kNoBlock) continue;
    AddCached(cached, &table);
    table.device_[i] = cached;
    ++table.on_device_;
    if (IsFull(i, computed) && host_.references(other.host) == 1) {
      CountBacked(table);
    } else {
      ReleaseHost(std::exchange(other.host, kNoBlock));
    }
  }
}

void KvManager::SwapIn(BlockTable& table, uint32_t index, bool keep,
                       std::vector<BlockCopy>& swap_in) {
  const BlockRef ref = table[index];
  IC_CHECK(ref.on_host() && !ref.on_device());
  const BlockId device = AllocateDevice(&table);
  HoldForCopy(device, table);
  table.device_[index] = device;
  table.other_[index].host = kNoBlock;
  ++table.on_device_;
  swap_in.push_back({ref.host, device});
  if (keep && host_.references(ref.host) == 1) {
    backings_.push_back({&table, index, device, ref.host});
  } else {
    copying_host_.push_back(ref.host);
  }
}

// Unless the table gave the block up meanwhile.
void KvManager::CompleteBacking(const Backing& backing) {
  BlockTable& table = *backing.table;
  if (backing.index < table.size() && table.device_[backing.index] == backing.device) {
    table.other_[backing.index].host = backing.host;
    CountBacked(table);
  } else {
    ReleaseHost(backing.host);
  }
}

void KvManager::CompleteCopies() {
  for (BlockId block : copying_device_) PrefetchRelease(block);
  for (const Backing& backing : backings_) CompleteBacking(backing);
  for (BlockId block : copying_device_) ReleaseDevice(block, nullptr);
  for (BlockId block : copying_host_) ReleaseHost(block);
  copying_device_.clear();
  copying_host_.clear();
  backings_.clear();
}

void KvManager::Share(BlockTable& parent, BlockTable& child) {
  IC_CHECK(child.empty());
  DropSpareCopies(parent);
  device_entries_.Grow(child.device_, parent.size());
  other_entries_.Grow(child.other_, parent.size());
  for (uint32_t i = 0; i < parent.size(); ++i) {
    const BlockRef ref = parent[i];
    IC_CHECK(ref.on_device() || ref.on_host() || IsReleased(parent, i));
    if (ref.on_device()) AddReference(ref.device, &child);
    if (ref.on_host()) host_.AddReference(ref.host);
    Append(child, ref.device, parent.other_[i]);
  }
  child.sealed_ = parent.sealed_;
  child.released_ = parent.released_;
  if (parent.known_)
    child.known_ = std::make_unique<std::vector<BlockTable::Known>>(*parent.known_);
  parent.forked_ = child.forked_ = true;
}

std::vector<uint32_t> KvManager::ExpectedReferences(std::span<const BlockTable* const> tables,
                                                    BlockId BlockRef::*tier,
                                                    uint32_t blocks) const {
  std::vector<uint32_t> expected(blocks, 0);
  for (const BlockTable* table : tables) {
    for (uint32_t i = 0; i < table->size(); ++i) {
      const BlockRef ref = (*table)[i];
      IC_CHECK((ref.on_device() || ref.on_host()) != IsReleased(*table, i));
      if (ref.*tier != kNoBlock) ++expected[Index(ref.*tier)];
    }
  }
  return expected;
}

// What a table keeps of itself, counted anew.
void KvManager::CheckCounts(const BlockTable& table) const {
  uint32_t on_device = 0;
  uint32_t private_blocks = 0;
  uint32_t backed = 0;
  for (uint32_t i = 0; i < table.size(); ++i) {
    on_device += table[i].on_device();
    private_blocks += IsPrivate(table, i);
    backed += IsBacked(table, i);
    IC_CHECK(!IsBacked(table, i) || host_.references(table[i].host) == 1);
    const bool sealed = i / config_.groups < table.sealed_;
    // What was released before a prefix was found need not be known.
    const bool unknown = config_.full_groups > 0 && IsReleased(table, i);
    IC_CHECK((table[i].content != kNoContent) == sealed || (sealed && unknown));
  }
  IC_CHECK(table.on_device_ == on_device && table.private_ == private_blocks);
  IC_CHECK(private_blocks == 0 || holders(table.hold_)[table.holder_index_] == &table);
  IC_CHECK(table.backed_ == backed);
  IC_CHECK(backed == 0 || backed_[static_cast<size_t>(table.hold_)][table.backed_index_] == &table);
}

void KvManager::CheckIntegrity(std::span<const BlockTable* const> tables) const {
  size_t listed = 0;
  size_t backed = 0;
  std::array<uint32_t, kHolds> spare{};
  for (const BlockTable* table : tables) {
    CheckCounts(*table);
    listed += table->private_ > 0;
    backed += table->backed_ > 0;
    spare[static_cast<size_t>(table->hold_)] += table->backed_;
  }
  for (const std::vector<BlockTable*>& holders : holders_) listed -= holders.size();
  IC_CHECK(listed == 0);
  for (const std::vector<BlockTable*>& with_spare : backed_) backed -= with_spare.size();
  IC_CHECK(backed == 0 && spare_ == spare);
  std::vector<uint32_t> device = ExpectedReferences(tables, &BlockRef::device, device_.size());
  std::vector<uint32_t> host = ExpectedReferences(tables, &BlockRef::host, host_.size());
  for (BlockId block : copying_device_) ++device[Index(block)];
  for (BlockId block : copying_host_) ++host[Index(block)];
  for (const Backing& backing : backings_) ++host[Index(backing.host)];
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
