// Asks this machine what steps and copies take: the model and the storage that the engine will use.
#pragma once

#include "base/thread_pool.h"
#include "device/kv_storage.h"
#include "engine/calibration.h"
#include "engine/copy_engine.h"
#include "model/model.h"

namespace infercept {

// Its answers overwrite blocks of both tiers: ask before the first step. All arguments outlive it.
CostProbe MakeMachineProbe(Model& model, const KvStorage& storage, CopyEngine& copies,
                           ThreadPool& pool);

}  // namespace infercept
