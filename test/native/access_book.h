// Who touched which memory last, and whether who touches it now comes after them. Time is a vector
// clock (Lamport 1978, Mattern 1989): one number per actor, which says how many of its operations
// come before.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace infercept::test {

class VectorClock {
 public:
  uint64_t operator[](uint32_t actor) const { return actor < times_.size() ? times_[actor] : 0; }
  // The actor's next operation.
  uint64_t Tick(uint32_t actor);
  // What comes before either comes before the result.
  void Join(const VectorClock& other);

 private:
  std::vector<uint64_t> times_;  // by actor
};

struct MemoryAccess {
  uintptr_t begin = 0;
  size_t bytes = 0;
  bool write = false;
};

inline bool Overlap(const MemoryAccess& a, const MemoryAccess& b) {
  return a.begin < b.begin + b.bytes && b.begin < a.begin + a.bytes;
}

// One operation of one actor.
struct OperationStamp {
  uint32_t actor = 0;
  uint64_t time = 0;  // 0: there is none
  std::string name;
};

class AccessBook {
 public:
  void Add(const void* data, size_t bytes, std::string purpose, bool pinned);
  // `clock`: the host's, who frees it.
  void Remove(const void* data, const VectorClock& clock);
  // An operation that comes after what `clock` says, itself included. False: there is no such
  // memory.
  bool Touch(const MemoryAccess& access, const OperationStamp& stamp, const VectorClock& clock);

  bool IsPinned(uintptr_t address) const;
  void Violate(const std::string& text);
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct Range {
    uintptr_t end = 0;
    OperationStamp write;
    std::vector<OperationStamp> reads;  // since the write; the last of each actor
  };
  struct Allocation {
    size_t bytes = 0;
    std::string purpose;
    bool pinned = false;
    std::map<uintptr_t, Range> ranges;  // by begin; disjoint, without what nobody touched
  };
  using Allocations = std::map<uintptr_t, Allocation>;

  const Allocations::value_type* Find(uintptr_t address) const;
  static void Split(Allocation& allocation, uintptr_t at);
  static void FillGaps(Allocation& allocation, uintptr_t begin, uintptr_t end);
  void CheckRange(const Range& range, bool write, const OperationStamp& stamp,
                  const VectorClock& clock, const std::string& where);

  Allocations allocations_;  // by address
  std::vector<std::string> violations_;
};

}  // namespace infercept::test
