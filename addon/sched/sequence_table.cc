#include "sched/sequence_table.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace infercept {
namespace {

bool Before(const Sequence* a, const Sequence* b) {
  return std::tuple(-int64_t{a->priority}, a->order, Index(a->id)) <
         std::tuple(-int64_t{b->priority}, b->order, Index(b->id));
}

}  // namespace

Sequence& SequenceTable::Add(SeqId id) {
  auto [entry, inserted] = sequences_.try_emplace(Index(id), std::make_unique<Sequence>());
  IC_CHECK(inserted);
  entry->second->id = id;
  return *entry->second;
}

void SequenceTable::Remove(SeqId id) {
  Unlist(*Find(id));
  sequences_.erase(Index(id));
}

Sequence* SequenceTable::Find(SeqId id) {
  const auto entry = sequences_.find(Index(id));
  return entry == sequences_.end() ? nullptr : entry->second.get();
}

const Sequence* SequenceTable::Find(SeqId id) const {
  return const_cast<SequenceTable*>(this)->Find(id);
}

void SequenceTable::Place(Sequence& sequence) {
  Unlist(sequence);
  if (sequence.active()) {
    active_.insert(std::ranges::lower_bound(active_, &sequence, Before), &sequence);
  } else if (sequence.status == SequenceStatus::kPaused) {
    paused_.push_back(&sequence);
  }
}

void SequenceTable::Unlist(const Sequence& sequence) {
  if (const auto at = std::ranges::find(active_, &sequence); at != active_.end()) active_.erase(at);
  if (const auto at = std::ranges::find(paused_, &sequence); at != paused_.end()) {
    *at = paused_.back();
    paused_.pop_back();
  }
}

std::vector<const Sequence*> SequenceTable::All() const {
  std::vector<const Sequence*> all;
  all.reserve(sequences_.size());
  for (const auto& [id, sequence] : sequences_) all.push_back(sequence.get());
  std::ranges::sort(all, {}, [](const Sequence* sequence) { return Index(sequence->id); });
  return all;
}

}  // namespace infercept
