// All sequences of a scheduler, the orders in which it looks at them, and sums over them. Orders
// and sums are kept, not computed: a step costs what it changes, however many sequences wait.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/vector_pool.h"
#include "kv/kv_manager.h"
#include "sched/kind_account.h"
#include "sched/sequence.h"

namespace infercept {

// Over the active or over the paused sequences.
struct SequenceSums {
  uint64_t device_blocks = 0;    // on the device; shared ones count once per sequence
  uint64_t device_tokens = 0;    // computed tokens in them: KvManager::TokensIn
  uint64_t incoming_blocks = 0;  // on the device, of sequences that miss others
  uint64_t missing_blocks = 0;   // on the host only
  uint64_t ready_tokens = 0;     // pending tokens of sequences that miss no block
  uint64_t decodes = 0;          // running sequences with one pending token
  // Device blocks beyond those there are that pending tokens need; copies of shared ones not
  // counted
  uint64_t wanted_blocks = 0;
  uint64_t forked = 0;  // sequences with BlockTable::forked

  bool operator==(const SequenceSums&) const = default;
};

class SequenceTable {
 public:
  // Both outlive the table. The account hears of all that sequences hold.
  SequenceTable(KvManager& kv, KindAccount& kinds) : kv_(kv), kinds_(kinds) {}

  // REQUIRES: the id is new. The sequence is in no list yet: call Place.
  Sequence& Add(SeqId id);
  void Remove(SeqId id);
  Sequence* Find(SeqId id);
  const Sequence* Find(SeqId id) const;
  // The sequence of a table that is not held firmly.
  Sequence& PausedOwner(const BlockTable& table) const { return *paused_[table.tag]; }

  // Puts the sequence where its status, priority and order say, and says how firmly it holds its
  // blocks. Call after each change of one of these, or of what the caller wishes for its context.
  void Place(Sequence& sequence);
  // Call after each other change of tokens, blocks or status.
  void Update(Sequence& sequence);
  // Tokens grow by these two alone: their memory comes from the table and goes back to it.
  void AppendTokens(Sequence& sequence, std::span<const TokenId> tokens);
  void AppendToken(Sequence& sequence, TokenId token) { tokens_.Append(sequence.tokens, token); }

  // The order of the queue: higher priority first, then earlier order, then smaller id.
  static bool Before(const Sequence& a, const Sequence& b);
  // Waiting and running sequences, in this order.
  const std::vector<Sequence*>& active() const { return active_; }
  // Those of them with one pending token that miss no block, in the same order.
  const std::vector<Sequence*>& decodes() const { return decodes_; }
  // The others of them.
  const std::vector<Sequence*>& prefills() const { return prefills_; }
  // In no particular order.
  const std::vector<Sequence*>& paused() const { return paused_; }
  // Sequences that were paused, or whose wishes changed, since the list was last cleared; some may
  // be active or gone by now.
  std::vector<SeqId>& undecided() { return undecided_; }
  // Ordered by id.
  std::vector<const Sequence*> All() const;
  size_t size() const { return sequences_.size(); }

  const SequenceSums& active_sums() const { return active_sums_; }
  const SequenceSums& paused_sums() const { return paused_sums_; }

  // Lists and sums are what they would be if they were made anew; throws InternalError if not.
  void CheckIntegrity() const;

 private:
  SequenceShare ShareOf(const Sequence& sequence) const;
  uint32_t DeviceTokens(const Sequence& sequence) const;
  bool HasOnlyGrown(const Sequence& sequence) const;
  void Unlist(Sequence& sequence);
  void AccountFor(Sequence& sequence);
  std::vector<Sequence*>& ListOf(bool decode) { return decode ? decodes_ : prefills_; }

  KvManager& kv_;
  KindAccount& kinds_;
  std::unordered_map<uint32_t, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> active_;    // Entries have active().
  std::vector<Sequence*> decodes_;   // Those of them with one pending token and nothing missing.
  std::vector<Sequence*> prefills_;  // The others of them; all three are sorted by Before.
  std::vector<Sequence*> paused_;    // Entries have status kPaused; blocks.tag says where.
  std::vector<SeqId> undecided_;
  SequenceSums active_sums_;  // Of the shares of the entries of active_.
  SequenceSums paused_sums_;  // Of the shares of the entries of paused_.
  VectorPool<TokenId> tokens_;
};

}  // namespace infercept
