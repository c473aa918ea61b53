// One thread of a kernel on a stack of its own. All fibers of a scheduler run on the scheduler's
// thread, one at a time, until they suspend themselves.
#pragma once

#include <cstddef>

namespace infercept::emulation {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next Resume calls entry(argument), which must not throw. What ran before is abandoned where
  // it suspended itself: nothing on its stack is destroyed.
  void Start(void (*entry)(void*), void* argument);
  // Runs until the fiber suspends itself or its entry returns. REQUIRES: started, not done.
  void Resume();
  // Called by the running fiber: back to its Resume.
  void Suspend();
  bool done() const { return done_; }

 private:
  struct Context;
  static void Run(Fiber* fiber);
  std::byte* stack() const;

  std::byte* memory_ = nullptr;  // a guard page, then the stack
  Context* context_ = nullptr;   // where both sides continue
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool done_ = true;
  // What AddressSanitizer wants to know of a switch; unused without it.
  void* fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_bytes_ = 0;
};

}  // namespace infercept::emulation
