// The JavaScript class around one Engine; lib/native-protocol.ts documents its methods.
//
//   new NativeEngine(spec, options, onBatch)   starts the thread, which loads the model
//   stop()                                     asks the thread to end; answered by the notice
//   "stopped" close()                                    joins it and frees everything
//
// The environment may end at any moment (worker.terminate, process.exit): the cleanup hook joins
// the thread.
#pragma once

#include <memory>

#include "binding/event_bridge.h"
#include "binding/napi_setup.h"
#include "engine/engine.h"

namespace infercept {

class NativeEngine : public Napi::ObjectWrap<NativeEngine> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit NativeEngine(const Napi::CallbackInfo& info);
  ~NativeEngine() override;

 private:
  using CleanupHook = Napi::Env::CleanupHook<void (*)(NativeEngine*), NativeEngine>;

  Napi::Value Post(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Dump(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value SetReferenced(const Napi::CallbackInfo& info);

  void CloseEngine(Napi::Env env);
  Engine& OpenEngine(Napi::Env env);
  static void OnEnvironmentEnd(NativeEngine* self);

  std::unique_ptr<EventBridge> bridge_;  // Outlives engine_, whose thread calls it.
  std::unique_ptr<Engine> engine_;       // nullptr: closed.
  CleanupHook cleanup_hook_;
};

}  // namespace infercept
