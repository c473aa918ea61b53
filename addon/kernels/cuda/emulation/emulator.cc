#include "kernels/cuda/emulation/emulator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/fiber.h"

namespace infercept::emulation {
namespace {

constexpr uint32_t kWarp = 32;
// Limits of every device from compute capability 8.0 on; the largest dynamic shared memory is that
// of 9.0 (227 KB).
constexpr uint64_t kBlockThreadsMax = 1024;
constexpr uint32_t kGridYzMax = 65535;
constexpr size_t kStaticSharedMax = 48 * 1024;
constexpr size_t kDynamicSharedMax = 227 * 1024;
constexpr uint32_t kBarriers = 16;

std::string Describe(const Site& site) {
  const std::string file = site.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line());
}

std::string Describe(const Extent& extent) {
  return "(" + std::to_string(extent.x) + ", " + std::to_string(extent.y) + ", " +
         std::to_string(extent.z) + ")";
}

bool SamePlace(const Site& a, const Site& b) {
  return a.line() == b.line() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

Extent At(uint64_t index, const Extent& extent) {
  return {static_cast<uint32_t>(index % extent.x),
          static_cast<uint32_t>(index / extent.x % extent.y),
          static_cast<uint32_t>(index / extent.x / extent.y)};
}

// One object in shared memory.
struct SharedObject {
  SharedObject(const void* key_, size_t bytes_) : key(key_), bytes(bytes_) {
    void* allocated = nullptr;
    if (posix_memalign(&allocated, 128, std::max<size_t>(bytes, 1)) != 0) throw std::bad_alloc();
    memory.reset(allocated);
    std::memset(allocated, 0xFF, bytes);
  }
  struct Free {
    void operator()(void* pointer) const { std::free(pointer); }
  };

  const void* key;
  size_t bytes;
  std::unique_ptr<void, Free> memory;
};

struct PendingCopy {
  void* target;
  const void* source;
  size_t bytes;
  size_t zeros;  // after the bytes
};

void Copy(const PendingCopy& copy) {
  std::memcpy(copy.target, copy.source, copy.bytes);
  std::memset(static_cast<std::byte*>(copy.target) + copy.bytes, 0, copy.zeros);
}

class BlockRunner;

enum class State { kReady, kAtBarrier, kExchanging, kLeft };

struct Thread {
  Fiber fiber;
  BlockRunner* runner = nullptr;
  Extent index;
  State state = State::kLeft;
  Site site;  // where it waits
  uint32_t barrier = 0;
  const void* input = nullptr;
  void* output = nullptr;
  std::vector<std::vector<PendingCopy>> copies;  // groups, oldest first; the last one is open
};

// Lanes that wait for each other.
struct Meeting {
  uint32_t mask;
  uint32_t arrived;
  Combine combine;
  Site site;
};

struct Warp {
  uint32_t left = 0;  // lanes that have left
  std::vector<Meeting> meetings;
};

struct BarrierState {
  uint32_t arrived = 0;
  uint32_t expected = 0;
  Site site;
};

// Runs the blocks of one grid. Threads and their stacks are kept for the next one.
class BlockRunner {
 public:
  void RunGrid(const LaunchShape& shape, const std::function<void()>& kernel);
  // Asynchronous copies may come at any time before they are waited for: in one order of threads
  // they come at once, in the others as late as possible.
  bool copies_at_once() const { return order_ == Order::kDescending; }
  void SetOrder(Order order) {
    order_ = order;
    random_ = 1;  // what is shuffled does not depend on what ran before
  }

  void Barrier(uint32_t id, uint32_t threads, const Site& site);
  void Exchange(uint32_t mask, Combine combine, const void* input, void* output, const Site& site);
  void* StaticShared(const void* key, size_t bytes);
  void* DynamicShared();
  [[noreturn]] void Fail(const std::string& what) const;

  Thread& current() { return *current_; }
  const Extent& block_index() const { return block_index_; }
  const LaunchShape& shape() const { return shape_; }

 private:
  static void RunThread(void* thread);
  void RunBlock();
  void StartThreads();
  bool RunWarp(uint32_t warp);
  bool Resume(Thread& thread);
  void Suspend(State state, const Site& site);
  void FailDeadlock() const;
  void Arrange(std::vector<uint32_t>& order, uint32_t count);
  // Completes an exchange of the warp whose first thread is `first`.
  void Finish(uint32_t mask, Combine combine, uint32_t first);
  uint32_t Number(const Thread& thread) const;

  Order order_ = Order::kAscending;
  uint64_t random_ = 1;
  std::vector<std::unique_ptr<Thread>> threads_;  // at least those of the block
  uint32_t count_ = 0;                            // threads of the block

  // Of the running grid.
  LaunchShape shape_;
  const std::function<void()>* kernel_ = nullptr;

  // Of the running block.
  Extent block_index_;
  Thread* current_ = nullptr;
  BarrierState barriers_[kBarriers];
  std::vector<Warp> warps_;
  std::vector<SharedObject> shared_;
  std::exception_ptr error_;
  std::vector<uint32_t> warp_order_;
  std::vector<uint32_t> lane_order_;
};

void CheckShape(const LaunchShape& shape) {
  const auto wrong = [](const std::string& what) { throw KernelError("launch: " + what); };
  if (shape.grid.count() == 0) wrong("grid " + Describe(shape.grid) + " is empty");
  if (shape.grid.x > INT32_MAX || shape.grid.y > kGridYzMax || shape.grid.z > kGridYzMax) {
    wrong("grid " + Describe(shape.grid) + " is too large");
  }
  if (shape.block.count() == 0 || shape.block.count() > kBlockThreadsMax || shape.block.z > 64) {
    wrong("block " + Describe(shape.block) + " has too few or too many threads");
  }
  if (shape.shared_bytes > kDynamicSharedMax) {
    wrong(std::to_string(shape.shared_bytes) + " bytes of shared memory are too many");
  }
}

void BlockRunner::RunGrid(const LaunchShape& shape, const std::function<void()>& kernel) {
  CheckShape(shape);
  if (kernel_ != nullptr) throw KernelError("launch: a kernel launched a kernel");
  shape_ = shape;
  kernel_ = &kernel;
  count_ = static_cast<uint32_t>(shape.block.count());
  while (threads_.size() < count_) threads_.push_back(std::make_unique<Thread>());
  struct Reset {
    BlockRunner* runner;
    ~Reset() {
      runner->kernel_ = nullptr;
      runner->shared_.clear();
    }
  } reset{this};
  const uint64_t blocks = shape.grid.count();
  for (uint64_t i = 0; i < blocks; ++i) {
    block_index_ = At(order_ == Order::kDescending ? blocks - 1 - i : i, shape.grid);
    RunBlock();
  }
}

void BlockRunner::StartThreads() {
  for (uint32_t i = 0; i < count_; ++i) {
    Thread& thread = *threads_[i];
    thread.runner = this;
    thread.index = At(i, shape_.block);
    thread.state = State::kReady;
    thread.copies.clear();
    thread.fiber.Start(&RunThread, &thread);
  }
}

void BlockRunner::RunBlock() {
  shared_.clear();
  std::fill(std::begin(barriers_), std::end(barriers_), BarrierState{});
  error_ = nullptr;
  warps_.assign((count_ + kWarp - 1) / kWarp, Warp{});
  if (count_ % kWarp != 0) warps_.back().left = UINT32_MAX << count_ % kWarp;  // never came
  StartThreads();
  bool progress = true;
  while (progress) {
    progress = false;
    Arrange(warp_order_, (count_ + kWarp - 1) / kWarp);
    for (const uint32_t warp : warp_order_) progress = RunWarp(warp) || progress;
  }
  const bool all_left = std::all_of(threads_.begin(), threads_.begin() + count_,
                                    [](const auto& t) { return t->state == State::kLeft; });
  if (!all_left) FailDeadlock();
}

void BlockRunner::RunThread(void* pointer) {
  Thread& thread = *static_cast<Thread*>(pointer);
  BlockRunner& runner = *thread.runner;
  try {
    (*runner.kernel_)();
    const bool in_flight = std::any_of(thread.copies.begin(), thread.copies.end(),
                                       [](const auto& group) { return !group.empty(); });
    if (in_flight) runner.Fail("the thread left while its copies were in flight");
  } catch (...) {
    runner.error_ = std::current_exception();
  }
  thread.state = State::kLeft;
  const uint32_t number = runner.Number(thread);
  runner.warps_[number / kWarp].left |= 1u << number % kWarp;
}

// Until all lanes of the warp wait at barriers or have left. Returns whether any ran.
bool BlockRunner::RunWarp(uint32_t warp) {
  const uint32_t first = warp * kWarp;
  bool ran = false;
  bool progress = true;
  while (progress) {
    progress = false;
    Arrange(lane_order_, std::min(kWarp, count_ - first));
    for (const uint32_t lane : lane_order_) progress = Resume(*threads_[first + lane]) || progress;
    ran = ran || progress;
  }
  return ran;
}

bool BlockRunner::Resume(Thread& thread) {
  if (thread.state != State::kReady) return false;
  current_ = &thread;
  thread.fiber.Resume();
  current_ = nullptr;
  if (error_) std::rethrow_exception(error_);
  return true;
}

void BlockRunner::Suspend(State state, const Site& site) {
  Thread& thread = *current_;
  thread.state = state;
  thread.site = site;
  thread.fiber.Suspend();
}

// SplitMix64 and the shuffle of Fisher and Yates.
void BlockRunner::Arrange(std::vector<uint32_t>& order, uint32_t count) {
  order.resize(count);
  std::iota(order.begin(), order.end(), 0u);
  if (order_ == Order::kDescending) std::reverse(order.begin(), order.end());
  if (order_ != Order::kShuffled) return;
  for (uint32_t i = count; i > 1; --i) {
    uint64_t z = random_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    std::swap(order[i - 1], order[(z ^ (z >> 31)) % i]);
  }
}

void BlockRunner::Barrier(uint32_t id, uint32_t threads, const Site& site) {
  if (id >= kBarriers) Fail("barrier " + std::to_string(id) + " does not exist");
  BarrierState& barrier = barriers_[id];
  const uint32_t expected = threads == 0 ? count_ : threads;
  if (barrier.arrived > 0 && !SamePlace(barrier.site, site)) {
    Fail("barrier divergence: the thread is at " + Describe(site) +
         ", others of its block are at " + Describe(barrier.site));
  }
  if (barrier.arrived > 0 && barrier.expected != expected) {
    Fail("barrier " + Describe(site) + " is for different numbers of threads");
  }
  barrier.expected = expected;
  barrier.site = site;
  if (++barrier.arrived < expected) {
    current_->barrier = id;
    Suspend(State::kAtBarrier, site);
    return;
  }
  barrier.arrived = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    Thread& thread = *threads_[i];
    if (thread.state == State::kAtBarrier && thread.barrier == id) thread.state = State::kReady;
  }
}

uint32_t BlockRunner::Number(const Thread& thread) const {
  const Extent& block = shape_.block;
  return thread.index.x + block.x * (thread.index.y + block.y * thread.index.z);
}

void BlockRunner::Exchange(uint32_t mask, Combine combine, const void* input, void* output,
                           const Site& site) {
  Thread& thread = *current_;
  const uint32_t number = Number(thread);
  const uint32_t own = 1u << number % kWarp;
  Warp& warp = warps_[number / kWarp];
  if ((mask & own) == 0) Fail("warp exchange " + Describe(site) + ": not in its own mask");
  if ((mask & warp.left) != 0) {
    Fail("warp exchange " + Describe(site) + ": lane " +
         std::to_string(std::countr_zero(mask & warp.left)) + " has left");
  }
  thread.input = input;
  thread.output = output;
  auto meeting = std::find_if(warp.meetings.begin(), warp.meetings.end(),
                              [&](const Meeting& m) { return m.mask == mask; });
  if (meeting == warp.meetings.end()) {
    meeting = warp.meetings.insert(meeting, {mask, 0, combine, site});
  }
  if (meeting->combine != combine || !SamePlace(meeting->site, site)) {
    Fail("warp divergence: the thread exchanges at " + Describe(site) + ", lane " +
         std::to_string(std::countr_zero(meeting->arrived)) + " at " + Describe(meeting->site));
  }
  meeting->arrived |= own;
  if (meeting->arrived != mask) {
    Suspend(State::kExchanging, site);
    return;
  }
  warp.meetings.erase(meeting);
  Finish(mask, combine, number / kWarp * kWarp);
}

void BlockRunner::Finish(uint32_t mask, Combine combine, uint32_t first) {
  const void* inputs[kWarp] = {};
  void* outputs[kWarp] = {};
  for (uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    Thread& thread = *threads_[first + lane];
    inputs[lane] = thread.input;
    outputs[lane] = thread.output;
    thread.state = State::kReady;
  }
  combine(mask, inputs, outputs);
}

void* BlockRunner::StaticShared(const void* key, size_t bytes) {
  size_t sum = bytes;
  for (const SharedObject& object : shared_) {
    if (object.key == key) return object.memory.get();
    if (object.key != this) sum += object.bytes;
  }
  if (sum > kStaticSharedMax) Fail("more than 48 KB of static shared memory");
  return shared_.emplace_back(key, bytes).memory.get();
}

void* BlockRunner::DynamicShared() {
  for (const SharedObject& object : shared_) {
    if (object.key == this) return object.memory.get();
  }
  return shared_.emplace_back(this, shape_.shared_bytes).memory.get();
}

void BlockRunner::Fail(const std::string& what) const {
  throw KernelError("block " + Describe(block_index_) + " thread " + Describe(current_->index) +
                    ": " + what);
}

void BlockRunner::FailDeadlock() const {
  std::string text = "block " + Describe(block_index_) + " can not go on:";
  std::vector<std::pair<std::string, uint32_t>> groups;
  for (uint32_t i = 0; i < count_; ++i) {
    const Thread& thread = *threads_[i];
    const std::string group = thread.state == State::kLeft ? "have left"
                              : thread.state == State::kAtBarrier
                                  ? "wait at the barrier " + Describe(thread.site)
                                  : "wait in the warp exchange " + Describe(thread.site);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& entry) { return entry.first == group; });
    if (found == groups.end()) {
      groups.emplace_back(group, 1);
    } else {
      ++found->second;
    }
  }
  for (const auto& [group, threads] : groups) {
    text += " " + std::to_string(threads) + " threads " + group + ";";
  }
  text.back() = '.';
  throw KernelError(text);
}

BlockRunner& Runner() {
  thread_local BlockRunner runner;
  return runner;
}

}  // namespace

void SetOrder(Order order) { Runner().SetOrder(order); }

void RunGrid(const LaunchShape& shape, const std::function<void()>& thread) {
  Runner().RunGrid(shape, thread);
}

Extent ThreadIndex() { return Runner().current().index; }
Extent BlockIndex() { return Runner().block_index(); }
Extent BlockExtent() { return Runner().shape().block; }
Extent GridExtent() { return Runner().shape().grid; }

void Barrier(uint32_t id, uint32_t threads, const Site& site) {
  Runner().Barrier(id, threads, site);
}

void Exchange(uint32_t mask, Combine combine, const void* input, void* output, const Site& site) {
  Runner().Exchange(mask, combine, input, output, site);
}

void* StaticShared(const void* key, size_t bytes) { return Runner().StaticShared(key, bytes); }
void* DynamicShared() { return Runner().DynamicShared(); }

void CopyAsync(void* target, const void* source, size_t bytes, size_t zeros) {
  if (Runner().copies_at_once()) Copy({target, source, bytes, zeros});
  auto& groups = Runner().current().copies;
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back({target, source, bytes, zeros});
}

void CommitCopies() {
  auto& groups = Runner().current().copies;
  if (groups.empty()) groups.emplace_back();
  groups.emplace_back();
}

void WaitCopies(uint32_t groups_left) {
  auto& groups = Runner().current().copies;
  // The open group is not waited for.
  while (groups.size() > size_t{groups_left} + 1) {
    if (!Runner().copies_at_once()) {
      for (const PendingCopy& copy : groups.front()) Copy(copy);
    }
    groups.erase(groups.begin());
  }
}

void Fail(const char* what, const Site& site) { Runner().Fail(what + (" at " + Describe(site))); }

void CheckAligned(const void* address, size_t alignment, const Site& site) {
  if (reinterpret_cast<uintptr_t>(address) % alignment != 0) {
    Fail(("an address is not a multiple of " + std::to_string(alignment)).c_str(), site);
  }
}

}  // namespace infercept::emulation
