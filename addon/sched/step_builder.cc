#include "sched/step_builder.h"

#include <algorithm>

#include "base/check.h"

namespace infercept {
namespace {

// A sequence whose blocks are on the host looks so seldom whether they are on the device, too.
constexpr uint64_t kSoughtSteps = 16;

// So many blocks ahead what is known of one is fetched from memory.
constexpr uint32_t kBlocksAhead = 4;

}  // namespace

void PlanNotes::Clear() {
  recompute_tokens = query_tokens = 0;
  kv_tokens = 0;
  refused_blocks = 0;
  blocks_left = 0;
  sequences.clear();
  recomputed.clear();
  copied.clear();
}

StepBuilder::StepBuilder(const StepContext& context, StepPlan& plan, PlanNotes& notes)
    : context_(context), kv_(context.kv), plan_(plan), notes_(notes) {}

void StepBuilder::Build() {
  notes_.Clear();
  buffers().returning.clear();
  load_ = MeasureLoad();
  pressure_ = MeasurePressure();
  // Decodes come first, but prefill always gets a block's worth: else many decodes would starve it.
  tokens_left_ =
      std::max(load_.saturation_tokens - std::min(load_.saturation_tokens, load_.decode_tokens),
               kv_.config().block_tokens);
  swap_out_left_ = load_.swap_out_blocks;
  Reclaim();
  const bool oldest_fits = AddOldest();
  AddDecodes();
  if (oldest_fits) AddPrefills();
  MeasureLeft();
  BringBack();
  CopyAhead();
  notes_.blocks_left = kv_.available();
}

// Now that the step is filled, it is known what copies may take.
void StepBuilder::MeasureLeft() {
  if (synchronous()) {
    swap_in_left_ = UINT32_MAX;
    return;
  }
  const auto out = static_cast<uint32_t>(plan_.swap_out.size());
  const double seconds =
      StepSeconds(notes_.query_tokens, notes_.kv_tokens, load_.saturation_tokens, context_.cost);
  const uint32_t limit_in = context_.cost.CopyBlocksWithin(CopyDirection::kIn, seconds);
  const uint32_t limit_out = context_.cost.CopyBlocksWithin(CopyDirection::kOut, seconds);
  swap_out_left_ = limit_out - std::min(limit_out, out);
  swap_in_left_ = limit_in;
  if (!full_duplex()) {
    swap_in_left_ = std::max(1u, std::min({load_.swap_in_blocks, limit_in, swap_out_left_}));
  }
}

// Device blocks that the sequence needs beyond what it has, to compute all its pending tokens.
uint32_t StepBuilder::Demand(const Sequence& sequence) const {
  const auto tokens = static_cast<uint32_t>(sequence.tokens.size());
  return kv_.BlocksWanted(sequence.blocks, sequence.computed, tokens) +
         kv_.CopyCost(sequence.blocks, sequence.computed);
}

// The oldest runnable sequence can always take what it needs; one that could not even then was
// refused at Submit.
bool StepBuilder::AddOldest() {
  const auto& active = context_.sequences.active();
  return active.empty() || AddPrefill(*active.front());
}

// Device blocks that nobody younger takes: the oldest, if it is not in the plan, wants them now for
// what comes back, or in the next step, when the copies that it waits for are complete. What these
// free is its share already.
uint32_t StepBuilder::ReservedFrom(const Sequence& sequence) const {
  const Sequence& oldest = *context_.sequences.active().front();
  const uint32_t demand = &oldest == &sequence || InPlan(oldest) ? 0 : Demand(oldest);
  const bool returns = !buffers().returning.empty() && buffers().returning.front() == &oldest;
  return returns ? demand : demand - std::min(demand, kv_.leaving());
}

bool StepBuilder::StepIsFull() const {
  return plan_.slices.size() == context_.config.slices_max ||
         plan_.tokens.size() == context_.config.step_tokens_max;
}

void StepBuilder::AddDecodes() {
  // By index: making room may take younger sequences off the list.
  const std::vector<Sequence*>& decodes = context_.sequences.decodes();
  for (size_t i = 0; i < decodes.size() && !StepIsFull(); ++i) {
    Sequence& sequence = *decodes[i];
    if (i + 16 < decodes.size()) __builtin_prefetch(decodes[i + 16], 1);
    if (i + 8 < decodes.size()) decodes[i + 8]->Prefetch();
    if (InPlan(sequence) || sequence.incoming_step == plan_.step) continue;
    const auto tokens = static_cast<uint32_t>(sequence.tokens.size());
    if (kv_.IsWritable(sequence.blocks, sequence.computed, tokens)) {
      AddSlice(sequence, 1);
      continue;
    }
    const uint32_t cost = kv_.ExtendCost(sequence.blocks, sequence.computed, tokens);
    const uint32_t needed = cost + (cost > 0 ? ReservedFrom(sequence) : 0);
    if (needed > kv_.available() && !MakeRoom(sequence, needed, /*revoke=*/false)) {
      notes_.refused_blocks += cost;
      if (refused_ == nullptr) refused_ = &sequence;
      continue;
    }
    AddSlice(sequence, 1);
  }
}

void StepBuilder::AddPrefills() {
  // By index: making room changes the list, and what comes back or is found in the cache may take
  // its sequence off it.
  const std::vector<Sequence*>& prefills = context_.sequences.prefills();
  for (size_t i = 0; i < prefills.size();) {
    if (StepIsFull() || tokens_left_ == 0) return;
    Sequence& sequence = *prefills[i];
    if (refused_ != nullptr && SequenceTable::Before(*refused_, sequence)) return;
    const bool skip = InPlan(sequence) || sequence.incoming_step == plan_.step;
    if (!skip && !AddPrefill(sequence)) return;
    i += i < prefills.size() && prefills[i] == &sequence;
  }
}

// False: memory refused it, and nobody younger may overtake.
bool StepBuilder::AddPrefill(Sequence& sequence) {
  const uint32_t held = sequence.blocks.size();
  const uint32_t computed = sequence.computed;
  AttachCached(sequence);
  if (!Fits(sequence, Demand(sequence))) {
    // What it cannot use now stays available.
    kv_.Truncate(sequence.blocks, held);
    sequence.computed = computed;
    context_.sequences.Update(sequence);
    NoteRefusedPrefills(sequence);
    waiting_ = &sequence;
    return false;
  }
  if (sequence.blocks.missing() > 0 && !Reattach(sequence)) {
    buffers().returning.push_back(&sequence);
    // The oldest one's is kept for it already: see ReservedFrom.
    if (&sequence != context_.sequences.active().front()) reserved_ += sequence.blocks.missing();
    return true;
  }
  const uint32_t room =
      context_.config.step_tokens_max - static_cast<uint32_t>(plan_.tokens.size());
  const uint32_t count =
      std::min({tokens_left_, room, sequence.pending(), kv_.config().chunk_tokens});
  tokens_left_ -= count;
  AddSlice(sequence, count);
  return true;
}

// Nobody who waits behind the first gets anything either.
void StepBuilder::NoteRefusedPrefills(const Sequence& first) {
  const std::vector<Sequence*>& prefills = context_.sequences.prefills();
  for (auto at = prefills.rbegin(); at != prefills.rend(); ++at) {
    if (!InPlan(**at)) notes_.refused_blocks += (*at)->share.wanted_blocks;
    if (*at == &first) return;
  }
}

bool StepBuilder::Fits(const Sequence& sequence, uint32_t demand) {
  if (demand == 0) return true;
  const bool oldest = &sequence == context_.sequences.active().front();
  const uint32_t needed = demand + ReservedFrom(sequence) + reserved_;
  if (needed > kv_.available() && !MakeRoom(sequence, needed, /*revoke=*/oldest)) return false;
  if (oldest) return true;
  const uint32_t wanted = needed + Watermark(load_);
  return wanted <= kv_.available() || TakeFromPaused(wanted, /*revoke=*/false);
}

// A row of blocks for every running sequence, but not more than an eighth of the pool: so many will
// be asked for soon, and admitting into them would only preempt somebody a few steps later.
uint32_t StepBuilder::Watermark(const StepLoad& load) const {
  return std::min(load.decode_tokens * kv_.config().groups, kv_.config().device_blocks / 8);
}

// True: what the sequence missed was on the device all the time.
bool StepBuilder::Reattach(Sequence& sequence) {
  // Seldom: what is not there any more seldom comes back.
  if (sequence.sought_step > 0 && plan_.step - sequence.sought_step < kSoughtSteps) return false;
  sequence.sought_step = plan_.step;
  kv_.Reattach(sequence.blocks, sequence.computed);
  context_.sequences.Update(sequence);
  return sequence.blocks.missing() == 0;
}

// Plans copies for the sequences that miss blocks, oldest first. Nobody younger than the first that
// memory refused takes what is free now: some of its blocks can come back into it already.
void StepBuilder::BringBack() {
  for (Sequence* sequence : buffers().returning) BringBack(*sequence, UINT32_MAX);
  buffers().returning_blocks = 0;
  for (const Sequence* sequence : buffers().returning) {
    buffers().returning_blocks += sequence->blocks.missing();
  }
  if (!returns_partially() || waiting_ == nullptr || refused_ != nullptr) return;
  const bool oldest = waiting_ == context_.sequences.active().front();
  const uint32_t others = oldest ? 0 : Watermark(load_) + ReservedFrom(*waiting_);
  const uint32_t room = kv_.available() - std::min(kv_.available(), others);
  if (room == 0 || waiting_->blocks.missing() == 0 || Reattach(*waiting_)) return;
  BringBack(*waiting_, room);
  buffers().returning_blocks += waiting_->blocks.missing();
}

// At most so many blocks of one sequence, the first ones first.
void StepBuilder::BringBack(Sequence& sequence, uint32_t blocks) {
  const uint32_t limit = std::min(swap_in_left_, blocks);
  uint32_t copied = 0;
  uint32_t i = kv_.FirstLive(sequence.blocks);
  for (; i < sequence.blocks.size() && copied < limit; ++i) {
    kv_.Prefetch(sequence.blocks, i + kBlocksAhead);
    if (!kv_.IsMissing(sequence.blocks, i)) continue;
    if (kv_.available() == 0) break;  // What leaves for the oldest is not there yet.
    // What the paper's policies bring back is no longer on the host.
    const bool keep = keeps_spare_copies() && kv_.IsFull(i, sequence.computed);
    kv_.SwapIn(sequence.blocks, i, keep, plan_.swap_in);
    ++copied;
  }
  if (copied == 0) return;
  swap_in_left_ -= copied;
  sequence.incoming_step = plan_.step;
  sequence.interception.swapped_in_blocks += copied;
  context_.stats.swapped_in_blocks += copied;
  notes_.copied.push_back({&sequence, copied});
  context_.sequences.Update(sequence);
  if (synchronous()) plan_.swaps_block_compute = true;
}

// A sequence that ends at a block border may find its next blocks in the prefix cache.
void StepBuilder::AttachCached(Sequence& sequence) {
  if (sequence.pending() <= 1) return;
  if (sequence.computed % kv_.config().block_tokens != 0) return;
  const uint32_t covered = kv_.AttachPrefix(sequence.blocks, sequence.tokens, sequence.computed);
  if (covered == sequence.computed) return;
  sequence.computed = covered;
  context_.sequences.Update(sequence);
}

void StepBuilder::AddSlice(Sequence& sequence, uint32_t count) {
  const uint32_t first = sequence.computed;
  const uint32_t end = first + count;
  const bool running = sequence.status == SequenceStatus::kRunning;
  const bool as_it_is = kv_.IsWritable(sequence.blocks, first, end);
  if (!running) NoteResume(sequence);
  if (!as_it_is) kv_.Extend(sequence.blocks, first, end, plan_.copies);
  plan_.slices.push_back({sequence.id, first, count, end == sequence.tokens.size()});
  plan_.tokens.push_back(sequence.tokens[first]);
  if (count > 1) {
    plan_.tokens.insert(plan_.tokens.end(), sequence.tokens.begin() + first + 1,
                        sequence.tokens.begin() + end);
  }
  if (plan_.tokens.back() == kAwaitedToken) {
    const auto row = static_cast<uint32_t>(plan_.tokens.size()) - 1;
    plan_.awaited.push_back({row, sequence.awaited_sample});
  }
  const std::span<const BlockId> blocks = sequence.blocks.device();
  plan_.block_tables.push_back(as_it_is ? blocks : blocks.first(kv_.BlocksFor(end)));
  notes_.sequences.push_back(&sequence);
  notes_.query_tokens += count;
  notes_.kv_tokens += context_.cost.KvReads(first, count);
  if (first < sequence.computed_once) {
    notes_.recomputed.push_back({&sequence, std::min(end, sequence.computed_once) - first});
    notes_.recompute_tokens += notes_.recomputed.back().count;
  }
  sequence.planned_step = plan_.step;
  if (running && as_it_is) return;
  sequence.status = SequenceStatus::kRunning;
  context_.sequences.Update(sequence);
}

// The first slice of a turn, or after an interception: says what waiting and coming back have cost.
void StepBuilder::NoteResume(Sequence& sequence) {
  if (sequence.turn.first_scheduled < 0) {
    sequence.turn.first_scheduled = context_.now;
    if (sequence.computed_once == 0) {
      sequence.turn.cached_tokens = sequence.computed;
      context_.stats.cached_tokens += sequence.computed;
    }
  }
  if (!sequence.resumed) return;
  const InterceptionState& past = *sequence.resumed;
  ResumeEvent event;
  event.seq = sequence.id;
  event.waited = sequence.resumed_at - past.started;
  event.delay = context_.now - sequence.resumed_at;
  event.recomputed_tokens =
      sequence.computed_once - std::min(sequence.computed, sequence.computed_once);
  event.swapped_blocks = sequence.interception.swapped_in_blocks;
  event.given_up_blocks = past.given_up_blocks;
  event.disposition = event.recomputed_tokens > 0 ? Disposition::kDiscard : past.worst;
  event.hindsight = LookBackOn(sequence);
  context_.events.push_back(event);
  context_.kinds.CountInterception(context_.kinds.RowOf(past.kind), event.disposition,
                                   event.hindsight.regret);
  sequence.resumed.reset();
}

// REQUIRES: the interception of the sequence has just ended.
Hindsight StepBuilder::LookBackOn(const Sequence& sequence) const {
  const InterceptionState& interception = *sequence.resumed;
  PastInterception past;
  past.context_tokens = interception.context_tokens;
  past.released_blocks = interception.released_blocks;
  past.own_blocks = interception.own_blocks;
  past.shared_blocks = interception.all_blocks - interception.own_blocks;
  past.refused_seconds = interception.refused_seconds;
  past.held_refused = sequence.held.refused;
  past.given_wanted = sequence.held.given_wanted;
  past.copy_waste = context_.kinds.CopyWaste(sequence.held);
  past.recompute_first = sequence.computed;
  past.recompute_tokens =
      sequence.computed_once - std::min(sequence.computed, sequence.computed_once);
  HindsightLoad load;
  load.other_tokens = context_.sequences.active_sums().device_tokens - sequence.share.device_tokens;
  load.bytes_per_token = load_.bytes_per_token;
  load.block_tokens = kv_.config().block_tokens;
  load.groups = kv_.config().groups;
  load.host_blocks = kv_.config().host_blocks;
  return LookBack(past, load, context_.cost);
}

}  // namespace infercept
