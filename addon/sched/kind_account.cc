#include "sched/kind_account.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace infercept {
namespace {

SpentSeconds operator-(const SpentSeconds& a, const SpentSeconds& b) {
  return {a.refused - b.refused, a.unwanted - b.unwanted, a.executing - b.executing};
}

}  // namespace

KindAccount::KindAccount(size_t block_bytes) : block_bytes_(block_bytes), rows_(2) {
  rows_.reserve(kRowsMax);
  row_of_.reserve(kRowsMax);
  rows_[kPreemptionRow].kind = kPreemptionKind;
}

KindRow KindAccount::RowOf(const KindPath& path) {
  const KindId kind = path.kind != kUnknownKind ? path.kind : path.family;
  if (kind == kUnknownKind) return kUnknownRow;
  const auto known = row_of_.find(Index(kind));
  if (known != row_of_.end()) return known->second;
  if (rows_.size() == kRowsMax) return kUnknownRow;
  const auto row = static_cast<KindRow>(rows_.size());
  rows_.emplace_back().kind = kind;
  rows_.back().as_of = spent_;
  row_of_.emplace(Index(kind), row);
  return row;
}

void KindAccount::PassStep(double seconds, double wanted_share, uint32_t left) {
  spent_.refused += wanted_share * seconds;
  spent_.unwanted += (1 - wanted_share) * seconds;
  spent_.executing += seconds;
  const auto enough_for = static_cast<size_t>(std::bit_width(left));
  for (size_t i = enough_for; i < short_of_.size(); ++i) short_of_[i] += seconds;
}

// Seconds so far in which somebody would have missed so many blocks, rounded down to a power of
// two.
double KindAccount::WantedSeconds(uint32_t blocks) const {
  return blocks == 0 ? 0 : short_of_[static_cast<size_t>(std::bit_width(blocks)) - 1];
}

// What the row's contexts held since it last changed.
void KindAccount::Charge(KindWaste& waste, const Row& row) const {
  const SpentSeconds since = spent_ - row.as_of;
  const auto paused = Bytes(static_cast<double>(row.paused_blocks));
  waste.preserved_idle += paused * since.refused;
  waste.paused_unwanted += paused * since.unwanted;
  waste.swap_wait += Bytes(static_cast<double>(row.incoming_blocks)) * since.executing;
}

void KindAccount::Settle(Row& row) {
  Charge(row, row);
  row.as_of = spent_;
}

void KindAccount::Settle(Holding& holding) const {
  const SpentSeconds since = spent_ - holding.as_of;
  const auto& [paused, given, incoming] = holding.blocks;
  holding.refused += paused * since.refused;
  holding.unwanted += paused * since.unwanted;
  holding.incoming += incoming * since.executing;
  holding.given_wanted += given * (WantedSeconds(given) - holding.wanted_as_of);
  holding.as_of = spent_;
}

void KindAccount::Change(Holding& holding, const HeldBlocks& blocks) {
  Settle(holding);
  Row& row = rows_[holding.row];
  Settle(row);
  row.paused_blocks += uint64_t{blocks.paused} - holding.blocks.paused;
  row.incoming_blocks += uint64_t{blocks.incoming} - holding.blocks.incoming;
  holding.blocks = blocks;
  holding.wanted_as_of = WantedSeconds(blocks.given);
}

void KindAccount::Begin(Holding& holding, KindRow row) {
  Blame(holding, row);
  holding.refused = holding.unwanted = holding.incoming = holding.given_wanted = 0;
  holding.stall = 0;
  holding.refused_before = spent_.refused;
}

void KindAccount::Blame(Holding& holding, KindRow row) {
  const HeldBlocks blocks = holding.blocks;
  Hold(holding, {});
  holding.row = row;
  holding.as_of = spent_;
  Hold(holding, blocks);
}

void KindAccount::Rename(Holding& holding, KindRow row) {
  if (holding.row == row) return;
  KindWaste& from = rows_[holding.row];
  Blame(holding, row);
  KindWaste& to = rows_[row];
  const auto move = [&](double KindWaste::*column, double byte_seconds) {
    from.*column = std::max(0.0, from.*column - byte_seconds);  // Rounding may leave less.
    to.*column += byte_seconds;
  };
  move(&KindWaste::preserved_idle, Bytes(holding.refused));
  move(&KindWaste::paused_unwanted, Bytes(holding.unwanted));
  move(&KindWaste::swap_wait, Bytes(holding.incoming));
  move(&KindWaste::stall, holding.stall);
}

void KindAccount::AddStall(Holding& holding, double byte_seconds) {
  AddStall(holding.row, byte_seconds);
  holding.stall += byte_seconds;
}

void KindAccount::CountInterception(KindRow row, Disposition worst, double regret) {
  const auto index = static_cast<size_t>(worst);
  ++rows_[row].interceptions[index];
  rows_[row].regret[index] += regret;
}

double KindAccount::CopyWaste(const Holding& holding) const {
  const double since = spent_.executing - holding.as_of.executing;
  return holding.stall + Bytes(holding.incoming + holding.blocks.incoming * since);
}

void KindAccount::Read(std::vector<KindWaste>& kinds) const {
  kinds.clear();
  for (const Row& row : rows_) Charge(kinds.emplace_back(row), row);
}

void KindAccount::CheckIntegrity(uint64_t paused_blocks, uint64_t incoming_blocks) const {
  for (const Row& row : rows_) {
    paused_blocks -= row.paused_blocks;
    incoming_blocks -= row.incoming_blocks;
  }
  IC_CHECK(paused_blocks == 0 && incoming_blocks == 0);
}

}  // namespace infercept
