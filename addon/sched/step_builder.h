// Builds one plan. Its budgets (query tokens, copies in both directions) live and die with the
// step.
//
// Order of a step: reclaim what the policy gives up; let the oldest runnable sequence go on,
// whatever it takes (liveness); then decodes, one token each; then prefill, recompute and returned
// tokens share what the decodes leave of the saturation point S, oldest first, stopping at the
// first that memory refuses; at last, what is left of the link copies ahead of time.
#pragma once

#include <optional>
#include <vector>

#include "kv/kv_manager.h"
#include "sched/cost_model.h"
#include "sched/duration_predictor.h"
#include "sched/event.h"
#include "sched/policy.h"
#include "sched/scheduler_config.h"
#include "sched/sequence_table.h"
#include "sched/stats.h"
#include "sched/step_plan.h"

namespace infercept {

struct SequenceCount {
  Sequence* sequence = nullptr;
  uint32_t count = 0;
};

// What planning learnt and accounting needs.
struct PlanNotes {
  uint32_t recompute_tokens = 0;  // query tokens of the plan that were computed before
  uint32_t query_tokens = 0;
  uint64_t kv_tokens = 0;  // sum of CostModel::KvReads
  // Device blocks that runnable work wanted and did not get.
  uint64_t refused_blocks = 0;
  uint32_t blocks_left = 0;          // device blocks that nobody uses in the step
  std::vector<Sequence*> sequences;  // [slices]
  // Whose tokens are computed again, and whose blocks are copied, in either direction: how many.
  std::vector<SequenceCount> recomputed;
  std::vector<SequenceCount> copied;

  void Clear();  // keeps capacity
};

// Of many paused contexts, those that were expected to stay away longest when all were looked at.
struct RankedContext {
  double residual_seconds = 0;
  uint32_t place = 0;
  SeqId seq{};
};
struct LongestWaits {
  struct List {
    std::vector<RankedContext> ranked;  // all; only their memory is used again
    std::vector<SeqId> longest;         // first
  };
  List leaving;  // they have something to give
  List copied;   // they have something to copy ahead of time
  uint64_t as_of = 0;
  bool host_too = false;  // those on the host were looked at, too
};

// Memory of a builder that the next one uses again.
struct PlanBuffers {
  std::vector<PausedContext> paused;  // The policy's input: contexts lent to it.
  LongestWaits waits;
  std::vector<PausedContext> undecided;  // Nothing was said of them yet.
  std::vector<Decision> decisions;       // The policy's output.
  std::vector<Decision> candidates;      // A heap; see StepBuilder::TakeFromPaused.
  std::vector<SeqId> waived;
  std::vector<Sequence*> returning;  // They wait for blocks, and have memory reserved for them.
  uint32_t returning_blocks = 0;     // What the link had not brought them yet after the last plan.
};

// Everything a builder looks at or changes; owned by the scheduler.
struct StepContext {
  const SchedulerConfig& config;
  const CostModel& cost;
  const DurationPredictor& durations;
  KvManager& kv;
  KindAccount& kinds;
  SequenceTable& sequences;
  SchedulerStats& stats;
  std::vector<SchedulerEvent>& events;
  PlanBuffers& buffers;
  Nanos now;
};

class StepBuilder {
 public:
  StepBuilder(const StepContext& context, StepPlan& plan, PlanNotes& notes);
  void Build();

 private:
  // Measuring (step_load.cc).
  StepLoad MeasureLoad() const;
  double ExpectedSeconds(const StepLoad& load) const;
  void MeasureLink(StepLoad& load, double seconds) const;
  void MeasureShortage(StepLoad& load) const;
  uint64_t PrefillWants(const StepLoad& load) const;
  MemoryPressure MeasurePressure() const;

  // Reclaiming (step_reclaim.cc).
  double ResidualSeconds(InterceptionState& interception) const;
  PausedContext Describe(Sequence& sequence) const;
  Decision Weigh(const PausedContext& paused, Disposition disposition, uint32_t blocks) const;
  void Reclaim();
  void GiveUpWaived();
  void NoteUndecided();
  void AskPolicy();
  void CarryOut(Decision decision);
  void Report(Sequence& sequence, const Decision& decision);
  uint32_t SwapOutSuffix(Sequence& sequence, uint32_t blocks, uint32_t copies);
  uint32_t DiscardSuffix(Sequence& sequence, uint32_t blocks, bool host_too = false);
  void CopyAhead();

  // Looking for contexts that may give way (step_gather.cc).
  void GatherPaused();
  template <typename Visit>
  void ForEachLent(bool host_too, Visit visit);
  void RankAll();
  bool GatherLongest();
  template <typename Gives, typename Count, typename Enough>
  void Gather(LongestWaits::List& list, Gives gives, Count count, Enough enough);

  // Making room (step_room.cc).
  // Frees device blocks for `sequence` until `blocks` are available: from paused contexts (all of
  // them if `revoke`), then from younger active sequences that are not in the plan. False: not in
  // this step.
  bool MakeRoom(const Sequence& sequence, uint32_t blocks, bool revoke);
  bool TakeFromPaused(uint32_t blocks, bool revoke);
  uint32_t CopiesToMakeRoom(bool revoke) const;
  bool WaitsForCopies() const;
  void GatherCandidates(bool revoke);
  bool AddCandidate(Sequence& sequence, bool revoke);
  bool TakeFrom(Sequence& victim, Decision decision, uint32_t blocks, bool revoke);
  void DropWhatIsShared(const Sequence& oldest);
  void Preempt(Sequence& sequence);
  bool PreemptYoungerThan(const Sequence& sequence, uint32_t blocks, bool revoke);

  // Filling (step_builder.cc).
  bool AddOldest();
  void AddDecodes();
  void AddPrefills();
  bool AddPrefill(Sequence& sequence);
  void NoteRefusedPrefills(const Sequence& first);
  bool Reattach(Sequence& sequence);
  void MeasureLeft();
  void BringBack();
  void BringBack(Sequence& sequence, uint32_t blocks);
  void AttachCached(Sequence& sequence);
  uint32_t Demand(const Sequence& sequence) const;
  uint32_t Watermark(const StepLoad& load) const;
  uint32_t ReservedFrom(const Sequence& sequence) const;
  bool Fits(const Sequence& sequence, uint32_t demand);
  bool StepIsFull() const;
  void AddSlice(Sequence& sequence, uint32_t count);
  bool InPlan(const Sequence& sequence) const { return sequence.planned_step == plan_.step; }
  void NoteResume(Sequence& sequence);
  Hindsight LookBackOn(const Sequence& sequence) const;
  WaitEstimate EstimateOf(Sequence& sequence, Expectation expectation) const;
  PlanBuffers& buffers() const { return context_.buffers; }
  bool synchronous() const { return context_.config.policy == PolicyKind::kSwap; }
  bool adaptive() const { return context_.config.policy == PolicyKind::kAdaptive; }
  bool full_duplex() const { return adaptive() && context_.config.ideas.full_duplex; }
  bool copies_ahead() const { return adaptive() && context_.config.ideas.copy_ahead; }
  bool returns_partially() const { return adaptive() && context_.config.ideas.partial_return; }
  bool keeps_spare_copies() const { return adaptive() && context_.config.ideas.spare_copies; }

  const StepContext& context_;
  KvManager& kv_;
  StepPlan& plan_;
  PlanNotes& notes_;
  StepLoad load_;
  MemoryPressure pressure_;
  uint32_t tokens_left_ = 0;    // query tokens that prefill may still take
  uint32_t swap_out_left_ = 0;  // blocks
  uint32_t swap_in_left_ = 0;   // blocks
  uint32_t reserved_ = 0;       // device blocks that returning sequences will take in this plan
  bool gathered_ = false;       // PlanBuffers::paused is of this step
  const Sequence* refused_ = nullptr;  // the first decode that memory refused
  Sequence* waiting_ = nullptr;        // the first of the others that memory refused
  // What the candidates in the buffers were gathered for; nothing: there are none yet.
  std::optional<bool> candidates_revoke_;
  uint64_t candidates_as_of_ = 0;  // KvManager::sharing_changes() then.
};

}  // namespace infercept
