// The JavaScript class around what the scheduler asks: a policy, a cost model and a duration
// predictor, for engines that have their own sequences and blocks. lib/native-protocol.ts documents
// its methods. All times are seconds. Thread: the JavaScript thread.
#pragma once

#include <vector>

#include "binding/napi_setup.h"
#include "binding/object_reader.h"
#include "sched/cost_model.h"
#include "sched/duration_predictor.h"
#include "sched/policy.h"

namespace infercept {

class NativePolicy : public Napi::ObjectWrap<NativePolicy> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit NativePolicy(const Napi::CallbackInfo& info);

 private:
  Napi::Value ObserveStep(const Napi::CallbackInfo& info);
  Napi::Value ObserveCopy(const Napi::CallbackInfo& info);
  Napi::Value ObserveInterception(const Napi::CallbackInfo& info);

  Napi::Value Decide(const Napi::CallbackInfo& info);
  Napi::Value Weigh(const Napi::CallbackInfo& info);
  Napi::Value Residual(const Napi::CallbackInfo& info);
  Napi::Value StepSeconds(const Napi::CallbackInfo& info);
  Napi::Value CopySeconds(const Napi::CallbackInfo& info);
  Napi::Value CopyBlocksWithin(const Napi::CallbackInfo& info);
  Napi::Value KvReads(const Napi::CallbackInfo& info);
  Napi::Value Costs(const Napi::CallbackInfo& info);
  Napi::Value Durations(const Napi::CallbackInfo& info);

  std::vector<PausedContext> ReadPaused(const ObjectReader& columns) const;
  std::vector<double> Estimate(const ObjectReader& columns,
                               std::vector<PausedContext>& paused) const;
  StepLoad ReadLoad(const ObjectReader& reader, const std::vector<PausedContext>& paused) const;
  uint32_t SaturationTokens() const;

  // Constant after construction.
  PolicyKind policy_ = PolicyKind::kAdaptive;
  uint32_t block_tokens_ = 1;
  uint32_t window_tokens_ = 0;
  uint32_t saturation_tokens_ = 0;  // 0: from the cost model
  double bytes_per_token_ = 0;

  CostModel cost_;
  DurationPredictor durations_;
};

}  // namespace infercept
