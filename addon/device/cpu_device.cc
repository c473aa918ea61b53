#include "device/cpu_device.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace infercept {
namespace {

Nanos Now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Marks are numbered: recording takes the next number, and who waits waits for the last one taken.
class CpuEvent final : public StreamEvent {
 public:
  uint64_t Take() {
    const std::lock_guard lock(mutex_);
    return ++taken_;
  }
  uint64_t taken() const {
    const std::lock_guard lock(mutex_);
    return taken_;
  }
  void Pass(uint64_t mark) {
    {
      const std::lock_guard lock(mutex_);
      passed_ = mark;
      time_ = Now();
    }
    changed_.notify_all();
  }
  void WaitFor(uint64_t mark) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return passed_ >= mark; });
  }

  Status Synchronize() override {
    WaitFor(taken());
    return Status();
  }
  Result<Nanos> ElapsedSince(const StreamEvent& begin) const override {
    return time() - static_cast<const CpuEvent&>(begin).time();
  }

 private:
  Nanos time() const {
    const std::lock_guard lock(mutex_);
    IC_CHECK(taken_ > 0 && passed_ == taken_);
    return time_;
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // Guarded by mutex_.
  uint64_t taken_ = 0;
  uint64_t passed_ = 0;
  Nanos time_ = 0;
};

// Does everything at once.
class InlineStream final : public Stream {
 public:
  void Copy(void* target, const void* source, size_t bytes) override {
    std::memcpy(target, source, bytes);
  }
  void Fill(void* target, uint8_t value, size_t bytes) override {
    std::memset(target, value, bytes);
  }
  void Record(StreamEvent& event) override {
    auto& mark = static_cast<CpuEvent&>(event);
    mark.Pass(mark.Take());
  }
  void Wait(const StreamEvent& event) override {
    const auto& mark = static_cast<const CpuEvent&>(event);
    mark.WaitFor(mark.taken());
  }
  Status Synchronize() override { return Status(); }

 protected:
  void Enqueue(const KernelCall& call) override { call.run(call.arguments, nullptr); }
};

// Sleeps until it is given something.
class ThreadStream final : public Stream {
 public:
  ThreadStream() : thread_([this] { Loop(); }) {}
  ~ThreadStream() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void Copy(void* target, const void* source, size_t bytes) override {
    Add({.kind = Kind::kCopy, .target = target, .source = source, .bytes = bytes});
  }
  void Fill(void* target, uint8_t value, size_t bytes) override {
    Add({.kind = Kind::kFill, .target = target, .bytes = bytes, .value = value});
  }
  void Record(StreamEvent& event) override {
    auto& mark = static_cast<CpuEvent&>(event);
    Add({.kind = Kind::kRecord, .target = &mark, .mark = mark.Take()});
  }
  void Wait(const StreamEvent& event) override {
    const auto& mark = static_cast<const CpuEvent&>(event);
    Add({.kind = Kind::kWait, .source = &mark, .mark = mark.taken()});
  }
  Status Synchronize() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return pending_.empty() && !busy_; });
    return Status();
  }

 protected:
  void Enqueue(const KernelCall&) override { IC_CHECK(false); }  // StreamUse::kCopy

 private:
  enum class Kind : uint8_t { kCopy, kFill, kRecord, kWait };
  struct Operation {
    Kind kind = Kind::kCopy;
    void* target = nullptr;        // memory, or the event that is recorded
    const void* source = nullptr;  // memory, or the event that is waited for
    size_t bytes = 0;
    uint64_t mark = 0;
    uint8_t value = 0;
  };

  void Add(const Operation& operation) {
    {
      const std::lock_guard lock(mutex_);
      pending_.push_back(operation);
    }
    changed_.notify_all();
  }

  void Loop() {
    std::vector<Operation> operations;
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !pending_.empty() || stopping_; });
      if (pending_.empty()) return;
      operations.clear();
      std::swap(operations, pending_);  // Both keep their capacity.
      busy_ = true;
      lock.unlock();
      for (const Operation& operation : operations) Do(operation);
      lock.lock();
      busy_ = false;
      changed_.notify_all();
    }
  }

  static void Do(const Operation& operation) {
    switch (operation.kind) {
      case Kind::kCopy:
        std::memcpy(operation.target, operation.source, operation.bytes);
        break;
      case Kind::kFill:
        std::memset(operation.target, operation.value, operation.bytes);
        break;
      case Kind::kRecord:
        static_cast<CpuEvent*>(operation.target)->Pass(operation.mark);
        break;
      case Kind::kWait:
        static_cast<const CpuEvent*>(operation.source)->WaitFor(operation.mark);
        break;
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<Operation> pending_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;  // Last: it uses the members above.
};

class TheCpu final : public Device {
 public:
  const DeviceProperties& properties() const override { return properties_; }
  Result<MemoryInfo> Memory() const override {
    // What others use at the moment says little: the system commits memory where it is touched.
    const size_t bytes =
        static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return MemoryInfo{.free = bytes, .total = bytes};
  }
  Result<Arena> Allocate(size_t bytes, std::string_view purpose) override {
    return Arena::Create(bytes, purpose);
  }
  // Nothing but this processor touches it: it need not be pinned.
  Result<Arena> AllocatePinned(size_t bytes, std::string_view purpose) override {
    return Arena::Create(bytes, purpose);
  }
  Result<std::unique_ptr<Stream>> CreateStream(StreamUse use) override {
    if (use == StreamUse::kCompute) return std::unique_ptr<Stream>(new InlineStream());
    return std::unique_ptr<Stream>(new ThreadStream());
  }
  Result<std::unique_ptr<StreamEvent>> CreateEvent() override {
    return std::unique_ptr<StreamEvent>(new CpuEvent());
  }

 private:
  const DeviceProperties properties_ = {.id = "cpu", .is_host = true};
};

}  // namespace

Device& CpuDevice() {
  static TheCpu device;
  return device;
}

Stream& CpuStream() {
  static InlineStream stream;
  return stream;
}

}  // namespace infercept
