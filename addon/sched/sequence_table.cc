#include "sched/sequence_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace infercept {
namespace {

bool Earlier(const Sequence* a, const Sequence* b) { return SequenceTable::Before(*a, *b); }

void Insert(std::vector<Sequence*>& sorted, Sequence& sequence) {
  sorted.insert(std::ranges::lower_bound(sorted, &sequence, Earlier), &sequence);
}

void Erase(std::vector<Sequence*>& sorted, Sequence& sequence) {
  const auto at = std::ranges::lower_bound(sorted, &sequence, Earlier);
  IC_CHECK(at != sorted.end() && *at == &sequence);
  sorted.erase(at);
}

bool IsDecode(const Sequence& sequence) {
  return sequence.active() && sequence.pending() == 1 && sequence.blocks.missing() == 0;
}

Hold HoldOf(const Sequence& sequence) {
  if (sequence.status != SequenceStatus::kPaused) return Hold::kFirm;
  if (sequence.suspended) return Hold::kWaived;
  if (!sequence.interception.wish) return Hold::kLent;
  return *sequence.interception.wish == Disposition::kPreserve ? Hold::kKept : Hold::kWaived;
}

// One after the other: most are as they were.
void Replace(uint64_t& sum, uint32_t was, uint32_t is) {
  if (was != is) sum += uint64_t{is} - was;
}

void Replace(SequenceSums& sums, const SequenceShare& was, const SequenceShare& is) {
  Replace(sums.device_blocks, was.device_blocks, is.device_blocks);
  Replace(sums.device_tokens, was.device_tokens, is.device_tokens);
  Replace(sums.incoming_blocks, was.incoming_blocks, is.incoming_blocks);
  Replace(sums.missing_blocks, was.missing_blocks, is.missing_blocks);
  Replace(sums.ready_tokens, was.ready_tokens, is.ready_tokens);
  Replace(sums.decodes, was.decodes, is.decodes);
  Replace(sums.wanted_blocks, was.wanted_blocks, is.wanted_blocks);
  Replace(sums.forked, was.forked, is.forked);
}

}  // namespace

bool SequenceTable::Before(const Sequence& a, const Sequence& b) {
  return std::tuple(-int64_t{a.priority}, a.order, Index(a.id)) <
         std::tuple(-int64_t{b.priority}, b.order, Index(b.id));
}

Sequence& SequenceTable::Add(SeqId id) {
  auto [entry, inserted] = sequences_.try_emplace(Index(id), std::make_unique<Sequence>());
  IC_CHECK(inserted);
  entry->second->id = id;
  return *entry->second;
}

void SequenceTable::Remove(SeqId id) {
  const auto entry = sequences_.find(Index(id));
  Unlist(*entry->second);
  AccountFor(*entry->second);
  tokens_.Give(std::move(entry->second->tokens));
  sequences_.erase(entry);
}

Sequence* SequenceTable::Find(SeqId id) {
  const auto entry = sequences_.find(Index(id));
  return entry == sequences_.end() ? nullptr : entry->second.get();
}

const Sequence* SequenceTable::Find(SeqId id) const {
  return const_cast<SequenceTable*>(this)->Find(id);
}

// Computed tokens that are on the device.
uint32_t SequenceTable::DeviceTokens(const Sequence& sequence) const {
  const uint32_t blocks = sequence.blocks.on_device();
  // A running one mostly has all that it needs; a division would take longer than the rest.
  if (sequence.blocks.released() == 0 && blocks == sequence.blocks.size()) return sequence.computed;
  return static_cast<uint32_t>(std::min<uint64_t>(sequence.computed, kv_.TokensIn(blocks)));
}

SequenceShare SequenceTable::ShareOf(const Sequence& sequence) const {
  const BlockTable& blocks = sequence.blocks;
  const auto tokens = static_cast<uint32_t>(sequence.tokens.size());
  SequenceShare share;
  share.device_blocks = blocks.on_device();
  share.device_tokens = DeviceTokens(sequence);
  share.missing_blocks = blocks.missing();
  share.incoming_blocks = share.missing_blocks > 0 ? blocks.on_device() : 0;
  share.ready_tokens = share.missing_blocks > 0 ? 0 : sequence.pending();
  share.decodes = sequence.status == SequenceStatus::kRunning && sequence.pending() == 1;
  share.wanted_blocks = kv_.BlocksWanted(blocks, sequence.computed, tokens);
  share.forked = blocks.forked();
  return share;
}

void SequenceTable::Place(Sequence& sequence) {
  Unlist(sequence);
  sequence.share = ShareOf(sequence);
  kv_.SetHold(sequence.blocks, HoldOf(sequence));
  if (sequence.active()) {
    Insert(active_, sequence);
    sequence.listed_active = true;
    Replace(active_sums_, {}, sequence.share);
    sequence.listed_decode = IsDecode(sequence);
    Insert(ListOf(sequence.listed_decode), sequence);
  } else if (sequence.status == SequenceStatus::kPaused) {
    sequence.blocks.tag = static_cast<uint32_t>(paused_.size());
    paused_.push_back(&sequence);
    sequence.listed_paused = true;
    Replace(paused_sums_, {}, sequence.share);
    undecided_.push_back(sequence.id);
  }
  AccountFor(sequence);
}

void SequenceTable::AccountFor(Sequence& sequence) {
  HeldBlocks blocks;
  if (sequence.listed_active) {
    blocks.incoming = sequence.share.incoming_blocks;
  } else if (sequence.listed_paused) {
    blocks.paused = sequence.share.device_blocks;
    const uint32_t had = sequence.interception.all_blocks;
    blocks.given = had - std::min(had, blocks.paused);
  }
  kinds_.Hold(sequence.held, blocks);
}

void SequenceTable::Unlist(Sequence& sequence) {
  if (std::exchange(sequence.listed_active, false)) {
    Erase(active_, sequence);
    Erase(ListOf(std::exchange(sequence.listed_decode, false)), sequence);
    Replace(active_sums_, sequence.share, {});
  }
  if (std::exchange(sequence.listed_paused, false)) {
    const uint32_t at = sequence.blocks.tag;
    paused_[at] = paused_.back();
    paused_[at]->blocks.tag = at;
    paused_.pop_back();
    Replace(paused_sums_, sequence.share, {});
  }
}

// A running decode that stays within its last block: only the number of its tokens has grown.
bool SequenceTable::HasOnlyGrown(const Sequence& sequence) const {
  const SequenceShare& share = sequence.share;
  const BlockTable& blocks = sequence.blocks;
  return sequence.listed_decode && share.decodes > 0 && IsDecode(sequence) &&
         sequence.status == SequenceStatus::kRunning && share.device_blocks == blocks.on_device() &&
         sequence.tokens.size() * kv_.config().groups <=
             size_t{blocks.size()} * kv_.config().block_tokens &&
         share.wanted_blocks == 0 && share.forked == blocks.forked();
}

void SequenceTable::Update(Sequence& sequence) {
  if (HasOnlyGrown(sequence)) {
    const uint32_t tokens = DeviceTokens(sequence);
    Replace(active_sums_.device_tokens, sequence.share.device_tokens, tokens);
    sequence.share.device_tokens = tokens;
    return;
  }
  SequenceSums& sums = sequence.listed_active ? active_sums_ : paused_sums_;
  const SequenceShare share = ShareOf(sequence);
  Replace(sums, sequence.share, share);
  sequence.share = share;
  AccountFor(sequence);
  if (!sequence.listed_active || sequence.listed_decode == IsDecode(sequence)) return;
  Erase(ListOf(sequence.listed_decode), sequence);
  sequence.listed_decode = !sequence.listed_decode;
  Insert(ListOf(sequence.listed_decode), sequence);
}

void SequenceTable::AppendTokens(Sequence& sequence, std::span<const TokenId> tokens) {
  tokens_.Grow(sequence.tokens, sequence.tokens.size() + tokens.size());
  sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
}

std::vector<const Sequence*> SequenceTable::All() const {
  std::vector<const Sequence*> all;
  all.reserve(sequences_.size());
  for (const auto& [id, sequence] : sequences_) all.push_back(sequence.get());
  std::ranges::sort(all, {}, [](const Sequence* sequence) { return Index(sequence->id); });
  return all;
}

void SequenceTable::CheckIntegrity() const {
  SequenceSums active;
  SequenceSums paused;
  size_t actives = 0;
  size_t decodes = 0;
  for (const auto& [id, sequence] : sequences_) {
    const bool is_paused = sequence->status == SequenceStatus::kPaused;
    IC_CHECK(sequence->listed_active == sequence->active());
    IC_CHECK(sequence->listed_decode == IsDecode(*sequence));
    IC_CHECK(sequence->listed_paused == is_paused);
    IC_CHECK(!is_paused || paused_[sequence->blocks.tag] == sequence.get());
    IC_CHECK(sequence->blocks.hold() == HoldOf(*sequence));
    actives += sequence->active();
    decodes += IsDecode(*sequence);
    if (sequence->active()) Replace(active, {}, ShareOf(*sequence));
    if (is_paused) Replace(paused, {}, ShareOf(*sequence));
  }
  IC_CHECK(active == active_sums_ && paused == paused_sums_);
  kinds_.CheckIntegrity(paused.device_blocks, active.incoming_blocks);
  IC_CHECK(active_.size() == actives && std::ranges::is_sorted(active_, Earlier));
  IC_CHECK(decodes_.size() == decodes && std::ranges::is_sorted(decodes_, Earlier));
  IC_CHECK(prefills_.size() == actives - decodes && std::ranges::is_sorted(prefills_, Earlier));
}

}  // namespace infercept
