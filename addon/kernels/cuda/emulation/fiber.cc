#include "kernels/cuda/emulation/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace infercept::emulation {
namespace {

constexpr size_t kGuardBytes = 4096;
// Kernels keep little on their stacks; what sanitizers add around variables needs more.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 * 1024;
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif

// AddressSanitizer is told of every switch. `fake_stack` null: the side that is left never returns.
void BeginSwitch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* to,
                 [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, to, bytes);
#endif
}

void EndSwitch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** from,
               [[maybe_unused]] size_t* bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, from, bytes);
#endif
}

}  // namespace

#if defined(__x86_64__)

// Saves the registers that a call must keep, and continues on the other stack. swapcontext would
// make two system calls besides, which is a hundred times as long.
extern "C" void infercept_switch_stack(void** save, void* load);
asm(R"(
.text
.type infercept_switch_stack, @function
infercept_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size infercept_switch_stack, .-infercept_switch_stack
)");

struct Fiber::Context {
  void* resumer = nullptr;
  void* fiber = nullptr;

  void Prepare(std::byte* stack, void (*run)(Fiber*), Fiber* fiber_object);
  void SwitchIn() { infercept_switch_stack(&resumer, fiber); }
  void SwitchOut() { infercept_switch_stack(&fiber, resumer); }
};

namespace {

// The first function on a new stack: its arguments come in registers that a switch loads.
extern "C" void infercept_fiber_begin();
asm(R"(
.text
.type infercept_fiber_begin, @function
infercept_fiber_begin:
  movq %r12, %rdi
  callq *%r13
  ud2
.size infercept_fiber_begin, .-infercept_fiber_begin
)");

}  // namespace

void Fiber::Context::Prepare(std::byte* stack, void (*run)(Fiber*), Fiber* fiber_object) {
  // r15, r14, r13, r12, rbx, rbp and the address that `ret` takes; then the stack is aligned to 16
  // bytes as `call` wants it, with a null above that ends every walk up the stack.
  auto* top = reinterpret_cast<uintptr_t*>(stack + kStackBytes) - 2;
  *top = 0;
  uintptr_t* frame = top - 7;
  for (int i = 0; i < 6; ++i) frame[i] = 0;
  frame[2] = reinterpret_cast<uintptr_t>(run);
  frame[3] = reinterpret_cast<uintptr_t>(fiber_object);
  frame[6] = reinterpret_cast<uintptr_t>(&infercept_fiber_begin);
  fiber = frame;
}

#else

struct Fiber::Context {
  ucontext_t resumer{};
  ucontext_t fiber{};

  static void Begin(uint32_t high, uint32_t low) {
    auto* object = reinterpret_cast<Fiber*>(static_cast<uintptr_t>(uint64_t{high} << 32 | low));
    Fiber::Run(object);
  }
  void Prepare(std::byte* stack, void (*)(Fiber*), Fiber* fiber_object) {
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = kStackBytes;
    fiber.uc_link = nullptr;
    const auto bits = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(fiber_object));
    // Arguments of makecontext are ints.
    makecontext(&fiber, reinterpret_cast<void (*)()>(&Begin), 2, static_cast<uint32_t>(bits >> 32),
                static_cast<uint32_t>(bits));
  }
  void SwitchIn() { swapcontext(&resumer, &fiber); }
  void SwitchOut() { swapcontext(&fiber, &resumer); }
};

#endif

Fiber::Fiber() {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuardBytes, PROT_NONE);
  memory_ = static_cast<std::byte*>(memory);
  context_ = new Context;
}

Fiber::~Fiber() {
  delete context_;
  munmap(memory_, kGuardBytes + kStackBytes);
}

std::byte* Fiber::stack() const { return memory_ + kGuardBytes; }

void Fiber::Start(void (*entry)(void*), void* argument) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack(), kStackBytes);  // an abandoned run leaves its marks
#endif
  entry_ = entry;
  argument_ = argument;
  done_ = false;
  fake_stack_ = nullptr;
  context_->Prepare(stack(), &Run, this);
}

void Fiber::Resume() {
  void* own_fake_stack = nullptr;
  BeginSwitch(&own_fake_stack, stack(), kStackBytes);
  context_->SwitchIn();
  EndSwitch(own_fake_stack, nullptr, nullptr);
}

void Fiber::Suspend() {
  BeginSwitch(&fake_stack_, resumer_stack_, resumer_stack_bytes_);
  context_->SwitchOut();
  EndSwitch(fake_stack_, &resumer_stack_, &resumer_stack_bytes_);
}

void Fiber::Run(Fiber* fiber) {
  EndSwitch(nullptr, &fiber->resumer_stack_, &fiber->resumer_stack_bytes_);
  fiber->entry_(fiber->argument_);
  fiber->done_ = true;
  BeginSwitch(nullptr, fiber->resumer_stack_, fiber->resumer_stack_bytes_);
  fiber->context_->SwitchOut();
}

}  // namespace infercept::emulation
