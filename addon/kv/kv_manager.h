// Which block belongs to whom, over both tiers. Integers only: the bytes are in device/kv_storage.
//
// Copies are planned now and done by the executor. Until CompleteCopies the blocks at both ends of
// a copy stay allocated, so that none is reused before its copy is complete.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/block_pool.h"
#include "kv/block_table.h"
#include "kv/prefix_cache.h"

namespace infercept {

struct KvConfig {
  uint32_t device_blocks = 0;
  uint32_t host_blocks = 0;  // 0: the host tier does not exist
  uint32_t block_tokens = 16;
  size_t block_bytes = 1;  // for accounting
  bool prefix_cache = true;
};

class KvManager {
 public:
  explicit KvManager(const KvConfig& config);

  const KvConfig& config() const { return config_; }
  uint32_t BlocksFor(uint32_t tokens) const { return DivCeil(tokens, config_.block_tokens); }

  // Device blocks that Extend can get: free ones, and cached ones that nobody references.
  uint32_t available() const { return device_.free() + cache_.unreferenced(); }
  // Device blocks that will be available when the planned copies are complete. A block that is
  // copied out may have been found in the cache meanwhile: that one stays.
  uint32_t leaving() const;
  uint32_t cached() const { return cache_.unreferenced(); }
  uint32_t device_free() const { return device_.free(); }
  uint32_t host_free() const { return host_.free(); }

  // Appends cached blocks to a table that covers exactly `computed` (full blocks) tokens, as far as
  // `tokens` is found and one token is left to compute. Returns how many tokens the table then
  // covers.
  uint32_t AttachPrefix(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed);

  // Device blocks that Extend would take.
  uint32_t ExtendCost(const BlockTable& table, uint32_t computed, uint32_t tokens) const;
  // Makes positions [computed, tokens) writable: appends blocks, and copies the last one if it is
  // shared (adds to `copies`). REQUIRES: ExtendCost <= available(), [0, computed) on the device.
  void Extend(BlockTable& table, uint32_t computed, uint32_t tokens,
              std::vector<BlockCopy>& copies);

  // Blocks up to `computed` tokens are full for good: makes them findable, and shares them where
  // the same content is on the device already.
  void Seal(BlockTable& table, std::span<const TokenId> tokens, uint32_t computed);

  // Gives up all blocks from `first` on; sealed ones stay findable on the device until evicted.
  void Truncate(BlockTable& table, uint32_t first);

  // True if giving up the device copy of this block makes memory available: nobody else references
  // it.
  bool IsPrivate(const BlockRef& ref) const {
    return ref.on_device() && device_.references(ref.device) == 1;
  }
  // Plans to move a private block to the host. REQUIRES: IsPrivate, host_free() > 0.
  void SwapOut(BlockRef& ref, std::vector<BlockCopy>& swap_out);
  // Brings a block back: by a copy, or without one if its content is still on the device. Returns
  // true if a copy was planned. REQUIRES: on the host only, available() > 0.
  bool SwapIn(BlockRef& ref, std::vector<BlockCopy>& swap_in);

  // The copies of the last plan are done (or will never be: then the engine has failed).
  void CompleteCopies();

  // A second table that references every block of `parent`, wherever it is.
  BlockTable Share(const BlockTable& parent);

  // Every block is free, cached or referenced exactly as often as the tables (all that exist) say;
  // throws InternalError.
  void CheckIntegrity(std::span<const BlockTable* const> tables) const;

 private:
  BlockId AllocateDevice();
  void ReleaseDevice(BlockId block);
  void ReleaseHost(BlockId block);
  std::vector<uint32_t> ExpectedReferences(std::span<const BlockTable* const> tables,
                                           BlockId BlockRef::*tier, uint32_t blocks) const;

  const KvConfig config_;
  BlockPool device_;
  BlockPool host_;
  PrefixCache cache_;
  // Sources of planned swap-outs: one reference each, in no table.
  std::vector<BlockId> leaving_device_;
  std::vector<BlockId> arriving_device_;  // Targets of planned swap-ins: a second reference each.
  std::vector<BlockId> arriving_host_;    // Targets of planned swap-outs: likewise.
  std::vector<BlockId> leaving_host_;     // Sources of planned swap-ins: likewise.
};

}  // namespace infercept
