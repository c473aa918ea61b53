#include "engine/step_recorder.h"

#include <algorithm>

namespace infercept {
namespace {

// What is known before the step has run.
StepRecord MakeRecord(const StepPlan& plan) {
  StepRecord record;
  record.step = plan.step;
  record.slices = static_cast<uint32_t>(plan.slices.size());
  record.tokens = static_cast<uint32_t>(plan.tokens.size());
  record.decodes = static_cast<uint32_t>(
      std::count_if(plan.slices.begin(), plan.slices.end(),
                    [](const Slice& slice) { return slice.sample && slice.count == 1; }));
  record.swap_out_blocks = static_cast<uint32_t>(plan.swap_out.size());
  record.swap_in_blocks = static_cast<uint32_t>(plan.swap_in.size());
  return record;
}

}  // namespace

Status StepRecorder::Execute(const StepPlan& plan, StepResult& result) {
  Status status = executor_.Execute(plan, result);
  if (status.ok()) Keep(MakeRecord(plan), result);
  return status;
}

Status StepRecorder::Begin(const StepPlan& plan) {
  begun_[0] = begun_[1];
  begun_[1] = MakeRecord(plan);
  ++under_way_;
  return executor_.Begin(plan);
}

Status StepRecorder::Finish(StepResult& result) {
  Status status = executor_.Finish(result);
  if (status.ok()) Keep(begun_[2 - under_way_], result);
  --under_way_;
  return status;
}

void StepRecorder::Keep(StepRecord record, const StepResult& result) {
  record.compute = result.compute;
  record.swap_out = result.swap_out;
  record.swap_in = result.swap_in;
  record.total = result.total;
  fresh_.push_back(record);
  ring_[count_ % kStepRecordsKept] = record;
  ++count_;
}

std::vector<StepRecord> StepRecorder::Recent() const {
  std::vector<StepRecord> records;
  const uint64_t first = count_ > kStepRecordsKept ? count_ - kStepRecordsKept : 0;
  for (uint64_t i = first; i < count_; ++i) records.push_back(ring_[i % kStepRecordsKept]);
  return records;
}

}  // namespace infercept
