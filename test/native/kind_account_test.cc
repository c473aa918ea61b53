// KindAccount: on whose account memory is, by literals. That the rows add up to WasteStats is
// checked after every step of all random lives (Scheduler::CheckIntegrity).
#include "sched/kind_account.h"

#include "test.h"

namespace infercept {
namespace {

constexpr KindId kTools{1};
constexpr KindId kSearch{2};
constexpr size_t kBlockBytes = 10;
constexpr uint32_t kNothingLeft = 0;

KindWaste Of(const KindAccount& account, KindId kind) {
  std::vector<KindWaste> kinds;
  account.Read(kinds);
  for (const KindWaste& waste : kinds) {
    if (waste.kind == kind) return waste;
  }
  return {};
}

}  // namespace

TEST(KindAccount, ChargesBlocksTimesTime) {
  KindAccount account(kBlockBytes);
  Holding holding;
  account.PassStep(100, /*wanted_share=*/1, kNothingLeft);  // Before anybody held anything.
  account.Begin(holding, account.RowOf(kSearch));
  account.Hold(holding, {3, 0, 0});
  account.PassStep(2, /*wanted_share=*/1, kNothingLeft);
  account.Hold(holding, {1, 0, 0});
  account.PassStep(5, /*wanted_share=*/0, kNothingLeft);
  account.PassIdle(7);
  const KindWaste waste = Of(account, kSearch);
  EXPECT_NEAR(waste.preserved_idle, 3 * 2 * 10.0, 1e-9);
  EXPECT_NEAR(waste.paused_unwanted, 1 * 12 * 10.0, 1e-9);
  account.Hold(holding, {});
  EXPECT_NEAR(holding.refused, 3 * 2.0, 1e-9);
  EXPECT_NEAR(account.spent().refused - holding.refused_before, 2, 1e-9);
}

// Five blocks count as four: it is known in powers of two how many were left.
TEST(KindAccount, WhatWasGivenUpWasWantedWhileLessIsLeft) {
  KindAccount account(kBlockBytes);
  Holding holding;
  account.Begin(holding, account.RowOf(kSearch));
  account.PassStep(100, /*wanted_share=*/1, kNothingLeft);
  account.Hold(holding, {1, 5, 0});
  account.PassStep(1, /*wanted_share=*/0, 4);
  account.PassStep(2, /*wanted_share=*/0, 3);
  account.PassStep(4, /*wanted_share=*/0, kNothingLeft);
  account.PassStep(8, /*wanted_share=*/1, kNothingLeft);
  account.PassIdle(16);
  account.Hold(holding, {0, 6, 0});
  EXPECT_NEAR(holding.given_wanted, 5 * (2 + 4 + 8.0), 1e-9);
  account.PassStep(1, /*wanted_share=*/1, kNothingLeft);
  account.Hold(holding, {});
  account.PassStep(100, /*wanted_share=*/1, kNothingLeft);
  EXPECT_NEAR(holding.given_wanted, 5 * (2 + 4 + 8.0) + 6, 1e-9);
}

TEST(KindAccount, ChargesBlocksThatComeInForTheTimeOfSteps) {
  KindAccount account(kBlockBytes);
  Holding holding;
  account.Begin(holding, account.RowOf(kSearch));
  account.Hold(holding, {0, 0, 4});
  account.PassIdle(100);
  account.PassStep(3, /*wanted_share=*/0, kNothingLeft);
  EXPECT_NEAR(Of(account, kSearch).swap_wait, 4 * 3 * 10.0, 1e-9);
  account.AddStall(holding, 5);
  EXPECT_NEAR(account.CopyWaste(holding), 4 * 3 * 10.0 + 5, 1e-9);
}

// A trigger pauses; only then is it known what was called.
TEST(KindAccount, WhatAnInterceptionHasCostAlreadyIsOfItsKindOnceThatIsKnown) {
  KindAccount account(kBlockBytes);
  Holding holding;
  account.Begin(holding, account.RowOf({}));
  account.Hold(holding, {2, 0, 0});
  account.PassStep(1, /*wanted_share=*/1, kNothingLeft);
  account.AddStall(holding, 5);
  account.Rename(holding, account.RowOf(kSearch));
  account.PassStep(1, /*wanted_share=*/1, kNothingLeft);
  EXPECT_NEAR(Of(account, kSearch).preserved_idle, 2 * 2 * 10.0, 1e-9);
  EXPECT_NEAR(Of(account, kSearch).stall, 5, 1e-9);
  EXPECT_NEAR(Of(account, kUnknownKind).preserved_idle, 0, 1e-9);
  EXPECT_NEAR(Of(account, kUnknownKind).stall, 0, 1e-9);
  account.CheckIntegrity(2, 0);
}

TEST(KindAccount, WhatWasBeforeIsNotTheNextOnes) {
  KindAccount account(kBlockBytes);
  Holding holding;
  account.Begin(holding, account.RowOf(kSearch));
  account.Hold(holding, {2, 0, 0});
  account.PassStep(1, /*wanted_share=*/1, kNothingLeft);
  account.Begin(holding, account.RowOf({}));
  account.Rename(holding, account.RowOf(kTools));
  EXPECT_NEAR(Of(account, kSearch).preserved_idle, 20, 1e-9);
  EXPECT_NEAR(Of(account, kTools).preserved_idle, 0, 1e-9);
}

TEST(KindAccount, AKindWithoutANameOfItsOwnIsItsFamily) {
  KindAccount account(kBlockBytes);
  EXPECT_EQ(account.RowOf({kTools, kUnknownKind, KindId{9}}), account.RowOf(kTools));
  EXPECT_NE(account.RowOf({kTools, kSearch, KindId{9}}), account.RowOf(kTools));
  EXPECT_EQ(account.RowOf({kTools, kSearch, KindId{9}}), account.RowOf({kTools, kSearch, {}}));
  EXPECT_EQ(account.RowOf({}), kUnknownRow);
}

TEST(KindAccount, HasABoundedNumberOfRows) {
  KindAccount account(kBlockBytes);
  for (uint32_t kind = 1; kind <= 2 * KindAccount::kRowsMax; ++kind) account.RowOf(KindId{kind});
  std::vector<KindWaste> kinds;
  account.Read(kinds);
  EXPECT_EQ(kinds.size(), size_t{KindAccount::kRowsMax});
  EXPECT_NE(account.RowOf(KindId{1}), kUnknownRow);
  EXPECT_EQ(account.RowOf(KindId{2 * KindAccount::kRowsMax}), kUnknownRow);
}

}  // namespace infercept
