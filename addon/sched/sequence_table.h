// All sequences of a scheduler, and the two orders in which it looks at them.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "sched/sequence.h"

namespace infercept {

class SequenceTable {
 public:
  // REQUIRES: the id is new. The sequence is in no list yet: call Place.
  Sequence& Add(SeqId id);
  void Remove(SeqId id);
  Sequence* Find(SeqId id);
  const Sequence* Find(SeqId id) const;

  // Puts the sequence where its status, priority and order say. Call after each change of one of
  // them.
  void Place(Sequence& sequence);

  // Waiting and running sequences: higher priority first, then earlier order, then smaller id.
  const std::vector<Sequence*>& active() const { return active_; }
  // In no particular order.
  const std::vector<Sequence*>& paused() const { return paused_; }
  // Ordered by id.
  std::vector<const Sequence*> All() const;
  size_t size() const { return sequences_.size(); }

 private:
  void Unlist(const Sequence& sequence);

  std::unordered_map<uint32_t, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> active_;  // Entries have active(); sorted by Before.
  std::vector<Sequence*> paused_;  // Entries have status kPaused.
};

}  // namespace infercept
