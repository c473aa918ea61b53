#include "binding/native_engine.h"

#include <utility>
#include <vector>

#include "binding/convert_in.h"
#include "binding/convert_out.h"
#include "binding/object_reader.h"

namespace infercept {
namespace {

Engine::Loader MakeLoader(const Napi::CallbackInfo& info) {
  return [spec = ToModelSpec(info[0]), options = ToRuntimeOptions(info[1]),
          table = ToTokenTable(info[1].As<Napi::Object>().Get("vocabulary"))](
             const ReportProgress& report) { return LoadRuntime(spec, options, table, report); };
}

void ThrowIfError(Napi::Env env, const Status& status) {
  if (!status.ok()) throw ToError(env, status);
}

}  // namespace

Napi::Function NativeEngine::Define(Napi::Env env) {
  return DefineClass(
      env, "NativeEngine",
      {InstanceMethod<&NativeEngine::Post>("post"), InstanceMethod<&NativeEngine::Stats>("stats"),
       InstanceMethod<&NativeEngine::Dump>("dump"), InstanceMethod<&NativeEngine::Stop>("stop"),
       InstanceMethod<&NativeEngine::Close>("close"),
       InstanceMethod<&NativeEngine::SetReferenced>("setReferenced")});
}

NativeEngine::NativeEngine(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeEngine>(info) {
  if (!info[2].IsFunction()) ThrowInvalid(info.Env(), "onBatch must be a function.");
  Engine::Loader loader = MakeLoader(info);
  bridge_ = std::make_unique<EventBridge>(info.Env(), info[2].As<Napi::Function>(),
                                          [this] { return engine_->Take(); });
  engine_ =
      std::make_unique<Engine>(std::move(loader), [bridge = bridge_.get()] { bridge->Notify(); });
  // Added after the bridge's thread-safe function, so it runs before that function's own hook.
  cleanup_hook_ = info.Env().AddCleanupHook(&NativeEngine::OnEnvironmentEnd, this);
}

NativeEngine::~NativeEngine() { CloseEngine(Env()); }

void NativeEngine::OnEnvironmentEnd(NativeEngine* self) {
  self->engine_.reset();
  self->bridge_->Abandon();
}

void NativeEngine::CloseEngine(Napi::Env env) {
  if (engine_ == nullptr) return;
  engine_.reset();
  bridge_->Close();
  cleanup_hook_.Remove(env);
}

Engine& NativeEngine::OpenEngine(Napi::Env env) {
  if (engine_ == nullptr) {
    throw ToError(env, Status(StatusCode::kDisposed, "The engine was disposed."));
  }
  return *engine_;
}

Napi::Value NativeEngine::Post(const Napi::CallbackInfo& info) {
  Engine& engine = OpenEngine(info.Env());
  std::vector<Command> commands;
  for (size_t i = 0; i < info.Length(); ++i) commands.push_back(ToCommand(info[i]));
  ThrowIfError(info.Env(), engine.PostTogether(std::move(commands)));
  return info.Env().Undefined();
}

Napi::Value NativeEngine::Stats(const Napi::CallbackInfo& info) {
  return ToStats(info.Env(), OpenEngine(info.Env()).Stats());
}

Napi::Value NativeEngine::Dump(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) ThrowInvalid(info.Env(), "id must be a number.");
  const uint32_t id = info[0].As<Napi::Number>().Uint32Value();
  const DumpSubject subject =
      info[1].ToString().Utf8Value() == "durations" ? DumpSubject::kDurations : DumpSubject::kState;
  ThrowIfError(info.Env(), OpenEngine(info.Env()).RequestDump(id, subject));
  return info.Env().Undefined();
}

Napi::Value NativeEngine::Stop(const Napi::CallbackInfo& info) {
  if (engine_ != nullptr) engine_->Stop();
  return info.Env().Undefined();
}

Napi::Value NativeEngine::Close(const Napi::CallbackInfo& info) {
  CloseEngine(info.Env());
  return info.Env().Undefined();
}

Napi::Value NativeEngine::SetReferenced(const Napi::CallbackInfo& info) {
  bridge_->SetReferenced(info.Env(), info[0].ToBoolean());
  return info.Env().Undefined();
}

}  // namespace infercept
