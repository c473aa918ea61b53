// Keeps one record per executed step, for events and dumps. Owner and thread: the engine.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/engine_info.h"
#include "engine/executor.h"

namespace infercept {

inline constexpr size_t kStepRecordsKept = 64;

class StepRecorder final : public Executor {
 public:
  // `executor` outlives the recorder.
  explicit StepRecorder(Executor& executor) : executor_(executor) {}

  Status Execute(const StepPlan& plan, StepResult& result) override;
  bool runs_ahead() const override { return executor_.runs_ahead(); }
  Status Begin(const StepPlan& plan) override;
  Status Finish(StepResult& result) override;

  // Records since the owner last cleared the list.
  std::vector<StepRecord>& fresh() { return fresh_; }
  // The newest records, oldest first.
  std::vector<StepRecord> Recent() const;

 private:
  void Keep(StepRecord record, const StepResult& result);

  Executor& executor_;
  std::array<StepRecord, 2> begun_{};  // the last ones
  uint32_t under_way_ = 0;             // of them, begun and not finished
  std::vector<StepRecord> fresh_;
  std::array<StepRecord, kStepRecordsKept> ring_{};
  uint64_t count_ = 0;  // Records made; the newest stands at (count_ - 1) % kStepRecordsKept.
};

}  // namespace infercept
