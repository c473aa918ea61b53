// Where the context of one sequence is. Nothing else records it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/types.h"

namespace infercept {

// What a full block holds, as a number: equal ids mean equal tokens at equal positions after equal
// prefixes.
using ContentId = uint64_t;
inline constexpr ContentId kNoContent = 0;

// A hash of all tokens up to the end of a full block: known before it is known what the prefix
// cache has.
using PrefixKey = uint32_t;
inline constexpr PrefixKey kNoKey = 0;

// The copies of one logical block. Only device copies may be read by a step.
struct BlockRef {
  BlockId device = kNoBlock;
  BlockId host = kNoBlock;
  ContentId content = kNoContent;  // set once the block is full and computed

  bool on_device() const { return device != kNoBlock; }
  bool on_host() const { return host != kNoBlock; }
};

// How firmly a table holds its blocks when memory is wanted.
enum class Hold : uint8_t {
  kFirm,    // of an active sequence
  kLent,    // the policy may take them
  kWaived,  // the caller wants them to be given up
  kKept,    // the caller wants them to stay: taken only for the oldest sequence
};
inline constexpr size_t kHolds = 4;

// A row of entries, one for each group of layers, covers block_tokens positions; entry i is that of
// group i % groups in row i / groups. What was discarded is not in the table: it always gives up a
// suffix of rows. Groups whose layers see no further back than a window release the blocks behind
// it: these entries stay, in the first rows, without a copy. Invariant: every other entry has at
// least one copy. Only KvManager writes entries; it knows a table by its address, so tables stay
// where they are.
//
//   positions         0 ................................. computed
//   sliding groups    | released | live: device, host or both |
//   full groups       | live                                  |
class BlockTable {
 public:
  BlockTable() = default;
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  uint32_t size() const { return static_cast<uint32_t>(device_.size()); }
  bool empty() const { return device_.empty(); }
  BlockRef operator[](uint32_t i) const { return {device_[i], other_[i].host, other_[i].content}; }
  // The device copies alone, kNoBlock where there is none: what a step reads.
  std::span<const BlockId> device() const { return device_; }

  // Entries behind the window: nothing reads them any more.
  uint32_t released() const { return released_; }
  uint32_t on_device() const { return on_device_; }
  // On the host only.
  uint32_t missing() const { return size() - released_ - on_device_; }
  // Blocks on the device that no other table and no copy under way refers to: giving them up frees
  // memory.
  uint32_t private_blocks() const { return private_; }
  // Blocks on the device whose copy on the host is complete: giving up the one on the device costs
  // no copy.
  uint32_t backed() const { return backed_; }
  Hold hold() const { return hold_; }
  // The last block may be shared although it is not full: it has to be copied before it is written.
  bool forked() const { return forked_; }

  // A number of its owner's, to know it again by.
  uint32_t tag = 0;

 private:
  friend class KvManager;
  struct Other {
    BlockId host = kNoBlock;
    PrefixKey key = kNoKey;  // of entries with a content
    ContentId content = kNoContent;
  };
  // A full block that the table had.
  struct Known {
    PrefixKey key = kNoKey;
    ContentId content = kNoContent;
  };

  // Members that every step of a running sequence looks at come first.
  std::vector<BlockId> device_;
  uint32_t on_device_ = 0;  // entries of device_ that are not kNoBlock
  uint32_t backed_ = 0;     // of them, blocks with an entry in other_ that has a host block
  uint32_t sealed_ = 0;     // rows whose entries have a content; they are the first ones
  uint32_t released_ = 0;   // entries without a copy: of the first rows, those of sliding groups
  bool forked_ = false;
  Hold hold_ = Hold::kFirm;
  uint32_t private_ = 0;       // entries of device_ with one reference
  std::vector<Other> other_;   // as long as device_
  uint32_t holder_index_ = 0;  // in KvManager::holders(hold_); valid iff private_ > 0
  uint32_t backed_index_ = 0;  // in KvManager::backed_; valid iff backed_ > 0
  // [full blocks] Of a context that was given up when its beginning was released already, where no
  // group is full: the cache finds its window by what it held, for the blocks before it may be
  // gone. Seldom there, and a pointer, so that tables stay small.
  std::unique_ptr<std::vector<Known>> known_;
};

}  // namespace infercept
