#include "engine/step_recorder.h"

#include <algorithm>

namespace infercept {
namespace {

StepRecord MakeRecord(const StepPlan& plan, const StepResult& result) {
  StepRecord record;
  record.step = plan.step;
  record.slices = static_cast<uint32_t>(plan.slices.size());
  record.tokens = static_cast<uint32_t>(plan.tokens.size());
  record.decodes = static_cast<uint32_t>(
      std::count_if(plan.slices.begin(), plan.slices.end(),
                    [](const Slice& slice) { return slice.sample && slice.count == 1; }));
  record.swap_out_blocks = static_cast<uint32_t>(plan.swap_out.size());
  record.swap_in_blocks = static_cast<uint32_t>(plan.swap_in.size());
  record.compute = result.compute;
  record.total = result.total;
  return record;
}

}  // namespace

Status StepRecorder::Execute(const StepPlan& plan, StepResult& result) {
  Status status = executor_.Execute(plan, result);
  if (!status.ok()) return status;
  const StepRecord record = MakeRecord(plan, result);
  fresh_.push_back(record);
  ring_[count_ % kStepRecordsKept] = record;
  ++count_;
  return status;
}

std::vector<StepRecord> StepRecorder::Recent() const {
  std::vector<StepRecord> records;
  const uint64_t first = count_ > kStepRecordsKept ? count_ - kStepRecordsKept : 0;
  for (uint64_t i = first; i < count_; ++i) records.push_back(ring_[i % kStepRecordsKept]);
  return records;
}

}  // namespace infercept
