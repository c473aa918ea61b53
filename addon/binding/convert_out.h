// Plain structs -> JavaScript values. The twin of lib/native-protocol.ts. Thread: the JavaScript
// thread.
#pragma once

#include "base/status.h"
#include "binding/napi_setup.h"
#include "engine/outbox.h"
#include "sched/stats.h"

namespace infercept {

// A JavaScript Error with the status's code and message, to be thrown or rejected with.
Napi::Error ToError(Napi::Env env, const Status& status);

// { tokens, logprobs, events, steps }: neighbouring tokens of one sequence become one event.
Napi::Object ToBatch(Napi::Env env, const EventBatch& batch);

// Seconds, copies per block.
Napi::Object ToCosts(Napi::Env env, const CostProfile& cost);

Napi::Object ToStats(Napi::Env env, const SchedulerStats& stats);

}  // namespace infercept
