#include "access_book.h"

#include <algorithm>
#include <utility>

namespace infercept::test {
namespace {

// One mistake is repeated at every block; the first few say which it was.
constexpr size_t kViolationsMax = 20;

bool Before(const OperationStamp& stamp, const VectorClock& clock) {
  return stamp.time <= clock[stamp.actor];
}

std::string Name(const OperationStamp& stamp) {
  return "'" + stamp.name + "' (actor " + std::to_string(stamp.actor) + ")";
}

}  // namespace

uint64_t VectorClock::Tick(uint32_t actor) {
  if (actor >= times_.size()) times_.resize(actor + 1);
  return ++times_[actor];
}

void VectorClock::Join(const VectorClock& other) {
  times_.resize(std::max(times_.size(), other.times_.size()));
  for (size_t i = 0; i < other.times_.size(); ++i) times_[i] = std::max(times_[i], other.times_[i]);
}

void AccessBook::Add(const void* data, size_t bytes, std::string purpose, bool pinned) {
  allocations_[reinterpret_cast<uintptr_t>(data)] = {bytes, std::move(purpose), pinned, {}};
}

void AccessBook::Remove(const void* data, const VectorClock& clock) {
  const auto found = allocations_.find(reinterpret_cast<uintptr_t>(data));
  for (const auto& [begin, range] : found->second.ranges) {
    CheckRange(range, /*write=*/true, {0, clock[0], "free"}, clock,
               found->second.purpose + " + " + std::to_string(begin - found->first));
  }
  allocations_.erase(found);
}

bool AccessBook::Touch(const MemoryAccess& access, const OperationStamp& stamp,
                       const VectorClock& clock) {
  if (access.bytes == 0) return true;
  const auto* found = Find(access.begin);
  const uintptr_t end = access.begin + access.bytes;
  if (found == nullptr || end > found->first + found->second.bytes) {
    Violate(Name(stamp) + (access.write ? " writes " : " reads ") + std::to_string(access.bytes) +
            " bytes that are not memory of the device, or beyond its end" +
            (found != nullptr ? " (" + found->second.purpose + ")" : ""));
    return false;
  }
  Allocation& allocation = allocations_[found->first];
  const std::string where =
      allocation.purpose + " + " + std::to_string(access.begin - found->first);
  Split(allocation, access.begin);
  Split(allocation, end);
  FillGaps(allocation, access.begin, end);
  const auto first = allocation.ranges.find(access.begin);
  const auto last = allocation.ranges.lower_bound(end);
  for (auto range = first; range != last; ++range) {
    CheckRange(range->second, access.write, stamp, clock, where);
    if (access.write) continue;
    auto& reads = range->second.reads;
    std::erase_if(reads, [&](const OperationStamp& read) { return read.actor == stamp.actor; });
    reads.push_back(stamp);
  }
  if (!access.write) return true;
  allocation.ranges.erase(first, last);
  allocation.ranges[access.begin] = {end, stamp, {}};
  return true;
}

void AccessBook::CheckRange(const Range& range, bool write, const OperationStamp& stamp,
                            const VectorClock& clock, const std::string& where) {
  const char* verb = write ? " overwrites what " : " reads what ";
  if (!Before(range.write, clock)) {
    Violate(Name(stamp) + verb + Name(range.write) + " writes, and nothing orders them: " + where);
  }
  if (!write) return;
  for (const OperationStamp& read : range.reads) {
    if (Before(read, clock)) continue;
    Violate(Name(stamp) + " overwrites what " + Name(read) +
            " reads, and nothing orders them: " + where);
  }
}

bool AccessBook::IsPinned(uintptr_t address) const {
  const auto* found = Find(address);
  return found != nullptr && found->second.pinned;
}

void AccessBook::Violate(const std::string& text) {
  if (violations_.size() < kViolationsMax) violations_.push_back(text);
}

const AccessBook::Allocations::value_type* AccessBook::Find(uintptr_t address) const {
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  --after;
  return address < after->first + after->second.bytes ? &*after : nullptr;
}

void AccessBook::Split(Allocation& allocation, uintptr_t at) {
  auto after = allocation.ranges.upper_bound(at);
  if (after == allocation.ranges.begin()) return;
  --after;
  if (after->first == at || after->second.end <= at) return;
  allocation.ranges[at] = after->second;
  after->second.end = at;
}

void AccessBook::FillGaps(Allocation& allocation, uintptr_t begin, uintptr_t end) {
  uintptr_t at = begin;
  for (auto range = allocation.ranges.lower_bound(begin); at < end; ++range) {
    const bool over = range == allocation.ranges.end() || range->first >= end;
    const uintptr_t next = over ? end : range->first;
    if (at < next) range = allocation.ranges.insert({at, {next, {}, {}}}).first;
    at = range->second.end;
  }
}

}  // namespace infercept::test
