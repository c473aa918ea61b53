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

#include <array>
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

  // Facts from outside, taken at step boundaries: REQUIRES that every plan is committed. What
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

  // The next step. The plan belongs to the scheduler and is valid until the next one but one is
  // made. An empty plan means that nothing can be done until a command arrives.
  const StepPlan& Plan(Nanos now);

  // The step after the planned one, while that is being executed: assumes that every sequence goes
  // on after it. Tokens that it samples stand in the plan as kAwaitedToken. REQUIRES: there is a
  // planned step, it is not empty, and all before it are committed. Empty: nothing can be done
  // until that step is committed.
  const StepPlan& PlanAhead(Nanos now);

  // Records what the executor did in the oldest step that is planned and not committed. `now` is
  // the time at which the step ended. A result that does not answer the plan (a sample for each
  // slice that asked for one, in plan order, and no context longer than context_tokens_max) throws
  // InternalError, and nothing is recorded. If the next step is planned already, a sequence that
  // did not go on after all is void there: it computes a token that nobody asked for, and its
  // answer is Outcome::kVoid.
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
  // nullptr when unknown, or finished and not kept.
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
  struct PlannedStep {
    StepPlan plan;
    PlanNotes notes;  // What planning learnt that Commit accounts.
  };

  Status CheckFits(uint64_t tokens) const;
  Nanos PlaceOf(const Sequence& sequence, bool new_turn, Nanos now) const;
  size_t HeldTokens(const Sequence& sequence) const;
  Sequence* FindPaused(SeqId seq);
  void BeginInterception(Sequence& sequence, Nanos now);
  void BeginPause(Sequence& sequence, PauseReason reason, Nanos now);
  void EndTurn(Sequence& sequence, FinishReason reason, Nanos now);
  void CutBack(Sequence& sequence, uint32_t tokens);
  const StepPlan& BuildPlan(Nanos now);
  void Assume(PlannedStep& step);
  void CheckAnswers(const PlannedStep& step, const StepResult& result) const;
  static bool IsVoid(const Sequence& sequence) { return !sequence.active(); }
  void PrepareCommit(const PlannedStep& step, size_t slice) const;
  void CommitSlices(PlannedStep& step, const StepResult& result, Nanos now);
  void CommitSlice(Sequence& sequence, const Slice& slice);
  static void NoteToken(Sequence& sequence, Nanos now);
  void CommitAwaited(PlannedStep& step, const StepResult& result, Nanos now);
  void CommitOutcomes(PlannedStep& step, const StepResult& result, Nanos now);
  void CommitOutcome(Sequence& sequence, const SampledToken& sampled, Nanos now);
  void DropVoidSlice(Sequence& sequence);
  void ReleaseEnded();
  uint32_t CoveredTokens(const Sequence& sequence) const;
  void ObserveCosts(const PlannedStep& step, const StepResult& result);

  const SchedulerConfig config_;
  CostModel cost_;
  DurationPredictor durations_;
  KvManager kv_;
  KindAccount kinds_;
  SequenceTable sequences_;
  QueueOrder queue_;
  std::array<PlannedStep, 2> steps_;  // the newest one, and the one before it
  size_t newest_ = 0;
  bool open_ = false;     // The newest one is not committed, and has something to do.
  bool assumed_ = false;  // The one before it is not committed: all go on after it, it is assumed.
  // Ended by the last commit, and in the notes of a step that was planned then.
  std::vector<SeqId> ended_;
  PlanBuffers buffers_;
  SchedulerStats stats_;
  std::vector<SchedulerEvent> events_;
  std::vector<SchedulerEvent> taken_events_;  // Those that TakeEvents gave out.
  WasteAccount account_;
  uint64_t planned_ = 0;  // Plans made, empty ones included: numbers steps.
};

}  // namespace infercept
