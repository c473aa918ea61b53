// Where device memory went, by the kind of interception that is to blame, in byte-seconds. The rows
// add up to WasteStats.
//
// A context is charged by changes, not by steps: time passes in sums over all steps (SpentSeconds),
// and what a context holds is worth its blocks times how far these sums went since it last changed.
// No allocation once every kind was seen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/types.h"
#include "sched/stats.h"

namespace infercept {

// Seconds since the start, as far as they concern memory that waits.
struct SpentSeconds {
  // Of steps in which something runnable was refused for want of memory, times the share of paused
  // memory that it wanted.
  double refused = 0;
  double unwanted = 0;   // all other time: paused contexts were in nobody's way
  double executing = 0;  // of all steps
};

using KindRow = uint32_t;
inline constexpr KindRow kUnknownRow = 0;     // of a kind that nobody named, or one too many
inline constexpr KindRow kPreemptionRow = 1;  // no interception: a running context gave way

// Device blocks of one context, as far as they concern its interception.
struct HeldBlocks {
  uint32_t paused = 0;    // that it has, while its sequence is paused
  uint32_t given = 0;     // that it had when its interception began and has no more, while paused
  uint32_t incoming = 0;  // that it has while it is active and others of its blocks are missing

  bool operator==(const HeldBlocks&) const = default;
};

// What one context holds, and on whose account. KindAccount writes it.
struct Holding {
  KindRow row = kUnknownRow;
  HeldBlocks blocks;
  SpentSeconds as_of;       // the sums when that last changed
  double wanted_as_of = 0;  // and KindAccount::WantedSeconds of the given blocks
  // Since its interception began; block-seconds
  double refused = 0;
  double unwanted = 0;
  double given_wanted = 0;  // what it gave up, while somebody used it
  double incoming = 0;
  double stall = 0;           // byte-seconds
  double refused_before = 0;  // SpentSeconds::refused when it began
};

class KindAccount {
 public:
  // Rows are bounded: a program has tens of tools. Kinds beyond count as unknown.
  static constexpr uint32_t kRowsMax = 256;

  explicit KindAccount(size_t block_bytes);

  // The row of a kind, of its family where it has no name of its own.
  KindRow RowOf(const KindPath& path);

  void PassIdle(double seconds) { spent_.unwanted += seconds; }
  // `wanted_share`: of what paused contexts held, the share that somebody wanted in vain. `left`:
  // device blocks that nobody used in the step; 0 if somebody was refused.
  void PassStep(double seconds, double wanted_share, uint32_t left);
  const SpentSeconds& spent() const { return spent_; }

  // What the context holds from now on. Most calls change nothing.
  void Hold(Holding& holding, const HeldBlocks& blocks) {
    if (holding.blocks != blocks) Change(holding, blocks);
  }
  // An interception begins: what its context holds is on this row's account from now on.
  void Begin(Holding& holding, KindRow row);
  // Somebody else is to blame from now on, for instance for what has to be computed again.
  void Blame(Holding& holding, KindRow row);
  // The interception is known to be of this kind: so is what it has cost already.
  void Rename(Holding& holding, KindRow row);

  void AddRecompute(KindRow row, double byte_seconds) { rows_[row].recompute += byte_seconds; }
  void AddStall(KindRow row, double byte_seconds) { rows_[row].stall += byte_seconds; }
  void AddStall(Holding& holding, double byte_seconds);
  void CountInterception(KindRow row, Disposition worst, double regret);

  // As of now. Keeps the list's capacity.
  void Read(std::vector<KindWaste>& kinds) const;
  // Byte-seconds of stalls and of blocks that could not be used yet, since the interception began.
  double CopyWaste(const Holding& holding) const;

  // Rows hold what all contexts together hold; throws InternalError if not.
  void CheckIntegrity(uint64_t paused_blocks, uint64_t incoming_blocks) const;

 private:
  struct Row : KindWaste {
    uint64_t paused_blocks = 0;    // of all its contexts
    uint64_t incoming_blocks = 0;  // likewise
    SpentSeconds as_of;
  };

  double Bytes(double blocks) const { return blocks * static_cast<double>(block_bytes_); }
  void Charge(KindWaste& waste, const Row& row) const;
  void Change(Holding& holding, const HeldBlocks& blocks);
  double WantedSeconds(uint32_t blocks) const;
  void Settle(Row& row);
  void Settle(Holding& holding) const;

  const size_t block_bytes_;
  SpentSeconds spent_;
  // [i]: seconds of steps in which something was refused or fewer than 2^i device blocks were left.
  std::array<double, 32> short_of_{};
  std::vector<Row> rows_;                         // [rows] At most kRowsMax.
  std::unordered_map<uint32_t, KindRow> row_of_;  // By kind.
};

}  // namespace infercept
