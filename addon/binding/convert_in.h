// JavaScript values -> plain structs. The twin of lib/native-protocol.ts and lib/model-spec.ts.
// Thread: the JavaScript thread. Wrong values throw a JavaScript TypeError; no handle outlives the
// call.
#pragma once

#include <vector>

#include "binding/napi_setup.h"
#include "binding/object_reader.h"
#include "engine/command.h"
#include "engine/runtime.h"
#include "model/model_spec.h"
#include "sched/cost_model.h"
#include "sched/duration_predictor.h"
#include "sched/policy.h"
#include "sched/queue_order.h"
#include "text/token_table.h"

namespace infercept {

ModelSpec ToModelSpec(Napi::Value value);
RuntimeOptions ToRuntimeOptions(Napi::Value value);
TokenTable ToTokenTable(Napi::Value value);
Command ToCommand(Napi::Value value);
PolicyKind ToPolicyKind(const ObjectReader& reader, const char* key);
SloWeights ToSloWeights(const ObjectReader& reader);
CostProfile ToCostProfile(const ObjectReader& reader);
KindPath ToKindPath(const ObjectReader& reader);
std::vector<LearnedDurations> ToDurations(const ObjectReader& reader, const char* key);

}  // namespace infercept
