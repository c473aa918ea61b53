// Carries "there is something to take" from the engine thread to the JavaScript thread, and the
// batch to the callback.
//
// The thread-safe function inside obeys three lifetime rules:
//   Rule 1. It keeps the process alive only while JavaScript says so (SetReferenced), not for as
//   long as it exists. Rule 2. Once the environment is being torn down it is neither called nor
//   released: the cleanup hook joins the
//           engine thread first, and Node frees the function.
//   Rule 3. Whoever ends the bridge earlier joins the engine thread, then releases the function
//   exactly once.
#pragma once

#include <functional>
#include <memory>

#include "binding/napi_setup.h"
#include "engine/outbox.h"

namespace infercept {

class EventBridge {
 public:
  // JavaScript thread. `take` is called on it, for each notification.
  EventBridge(Napi::Env env, Napi::Function callback, std::function<EventBatch()> take);
  ~EventBridge();
  EventBridge(const EventBridge&) = delete;
  EventBridge& operator=(const EventBridge&) = delete;

  // Any one thread, never waits. REQUIRES: neither Close nor Abandon was called.
  void Notify();

  // JavaScript thread, all below.
  void SetReferenced(Napi::Env env, bool referenced);
  // Rule 3. Notifications that are under way are dropped.
  void Close();
  // Rule 2.
  void Abandon();

 private:
  struct State {
    std::function<EventBatch()> take;  // Empty: closed.
  };
  static void CallJs(Napi::Env env, Napi::Function callback, State* state, void* data);
  using Function = Napi::TypedThreadSafeFunction<State, void, &EventBridge::CallJs>;

  State* state_;  // Owned by the thread-safe function, whose finalizer may run after this object is
                  // gone.
  Function function_;
  bool open_ = true;
};

}  // namespace infercept
