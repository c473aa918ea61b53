// A device that answers from a cost profile: it knows how long things take and what each session
// says next.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/executor.h"
#include "sched/cost_model.h"
#include "sim/workload.h"

namespace infercept {

class SimExecutor final : public Executor {
 public:
  // Sequence i is session i. The sessions outlive the executor.
  SimExecutor(std::span<const SimSession> sessions, const CostProfile& profile,
              std::function<void(const StepPlan&)> on_plan = {});

  Status Execute(const StepPlan& plan, StepResult& result) override;

  // The interception that sequence i is in, or that follows its present decoding.
  const SimSegment& Segment(SeqId seq) const;
  uint32_t SegmentIndex(SeqId seq) const { return progress_[Index(seq)].segment; }
  bool OnLastSegment(SeqId seq) const;
  // The interception is over: decoding of the next segment begins.
  void NextSegment(SeqId seq);

  // A token that no other session has at this place, unless it belongs to a shared prefix.
  static TokenId PromptToken(const SimSession& session, uint32_t index, uint32_t position);

 private:
  struct Progress {
    uint32_t segment = 0;
    uint32_t decoded = 0;  // tokens in this segment
  };

  SampledToken Sample(SeqId seq, uint32_t position);

  std::span<const SimSession> sessions_;
  CostModel cost_;
  std::function<void(const StepPlan&)> on_plan_;
  std::vector<Progress> progress_;  // [sessions]
};

}  // namespace infercept
