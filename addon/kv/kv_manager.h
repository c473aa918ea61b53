// Which block belongs to whom, over both tiers. Integers only: the bytes are in device/kv_storage.
//
// Copies are planned now and done by the executor. Until CompleteCopies the blocks at both ends of
// a copy stay allocated, so that none is reused before its copy is complete.
//
// A block may be in both tiers: copied out ahead of time, or back from the host. Its copy on the
// host is spare: it makes giving up the block free, and is overwritten when host memory runs out.
//
// With a window, a table of `computed` tokens has released exactly the blocks of its sliding groups
// in its first FirstVisibleRow(computed) rows. Released ones stay findable like discarded ones.
// What is left of a window of which a part is gone is of no use: it is given up as a whole
// (UsableRows), and AttachPrefix finds again what is still there.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/vector_pool.h"
#include "kv/block_pool.h"
#include "kv/block_table.h"
#include "kv/prefix_cache.h"

namespace infercept {

// The first row of blocks that the token at this position, or one after it, sees through a window
// of so many tokens; of 0: there is none.
inline uint32_t FirstVisibleRow(uint32_t position, uint32_t window_tokens, uint32_t block_tokens) {
  if (window_tokens == 0 || position < window_tokens) return 0;
  return (position + 1 - window_tokens) / block_tokens;
}

struct KvConfig {
  uint32_t device_blocks = 0;
  uint32_t host_blocks = 0;  // 0: the host tier does not exist
  uint32_t block_tokens = 16;
  size_t block_bytes = 1;  // for accounting
  bool prefix_cache = true;
  // A block has the layers of one group, so that a context takes a row of blocks, one of each
  // group, for block_tokens tokens (device/layer_groups.h).
  uint32_t groups = 1;
  // The first groups, whose layers see everything. With more than one group there is one such.
  uint32_t full_groups = 0;
  // The longest window of the layers of the other groups (AttentionRules::window_tokens); 0: all
  // positions are kept.
  uint32_t window_tokens = 0;
  // Most tokens of a sequence in a step; read only with a window.
  uint32_t chunk_tokens = 512;
};

class KvManager {
 public:
  explicit KvManager(const KvConfig& config);

  const KvConfig& config() const { return config_; }
  // Of all groups.
  uint32_t BlocksFor(uint32_t tokens) const { return RowsFor(tokens) * config_.groups; }
  uint32_t RowsFor(uint32_t tokens) const { return DivCeil(tokens, config_.block_tokens); }
  // Tokens whose keys and values of all layers take as much memory as so many blocks.
  uint64_t TokensIn(uint64_t blocks) const {
    return blocks * config_.block_tokens / config_.groups;
  }
  uint32_t FirstVisibleRow(uint32_t position) const {
    return infercept::FirstVisibleRow(position, config_.window_tokens, config_.block_tokens);
  }
  // What a table of so many computed tokens has released.
  uint32_t ReleasedFor(uint32_t computed) const {
    return FirstVisibleRow(computed) * sliding_groups();
  }
  // No entry before it has a copy.
  uint32_t FirstLive(const BlockTable& table) const {
    return config_.full_groups > 0 ? 0 : table.released_;
  }
  // Most tokens of a sequence for which the pool has blocks; UINT32_MAX: it has for any.
  uint32_t TokensHeldMax() const;
  // Device blocks beyond those on the device that a table of `computed` tokens takes until it has
  // `tokens`; a copy of a shared one not counted. With a window: at any one time, in chunks.
  uint32_t BlocksWanted(const BlockTable& table, uint32_t computed, uint32_t tokens) const;

  // Device blocks that Extend can get: free ones, and cached ones that nobody references.
  uint32_t available() const { return device_.free() + cache_.unreferenced(); }
  // Device blocks that will be available when the planned copies are complete. A block that is
  // copied out may have been found in the cache meanwhile: that one stays.
  uint32_t leaving() const { return leaving_; }
  uint32_t cached() const { return cache_.unreferenced(); }
  uint32_t device_free() const { return device_.free(); }
  uint32_t host_free() const { return host_.free(); }
  // Host blocks that SwapOut can get: free ones, and spare copies.
  uint32_t host_available() const { return host_.free() + host_spare(); }
  // Host blocks that CopyAhead can get: free ones, and spare copies of what is held firmly.
  uint32_t host_available_ahead() const { return host_.free() + backed(Hold::kFirm); }
  // Backed blocks of tables with this hold.
  uint32_t backed(Hold hold) const { return spare_[static_cast<size_t>(hold)]; }

  // Appends cached blocks to a table that covers exactly `computed` (full blocks) tokens, as far as
  // `tokens` is found and one token is left to compute. Returns how many tokens the table then
  // covers. Truncate undoes it.
  uint32_t AttachPrefix(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed);

  // Device blocks that Extend would take.
  uint32_t ExtendCost(const BlockTable& table, uint32_t computed, uint32_t tokens) const;
  // Of them, those of the row that position `computed` stands in that have to be copied before they
  // are written.
  uint32_t CopyCost(const BlockTable& table, uint32_t computed) const;
  // Makes positions [computed, tokens) writable: appends rows, and copies what is shared of the
  // last one (adds to `copies`). REQUIRES: ExtendCost <= available(), [0, computed) on the device.
  void Extend(BlockTable& table, uint32_t computed, uint32_t tokens,
              std::vector<BlockCopy>& copies);
  // True: positions [computed, tokens) can be written as the table is, Extend has nothing to do.
  bool IsWritable(const BlockTable& table, uint32_t computed, uint32_t tokens) const {
    // Both sides times groups: a division would cost more than the rest.
    const uint64_t end = uint64_t{table.size()} * config_.block_tokens;
    return (uint64_t{computed} + config_.block_tokens) * config_.groups >= end &&
           uint64_t{tokens} * config_.groups <= end && !table.forked_ &&
           (table.backed_ == 0 || !IsLastRowBacked(table));
  }

  // Blocks up to `computed` tokens are full for good: makes them findable, and shares them where
  // the same content is on the device already.
  void Seal(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed) {
    if (HasFullBlock(table, computed)) SealBlocks(table, tokens, computed);
  }
  // Seal of the same comes soon: begins to fetch what it will look at.
  void PrepareSeal(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed) const {
    if (HasFullBlock(table, computed)) PrepareBlocks(table, tokens, computed);
  }

  // Gives up all blocks from `first` on, where a row begins; sealed ones stay findable on the
  // device until evicted.
  void Truncate(BlockTable& table, uint32_t first);
  // Of the first `rows` rows of a table, how many one can go on from: all or none.
  uint32_t UsableRows(const BlockTable& table, uint32_t rows) const {
    return ReleasedFor(rows * config_.block_tokens) < table.released_ ? 0 : rows;
  }
  // Other tokens than before will follow after the first `rows` rows.
  void Forget(BlockTable& table, uint32_t rows) const {
    if (table.known_ && table.known_->size() > rows) table.known_->resize(rows);
  }
  // `computed` tokens are valid: gives up the blocks that nobody sees any more.
  void Release(BlockTable& table, uint32_t computed) {
    if (config_.window_tokens > 0) ReleaseRows(table, FirstVisibleRow(computed));
  }

  // True if giving up the device copy of this block makes memory available: nobody else references
  // it.
  bool IsPrivate(const BlockTable& table, uint32_t index) const {
    const BlockId block = table.device_[index];
    return block != kNoBlock && device_.references(block) == 1;
  }
  // True if the block is on the device and a copy of it on the host is complete.
  bool IsBacked(const BlockTable& table, uint32_t index) const {
    return table.device_[index] != kNoBlock && table.other_[index].host != kNoBlock;
  }
  // True if the block is on the host only.
  bool IsMissing(const BlockTable& table, uint32_t index) const {
    return table.device_[index] == kNoBlock && table.other_[index].host != kNoBlock;
  }
  // True if all positions of the block are below `computed`.
  bool IsFull(uint32_t index, uint32_t computed) const {
    return (index / config_.groups + 1) * config_.block_tokens <= computed;
  }
  // This block will be moved soon, if there is one.
  void Prefetch(const BlockTable& table, uint32_t index) const {
    if (index >= table.size()) return;
    if (table.device_[index] != kNoBlock) PrefetchRelease(table.device_[index]);
    if (table.other_[index].host != kNoBlock) host_.Prefetch(table.other_[index].host);
  }
  // Moves a private block to the host: by a copy, or at once if it is backed. Returns true if a
  // copy was planned. REQUIRES: IsPrivate, and IsBacked or host_available() > 0.
  bool SwapOut(BlockTable& table, uint32_t index, std::vector<BlockCopy>& swap_out);
  // Plans to copy a private block to the host while it stays. REQUIRES: IsPrivate, not IsBacked,
  // host_available_ahead() > 0. The copy is dropped when the block is written.
  void CopyAhead(BlockTable& table, uint32_t index, std::vector<BlockCopy>& swap_out);
  // Brings back without a copy what is on the host only and whose content is still on the device.
  // `computed` tokens of the table are valid.
  void Reattach(BlockTable& table, uint32_t computed);
  // Plans to copy a block back. `keep`: nobody will write it, so that its copy on the host stays as
  // a spare one. REQUIRES: on the host only, available() > 0.
  void SwapIn(BlockTable& table, uint32_t index, bool keep, std::vector<BlockCopy>& swap_in);

  void SetHold(BlockTable& table, Hold hold);
  // Tables with this hold that have private blocks, in no particular order.
  const std::vector<BlockTable*>& holders(Hold hold) const {
    return holders_[static_cast<size_t>(hold)];
  }
  // Grows whenever a table that is not held firmly has more or fewer private blocks by what
  // happened to another one.
  uint64_t sharing_changes() const { return sharing_changes_; }

  // The copies of the last plan are done (or will never be: then the engine has failed).
  void CompleteCopies();

  // Makes `child` reference every block of `parent`, wherever it is. REQUIRES: child.empty().
  void Share(BlockTable& parent, BlockTable& child);

  // Every block is free, cached or referenced exactly as often as the tables (all that exist) say;
  // throws InternalError.
  void CheckIntegrity(std::span<const BlockTable* const> tables) const;

 private:
  struct Backing {
    BlockTable* table;
    uint32_t index;
    BlockId device;
    BlockId host;
  };

  // What the cache has of a row.
  struct RowHits {
    bool prefix = true;  // what a context needs of all of its rows
    bool window = true;  // what it needs, besides, of those in its window
  };

  uint32_t sliding_groups() const { return config_.groups - config_.full_groups; }
  uint32_t Rows(const BlockTable& table) const { return table.size() / config_.groups; }
  uint32_t ReleasedRows(const BlockTable& table) const {
    return table.released_ / sliding_groups();
  }
  bool IsReleased(const BlockTable& table, uint32_t index) const {
    return index / config_.groups < ReleasedRows(table) &&
           index % config_.groups >= config_.full_groups;
  }
  uint64_t MostWindowRows() const;
  // The entries that position `computed` is written to begin here.
  uint32_t FirstWritten(uint32_t computed) const {
    return computed / config_.block_tokens * config_.groups;
  }
  bool IsLastRowBacked(const BlockTable& table) const;
  // What the content of the group's block is found by: the content before it in the first group's
  // chain, or the one beside it.
  static ContentId ParentOf(uint32_t group, ContentId before, ContentId beside) {
    // No content of a chain is so large.
    return group == 0 ? before : ~beside;
  }
  static PrefixKey KeyOf(uint32_t group, PrefixKey row) { return row ^ group; }

  // One that is not sealed yet.
  bool HasFullBlock(const BlockTable& table, uint32_t computed) const {
    return computed >= (table.sealed_ + 1) * config_.block_tokens && config_.prefix_cache;
  }
  void SealBlocks(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed);
  void PrepareBlocks(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed) const;
  std::span<const TokenId> TokensOf(std::span<const TokenId> tokens, uint32_t index) const {
    return tokens.subspan(size_t{index} * config_.block_tokens, config_.block_tokens);
  }

  // In all of these `table` is the one that begins or ceases to refer to the block; nullptr: a copy
  // under way.
  BlockId AllocateDevice(BlockTable* table);
  void AddReference(BlockId block, BlockTable* table);
  void AddCached(BlockId block, BlockTable* table);
  void ReleaseDevice(BlockId block, BlockTable* table);
  // Begins to fetch what ReleaseDevice and AddReference look at.
  void PrefetchRelease(BlockId block) const;
  void ChangeReferrer(BlockId block, const BlockTable* table);
  void CountPrivate(BlockId block, const BlockTable* table);
  void UncountPrivate(BlockId block, const BlockTable* table);
  BlockId AllocateHost();
  void ReleaseHost(BlockId block);
  void HoldForCopy(BlockId device, BlockTable& table);
  void ListBacked(BlockTable& table);
  void UnlistBacked(BlockTable& table);
  void CountBacked(BlockTable& table);
  void UncountBacked(BlockTable& table);
  void DropSpareCopies(BlockTable& table);
  void CompleteBacking(const Backing& backing);
  uint32_t host_spare() const { return std::accumulate(spare_.begin(), spare_.end(), 0u); }
  void Append(BlockTable& table, BlockId device, const BlockTable::Other& other);
  void MakeWritable(BlockTable& table, uint32_t index, std::vector<BlockCopy>& copies);
  ContentId SealBlock(BlockTable& table, uint32_t index, ContentId parent,
                      std::span<const TokenId> tokens);
  void ReleaseEntry(BlockTable& table, uint32_t index);
  void ReleaseRows(BlockTable& table, uint32_t first);
  void Remember(BlockTable& table) const;
  RowHits AppendFound(BlockTable& table, std::span<const TokenId> tokens,
                      const BlockTable::Known* known);
  void AttachFound(BlockTable& table, uint32_t first);
  uint32_t FindWindow(BlockTable& table, std::span<const TokenId> tokens);
  void ListHolder(BlockTable& table);
  void UnlistHolder(BlockTable& table);
  std::vector<uint32_t> ExpectedReferences(std::span<const BlockTable* const> tables,
                                           BlockId BlockRef::*tier, uint32_t blocks) const;
  void CheckCounts(const BlockTable& table) const;

  const KvConfig config_;
  BlockPool device_;
  BlockPool host_;
  PrefixCache cache_;
  // By device block: the addresses of all tables that refer to it, combined by exclusive or. Where
  // there is one reference, that is the table whose private block it is.
  std::vector<uintptr_t> referrers_;
  std::array<std::vector<BlockTable*>, kHolds> holders_;  // Entries have private blocks.
  uint64_t sharing_changes_ = 0;
  uint32_t leaving_ = 0;  // Blocks whose only reference is that of a copy under way.
  VectorPool<BlockId> device_entries_;
  VectorPool<BlockTable::Other> other_entries_;
  // Tables with spare copies, by hold: those held firmly lose them first. A spare copy has one
  // reference: that of its table.
  std::array<std::vector<BlockTable*>, kHolds> backed_;
  std::array<uint32_t, kHolds> spare_{};  // Sums of BlockTable::backed().
  // Both ends of planned copies: one reference each beyond those of tables.
  std::vector<BlockId> copying_device_;
  std::vector<BlockId> copying_host_;
  // Of entries without a host block yet: theirs when the planned copies are complete.
  std::vector<Backing> backings_;
};

}  // namespace infercept
