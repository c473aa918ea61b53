#include "sched/waste_account.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace infercept {
namespace {

double Seconds(Nanos duration) { return static_cast<double>(duration) * 1e-9; }

}  // namespace

double WasteAccount::Bytes(uint64_t blocks) const {
  return static_cast<double>(blocks * config_.kv.block_bytes);
}

void WasteAccount::ChargeIdle(Nanos now) {
  if (charged_until_ >= 0 && now > charged_until_) {
    const double seconds = Seconds(now - charged_until_);
    const double paused = Bytes(sequences_.paused_sums().device_blocks) * seconds;
    waste_.capacity += Bytes(config_.kv.device_blocks) * seconds;
    waste_.paper_preserved += paused;
    waste_.paused_unwanted += paused;
    kinds_.PassIdle(seconds);
  }
  charged_until_ = std::max(charged_until_, now);
}

void WasteAccount::ChargeStep(const StepResult& result, const PlanNotes& notes, Nanos now) {
  charged_until_ = now;
  const double seconds = Seconds(result.total);
  const double paused = Bytes(sequences_.paused_sums().device_blocks);
  const double active = Bytes(sequences_.active_sums().device_blocks);
  waste_.capacity += Bytes(config_.kv.device_blocks) * seconds;
  waste_.paper_preserved += paused * seconds;
  // Of what paused contexts hold, as much is waste as somebody else wanted in vain.
  const double wanted = std::min(paused, Bytes(notes.refused_blocks));
  waste_.preserved_idle += wanted * seconds;
  waste_.paused_unwanted += (paused - wanted) * seconds;
  kinds_.PassStep(seconds, paused > 0 ? wanted / paused : 0,
                  notes.refused_blocks > 0 ? 0 : notes.blocks_left);
  // Sequences cannot run while others of their blocks are still on the host.
  waste_.swap_wait += Bytes(sequences_.active_sums().incoming_blocks) * seconds;
  if (result.swap_in > 0 || result.swap_out > 0) {
    ChargeStall(Seconds(std::max<Nanos>(0, result.total - result.compute)) * (active + paused),
                notes);
  }
  // What the recomputed tokens added to the step, while everything was resident.
  if (notes.query_tokens > 0) {
    ChargeRecompute(Seconds(result.compute) / notes.query_tokens * active, notes);
  }
}

// To blame are all whose blocks were copied.
void WasteAccount::ChargeStall(double byte_seconds, const PlanNotes& notes) {
  waste_.stall += byte_seconds;
  uint64_t blocks = 0;
  for (const auto& [sequence, count] : notes.copied) blocks += count;
  if (blocks == 0) return kinds_.AddStall(kUnknownRow, byte_seconds);
  for (const auto& [sequence, count] : notes.copied) {
    kinds_.AddStall(sequence->held, byte_seconds * count / static_cast<double>(blocks));
  }
}

void WasteAccount::ChargeRecompute(double byte_seconds_per_token, const PlanNotes& notes) {
  waste_.recompute += byte_seconds_per_token * notes.recompute_tokens;
  for (const auto& [sequence, count] : notes.recomputed) {
    kinds_.AddRecompute(sequence->held.row, byte_seconds_per_token * count);
  }
}

void WasteAccount::CheckIntegrity() const {
  KindWaste sum;
  std::vector<KindWaste> kinds;
  kinds_.Read(kinds);
  for (const KindWaste& kind : kinds) {
    sum.preserved_idle += kind.preserved_idle;
    sum.recompute += kind.recompute;
    sum.stall += kind.stall;
    sum.swap_wait += kind.swap_wait;
    sum.paused_unwanted += kind.paused_unwanted;
  }
  // Rows are differences of sums over all time: what rounding leaves grows with these.
  constexpr double kRoundingShare = 1e-9;
  const double rounding = kRoundingShare * (waste_.capacity + waste_.paper_preserved);
  const auto agree = [rounding](double a, double b) {
    return std::abs(a - b) <= rounding + kRoundingShare * b;
  };
  IC_CHECK(agree(sum.preserved_idle, waste_.preserved_idle));
  IC_CHECK(agree(sum.recompute, waste_.recompute));
  IC_CHECK(agree(sum.stall, waste_.stall));
  IC_CHECK(agree(sum.swap_wait, waste_.swap_wait));
  IC_CHECK(agree(sum.paused_unwanted, waste_.paused_unwanted));
}

}  // namespace infercept
