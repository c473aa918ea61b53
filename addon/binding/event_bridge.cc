#include "binding/event_bridge.h"

#include <utility>

#include "binding/convert_out.h"

namespace infercept {

EventBridge::EventBridge(Napi::Env env, Napi::Function callback, std::function<EventBatch()> take)
    : state_(new State{std::move(take)}),
      // Queue of any length: Outbox sends at most one notification per Take.
      function_(Function::New(
          env, callback, "infercept", 0, 1, state_,
          [](Napi::Env, void*, State* state) { delete state; }, static_cast<void*>(nullptr))) {}

EventBridge::~EventBridge() { Close(); }

void EventBridge::Notify() { function_.NonBlockingCall(); }

void EventBridge::SetReferenced(Napi::Env env, bool referenced) {
  if (!open_) return;
  if (referenced) {
    function_.Ref(env);
  } else {
    function_.Unref(env);  // Rule 1.
  }
}

void EventBridge::Close() {
  if (!open_) return;
  open_ = false;
  state_->take = nullptr;
  function_.Release();  // Rule 3.
}

void EventBridge::Abandon() { open_ = false; }  // Rule 2.

void EventBridge::CallJs(Napi::Env env, Napi::Function callback, State* state, void*) {
  if (env == nullptr || callback.IsEmpty() || !state->take) return;
  const Napi::HandleScope scope(env);
  const EventBatch batch = state->take();
  if (batch.empty()) return;
  try {
    callback.Call({ToBatch(env, batch)});
  } catch (const Napi::Error&) {
    // The callback catches everything of its own; what is left is a worker that is being
    // terminated.
  }
}

}  // namespace infercept
