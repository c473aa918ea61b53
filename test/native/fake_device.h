// A device for tests that does what the seam (device/device.h) allows and a friendly one never
// does: work is done as late as possible or at once, in any order that streams and events leave
// open, as the seed says. And it keeps a book (access_book.h): work whose order to what touched the
// same memory before follows neither from its stream, nor from an event, nor from a wait of the
// host is a violation, whether or not it went wrong this time.
//
// Other violations: pinned memory that the host changed before a copy read it, memory outside of
// what is allocated, memory freed under work, and waits for events that were never recorded. Pinned
// memory that a copy is still to write holds garbage until then.
//
// Its memory is the host's, and kernels are functions of the host.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "access_book.h"
#include "base/rng.h"
#include "device/device.h"

namespace infercept::test {

struct FakeDeviceOptions {
  uint64_t seed = 0;
  size_t memory_bytes = size_t{1} << 30;
};

class FakeEvent;

class FakeDevice final : public Device {
 public:
  explicit FakeDevice(const FakeDeviceOptions& options = {});
  FakeDevice(const FakeDevice&) = delete;
  FakeDevice& operator=(const FakeDevice&) = delete;

  const DeviceProperties& properties() const override { return properties_; }
  Result<MemoryInfo> Memory() const override;
  Result<Arena> Allocate(size_t bytes, std::string_view purpose) override;
  Result<Arena> AllocatePinned(size_t bytes, std::string_view purpose) override;
  Result<std::unique_ptr<Stream>> CreateStream(StreamUse use) override;
  Result<std::unique_ptr<StreamEvent>> CreateEvent() override;

  // What went wrong so far, in words; the first few.
  const std::vector<std::string>& violations() const { return book_.violations(); }
  // The host is about to read or write memory that work has used.
  void HostReads(const void* data, size_t bytes) { HostTouches(data, bytes, false); }
  void HostWrites(const void* data, size_t bytes) { HostTouches(data, bytes, true); }

  // The k-th operation from now on (0: the next) fails, and its stream with it.
  void FailOperation(uint64_t k) { fail_at_ = submitted_ + k; }

  uint64_t submitted() const { return submitted_; }
  uint64_t launched_graphs() const { return launched_graphs_; }
  size_t allocated_bytes() const { return allocated_; }

 private:
  friend class FakeStream;
  friend class FakeEvent;

  // The work of a stream before some point.
  struct Mark {
    uint32_t actor = 0;
    uint64_t time = 0;
  };
  struct Operation {
    std::string name;
    std::vector<MemoryAccess> accesses;
    std::function<void()> run;
    std::vector<Mark> waits;  // done before this begins
    // Of the pinned memory that it reads, when the host might change it; else empty.
    std::vector<std::pair<MemoryAccess, uint64_t>> hashes;
    bool fails = false;
  };
  // The host, or a stream.
  struct Actor {
    VectorClock clock;  // of the operation enqueued last
    std::deque<Operation> pending;
    uint64_t done = 0;
    bool failed = false;
  };

  void HostTouches(const void* data, size_t bytes, bool write);
  void Submit(uint32_t actor, Operation operation);
  void PrepareHostMemory(Operation& operation);
  bool IsPending(const MemoryAccess& access, bool writes_only) const;
  bool Ready(const Actor& actor) const;
  void RunFirst(Actor& actor);
  bool RunAny();
  void RunUntil(const Mark& mark);
  Arena Reserve(size_t bytes, std::string_view purpose, bool pinned);
  static void Free(void* owner, std::byte* data, size_t bytes);

  const FakeDeviceOptions options_;
  const DeviceProperties properties_;
  Rng random_;
  std::vector<Actor> actors_;  // the host, then streams in the order they were made
  AccessBook book_;
  size_t allocated_ = 0;  // of the device's memory
  uint64_t submitted_ = 0;
  uint64_t launched_graphs_ = 0;
  uint64_t fail_at_ = UINT64_MAX;
  Nanos now_ = 0;  // advances with every operation that is done
};

}  // namespace infercept::test
