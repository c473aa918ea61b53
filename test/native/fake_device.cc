#include "fake_device.h"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace infercept::test {
namespace {

constexpr uint32_t kHost = 0;
constexpr size_t kAlignment = 256;       // as CUDA's
constexpr int kGarbage = 0xCD;           // what fresh memory holds
constexpr Nanos kOperationTime = 1'000;  // any; times are positive and add up
// Of the times that work may begin: often enough for streams to fall far behind one another.
constexpr uint32_t kRunOneIn = 3;

MemoryAccess Range(const void* data, size_t bytes, bool write) {
  return {reinterpret_cast<uintptr_t>(data), bytes, write};
}

// FNV-1a.
uint64_t Hash(const MemoryAccess& access) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto* bytes = reinterpret_cast<const unsigned char*>(access.begin);
  for (size_t i = 0; i < access.bytes; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

class Collector final : public AccessList {
 public:
  void Read(const void* data, size_t bytes) override { accesses.push_back(Range(data, bytes, 0)); }
  void Write(void* data, size_t bytes) override { accesses.push_back(Range(data, bytes, 1)); }
  std::vector<MemoryAccess> accesses;
};

}  // namespace

class FakeEvent final : public StreamEvent {
 public:
  explicit FakeEvent(FakeDevice& device) : device_(device) {}

  Status Synchronize() override {
    device_.RunUntil(mark);
    device_.actors_[kHost].clock.Join(clock);
    return device_.actors_[mark.actor].failed ? Status(StatusCode::kDevice, "a stream failed")
                                              : Status();
  }
  Result<Nanos> ElapsedSince(const StreamEvent& begin) const override {
    const auto& first = static_cast<const FakeEvent&>(begin);
    for (const FakeEvent* event : {&first, this}) {
      if (device_.actors_[event->mark.actor].done < event->mark.time) {
        return Status(StatusCode::kDevice, "an event is not complete");
      }
    }
    return time - first.time;
  }

  FakeDevice::Mark mark;  // time 0: never recorded
  VectorClock clock;      // of the mark
  Nanos time = 0;         // when it was passed

 private:
  FakeDevice& device_;
};

class FakeGraph final : public Graph {
 public:
  // Operations are private to the device: what they do is kept as functions that enqueue them.
  std::vector<std::function<void()>> enqueue;
};

class FakeStream final : public Stream {
 public:
  FakeStream(FakeDevice& device, uint32_t actor, StreamUse use)
      : device_(device), actor_(actor), use_(use) {}
  ~FakeStream() override { static_cast<void>(Synchronize()); }

  void Copy(void* target, const void* source, size_t bytes) override {
    Do("copy", Accesses{Range(source, bytes, false), Range(target, bytes, true)},
       [=] { std::memcpy(target, source, bytes); });
  }
  void Fill(void* target, uint8_t value, size_t bytes) override {
    Do("fill", Accesses{Range(target, bytes, true)}, [=] { std::memset(target, value, bytes); });
  }

  void Record(StreamEvent& event) override {
    IC_CHECK(!capture_);
    auto* mark = static_cast<FakeEvent*>(&event);
    FakeDevice* device = &device_;
    device_.Submit(actor_, {.name = "record",
                            .accesses = {},
                            .run = [mark, device] { mark->time = device->now_; },
                            .waits = {},
                            .hashes = {}});
    mark->clock = device_.actors_[actor_].clock;
    mark->mark = {actor_, mark->clock[actor_]};
  }
  void Wait(const StreamEvent& event) override {
    IC_CHECK(!capture_);
    const auto& mark = static_cast<const FakeEvent&>(event);
    if (mark.mark.time == 0) device_.book_.Violate("a stream waits for an event nobody recorded");
    device_.actors_[actor_].clock.Join(mark.clock);
    device_.Submit(
        actor_, {.name = "wait", .accesses = {}, .run = [] {}, .waits = {mark.mark}, .hashes = {}});
  }

  void BeginCapture() override {
    IC_CHECK(!capture_ && use_ == StreamUse::kCompute);
    capture_ = std::make_unique<FakeGraph>();
  }
  Result<std::unique_ptr<Graph>> EndCapture() override {
    IC_CHECK(capture_ != nullptr);
    return std::unique_ptr<Graph>(std::move(capture_));
  }
  void Launch(const Graph& graph) override {
    IC_CHECK(!capture_ && use_ == StreamUse::kCompute);
    ++device_.launched_graphs_;
    for (const auto& enqueue : static_cast<const FakeGraph&>(graph).enqueue) enqueue();
  }
  using Stream::Launch;

  Status Synchronize() override {
    IC_CHECK(!capture_);
    FakeDevice::Actor& actor = device_.actors_[actor_];
    device_.RunUntil({actor_, actor.clock[actor_]});
    device_.actors_[kHost].clock.Join(actor.clock);
    return actor.failed ? Status(StatusCode::kDevice, "an operation failed on purpose") : Status();
  }

 protected:
  void Enqueue(const KernelCall& call) override {
    IC_CHECK(use_ == StreamUse::kCompute);
    const auto arguments = Copied(call.arguments, call.argument_bytes);
    const auto describer = Copied(call.describer, call.describer_bytes);
    const auto run = call.run;
    const auto describe = call.describe;
    Do(
        call.name,
        [=] {
          Collector collector;
          describe(describer->data(), collector);
          return collector.accesses;
        },
        [=] { run(arguments->data(), nullptr); });
  }

 private:
  using Accesses = std::vector<MemoryAccess>;

  static std::shared_ptr<std::vector<std::byte>> Copied(const void* data, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    return std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
  }

  void Do(const char* name, Accesses accesses, std::function<void()> run) {
    Do(
        name, [=] { return accesses; }, std::move(run));
  }
  // `describe` is asked when the work is enqueued, again and again for that of a graph.
  void Do(const char* name, const std::function<Accesses()>& describe, std::function<void()> run) {
    FakeDevice* device = &device_;
    const uint32_t actor = actor_;
    const auto submit = [=] {
      device->Submit(actor,
                     {.name = name, .accesses = describe(), .run = run, .waits = {}, .hashes = {}});
    };
    if (capture_) {
      capture_->enqueue.emplace_back(submit);
    } else {
      submit();
    }
  }

  FakeDevice& device_;
  const uint32_t actor_;
  const StreamUse use_;
  std::unique_ptr<FakeGraph> capture_;  // While capturing.
};

FakeDevice::FakeDevice(const FakeDeviceOptions& options)
    : options_(options),
      properties_({.id = "fake:0", .name = "fake", .graphs = true}),
      random_(options.seed),
      actors_(1) {}

Result<MemoryInfo> FakeDevice::Memory() const {
  return MemoryInfo{.free = options_.memory_bytes - allocated_, .total = options_.memory_bytes};
}

Result<Arena> FakeDevice::Allocate(size_t bytes, std::string_view purpose) {
  if (bytes == 0) return Arena();
  if (bytes > options_.memory_bytes - allocated_) {
    return Status(StatusCode::kOutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes");
  }
  allocated_ += bytes;
  return Reserve(bytes, purpose, false);
}

Result<Arena> FakeDevice::AllocatePinned(size_t bytes, std::string_view purpose) {
  if (bytes == 0) return Arena();
  return Reserve(bytes, purpose, true);
}

Arena FakeDevice::Reserve(size_t bytes, std::string_view purpose, bool pinned) {
  void* data = std::aligned_alloc(kAlignment, DivCeil(bytes, kAlignment) * kAlignment);
  std::memset(data, kGarbage, bytes);
  book_.Add(data, bytes, std::string(purpose), pinned);
  return Arena(static_cast<std::byte*>(data), bytes, Free, this);
}

void FakeDevice::Free(void* owner, std::byte* data, size_t bytes) {
  auto& device = *static_cast<FakeDevice*>(owner);
  const bool pinned = device.book_.IsPinned(reinterpret_cast<uintptr_t>(data));
  device.book_.Remove(data, device.actors_[kHost].clock);
  // What was enqueued for it would write to memory of somebody else.
  while (device.IsPending(Range(data, bytes, true), /*writes_only=*/false)) device.RunAny();
  if (!pinned) device.allocated_ -= bytes;
  std::free(data);
}

Result<std::unique_ptr<Stream>> FakeDevice::CreateStream(StreamUse use) {
  actors_.emplace_back();
  const auto actor = static_cast<uint32_t>(actors_.size() - 1);
  return std::unique_ptr<Stream>(new FakeStream(*this, actor, use));
}

Result<std::unique_ptr<StreamEvent>> FakeDevice::CreateEvent() {
  return std::unique_ptr<StreamEvent>(new FakeEvent(*this));
}

void FakeDevice::HostTouches(const void* data, size_t bytes, bool write) {
  VectorClock& clock = actors_[kHost].clock;
  const uint64_t time = clock.Tick(kHost);
  book_.Touch(Range(data, bytes, write), {kHost, time, "the host"}, clock);
}

void FakeDevice::Submit(uint32_t index, Operation operation) {
  Actor& actor = actors_[index];
  actor.clock.Join(actors_[kHost].clock);
  const uint64_t time = actor.clock.Tick(index);
  bool possible = true;
  for (const MemoryAccess& access : operation.accesses) {
    possible &= book_.Touch(access, {index, time, operation.name}, actor.clock);
  }
  if (!possible)
    operation = {.name = operation.name, .accesses = {}, .run = [] {}, .waits = {}, .hashes = {}};
  PrepareHostMemory(operation);
  operation.fails = submitted_++ == fail_at_;
  actor.pending.push_back(std::move(operation));
  while (random_.Below(kRunOneIn) == 0 && RunAny()) {
  }
}

// Remembers what pinned memory holds that only the host could change now, and spoils what is to be
// written.
void FakeDevice::PrepareHostMemory(Operation& operation) {
  if (operation.name != "copy") return;
  for (const MemoryAccess& access : operation.accesses) {
    if (!book_.IsPinned(access.begin)) continue;
    if (!access.write && !IsPending(access, /*writes_only=*/true)) {
      operation.hashes.emplace_back(access, Hash(access));
    }
    if (access.write && !IsPending(access, /*writes_only=*/false)) {
      std::memset(reinterpret_cast<void*>(access.begin), kGarbage, access.bytes);
    }
  }
}

bool FakeDevice::IsPending(const MemoryAccess& access, bool writes_only) const {
  for (const Actor& actor : actors_) {
    for (const Operation& operation : actor.pending) {
      for (const MemoryAccess& other : operation.accesses) {
        if ((other.write || !writes_only) && Overlap(access, other)) return true;
      }
    }
  }
  return false;
}

bool FakeDevice::Ready(const Actor& actor) const {
  if (actor.pending.empty()) return false;
  for (const Mark& mark : actor.pending.front().waits) {
    if (actors_[mark.actor].done < mark.time) return false;
  }
  return true;
}

void FakeDevice::RunFirst(Actor& actor) {
  const Operation operation = std::move(actor.pending.front());
  actor.pending.pop_front();
  now_ += kOperationTime;
  for (const auto& [access, hash] : operation.hashes) {
    if (Hash(access) != hash)
      book_.Violate("the host changed memory that a copy was still to read");
  }
  if (operation.fails) actor.failed = true;
  if (!actor.failed) operation.run();
  ++actor.done;
}

// False: there is nothing to do.
bool FakeDevice::RunAny() {
  std::vector<Actor*> ready;
  for (Actor& actor : actors_) {
    if (Ready(actor)) ready.push_back(&actor);
  }
  if (ready.empty()) return false;
  RunFirst(*ready[random_.Below(static_cast<uint32_t>(ready.size()))]);
  return true;
}

// Now and then others get along, too; mostly nothing happens that need not.
void FakeDevice::RunUntil(const Mark& mark) {
  Actor& actor = actors_[mark.actor];
  while (actor.done < mark.time) {
    if (random_.Below(kRunOneIn) == 0 && RunAny()) continue;
    for (const Mark& wait : actor.pending.front().waits) RunUntil(wait);
    RunFirst(actor);
  }
}

}  // namespace infercept::test
