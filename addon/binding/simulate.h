// simulate(workload, options): the scheduler under virtual time, on a thread of libuv's pool.
#pragma once

#include "binding/napi_setup.h"

namespace infercept {

// Exported as `simulate`: ({ mix } | { sessions }, options) -> { promise, cancel() }. See
// lib/native-protocol.ts.
Napi::Value StartSimulation(const Napi::CallbackInfo& info);

}  // namespace infercept
