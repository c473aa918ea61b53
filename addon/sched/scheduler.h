// Decides, step by step, which tokens are computed and where every context lives.
//
// Thread: one (the engine's or the simulation's). No clock, no I/O, no randomness: time is an
// argument.
//
//            Submit            Plan: memory, budget          Commit: stop, length
//   (none) ---------> waiting ---------------------> running ---------------------> finished
//                        ^                            |  ^ |                        or paused
//                        (keep) |  its blocks were taken     |  | | Commit: trigger
//                        +----------------------------+  | v Pause: from code
//                        +---------- Resume ----------- paused
//
// Where a context is (device, host, none per block) is recorded in its block table alone.
//
// Liveness. The head of the queue, that is of waiting and running sequences by priority, then
// arrival, then id, is not starved: counted from the step in which it becomes the head, and again
// after each step that computes for it, it gets tokens at the latest after
//   one step in which it only waits for memory that is being copied out; under `adaptive`, which
//     moves before it discards, DivCeil(m, n) steps that copy m missing blocks out, and
//   DivCeil(h, n) steps that bring its h blocks from the host back, n of the link's budget (>= 1).
// Memory: all paused and all younger sequences together hold what the head misses (Submit and
// Resume refused it otherwise). What is discarded or preempted is available at once, what is copied
// out is in the next step, and nobody younger may take it (StepBuilder::ReservedFrom). A sequence
// that is not the head becomes it when those before it have finished or paused; only higher
// priorities, older ones that come back, or, when it came back with a large context, those that
// arrived within a bounded time after it (QueueOrder) can be put before it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kv/kv_manager.h"
#include "sched/cost_model.h"
#include "sched/duration_predictor.h"
#include "sched/event.h"
#include "sched/kind_account.h"
#include "sched/policy.h"
#include "sched/queue_order.h"
#include "sched/sequence_table.h"
#include "sched/stats.h"
#include "sched/step_builder.h"
#include "sched/step_plan.h"
#include "sched/waste_account.h"

namespace infercept {

class Scheduler {
 public:
  Scheduler(const SchedulerConfig& config, const CostModel& cost);
  ~Scheduler();

  // Facts from outside, taken at step boundaries: REQUIRES that no plan is being executed. What
  // cannot be done is an error and changes nothing: kInvalidArgument for a sequence that is unknown
  // or in another state.

  // A new sequence. kContextTooLong / kOutOfMemory when it could never fit.
  Status Submit(SeqId seq, std::vector<TokenId> prompt, int32_t priority, bool keep, Nanos now);
  // Ends an interception: appends what was returned. A new turn (of a kept sequence) gets `now` as
  // its arrival.
  Status Resume(SeqId seq, std::span<const TokenId> returned, bool new_turn, Nanos now);
  // What is known about the present or coming interception.
  Status Mark(SeqId seq, const InterceptionFacts& facts, Nanos now);
  // An interception marked from code. OK and without effect when the sequence is paused already.
  Status Pause(SeqId seq, const InterceptionFacts& facts, Nanos now);
  // Ends the turn. A kept sequence is paused and cut back to `tokens` (if given), another one is
  // freed.
  Status Abort(SeqId seq, std::optional<uint32_t> tokens, Nanos now);
  // Cuts a paused sequence back to its first `tokens` (at least 1) tokens.
  Status Rewind(SeqId seq, uint32_t tokens);
  // Makes `child` a paused, kept copy of a paused parent; they share every block.
  Status Fork(SeqId parent, SeqId child, Nanos now);
  // Moves a paused context out of device memory in the next steps, whatever the policy thinks.
  Status Suspend(SeqId seq);
  // Frees the sequence in any state.
  Status Release(SeqId seq);

  // The next step. The plan belongs to the scheduler and is valid until the next Plan. An empty
  // plan means that nothing can be done until a command arrives.
  const StepPlan& Plan(Nanos now);

  // Records what the executor did. `now` is the time at which the step ended. A result that does
  // not answer the plan (a sample for each slice that asked for one, in plan order, and no context
  // longer than context_tokens_max) throws InternalError, and nothing is recorded.
  void Commit(const StepResult& result, Nanos now);

  // Events since the last call, oldest first (pauses, resumes, finishes, decisions). Valid until
  // the next call; the caller may move from them.
  std::vector<SchedulerEvent>& TakeEvents();

  SchedulerStats Stats() const;
  // The same into a value whose memory is used again.
  void ReadStats(SchedulerStats& stats) const;
  const CostModel& cost_model() const { return cost_; }
  const DurationPredictor& durations() const { return durations_; }
  // What an earlier scheduler learnt about how long interceptions last.
  void ImportDurations(std::span<const LearnedDurations> learned) { durations_.Import(learned); }
  // nullptr when unknown.
  const Sequence* Find(SeqId seq) const;
  // Tokens that one sequence can have: the model's limit, or what the whole pool holds; where the
  // pool holds a window and more, the model's.
  uint32_t context_tokens_max() const;
  // Sequences of every state, ordered by id.
  std::vector<const Sequence*> Sequences() const;
  const KvManager& kv() const { return kv_; }
  // Each block is free or referenced exactly as often as its count says, in every tier, and all
  // that is kept up to date is what it would be if it were computed anew; throws InternalError if
  // not.
  void CheckIntegrity() const;
  std::string DebugString() const;

 private:
  Status CheckFits(uint64_t tokens) const;
  Nanos PlaceOf(const Sequence& sequence, bool new_turn, Nanos now) const;
  size_t HeldTokens(const Sequence& sequence) const;
  Sequence* FindPaused(SeqId seq);
  void BeginInterception(Sequence& sequence, Nanos now);
  void BeginPause(Sequence& sequence, PauseReason reason, Nanos now);
  void EndTurn(Sequence& sequence, FinishReason reason, Nanos now);
  void CutBack(Sequence& sequence, uint32_t tokens);
  void CheckAnswers(const StepResult& result) const;
  void PrepareCommit(size_t slice);
  void CommitSlice(Sequence& sequence, const Slice& slice);
  void CommitToken(Sequence& sequence, const SampledToken& sampled, Nanos now);
  void CommitOutcomes(const StepResult& result, Nanos now);
  void CommitOutcome(Sequence& sequence, const SampledToken& sampled, Nanos now);
  void ObserveCosts(const StepResult& result);

  const SchedulerConfig config_;
  CostModel cost_;
  DurationPredictor durations_;
  KvManager kv_;
  KindAccount kinds_;
  SequenceTable sequences_;
  QueueOrder queue_;
  StepPlan plan_;
  PlanNotes notes_;  // What Plan learnt that Commit accounts.
  PlanBuffers buffers_;
  SchedulerStats stats_;
  std::vector<SchedulerEvent> events_;
  std::vector<SchedulerEvent> taken_events_;  // Those that TakeEvents gave out.
  WasteAccount account_;
  uint64_t planned_ = 0;  // Plans made, empty ones included: numbers steps.
};

}  // namespace infercept
