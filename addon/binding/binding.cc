// The addon's exports. Context-aware: each environment (the main thread and every worker) has its
// own class object.
#include <thread>

#include "binding/napi_setup.h"
#include "binding/native_engine.h"
#include "binding/native_policy.h"
#include "binding/simulate.h"
#include "kernels/ops.h"

namespace infercept {
namespace {

Napi::Value SystemInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array isas = Napi::Array::New(env);
  for (const Ops* ops : SupportedOps()) {
    isas.Set(isas.Length(), Napi::String::New(env, std::string(ops->isa())));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("isas", isas);
  object.Set("threads", Napi::Number::New(env, std::thread::hardware_concurrency()));
  return object;
}

Napi::Object Export(Napi::Env env, Napi::Object exports) {
  exports.Set("NativeEngine", NativeEngine::Define(env));
  exports.Set("NativePolicy", NativePolicy::Define(env));
  exports.Set("simulate", Napi::Function::New(env, StartSimulation, "simulate"));
  exports.Set("systemInfo", Napi::Function::New(env, SystemInfo, "systemInfo"));
  return exports;
}

}  // namespace
}  // namespace infercept

static Napi::Object InitializeAddon(Napi::Env env, Napi::Object exports) {
  return infercept::Export(env, exports);
}

NODE_API_MODULE(infercept, InitializeAddon)
