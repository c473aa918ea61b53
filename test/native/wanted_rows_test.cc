// Goal: the wanted rows of a step keep their token, position and sequence, and move to the front.
// Method: a step of two sequences written by hand.
#include "model/wanted_rows.h"

#include "base/check.h"
#include "device/cpu_device.h"
#include "test.h"

namespace infercept::test {
namespace {

const BlockId kBlocks[] = {BlockId{4}, BlockId{9}};
const TokenId kTokens[] = {50, 51, 52, 60, 61};
const uint32_t kPositions[] = {7, 8, 9, 0, 1};
// Rows 0 to 2 are positions 7 to 9 of one sequence, rows 3 and 4 the beginning of another.
const AttentionSlice kSlices[] = {{0, 3, 7, &kBlocks[0]}, {3, 2, 0, &kBlocks[1]}};

WantedRows Wanted(std::span<const uint32_t> rows) {
  WantedRows wanted(5);
  wanted.Assign({kTokens, kPositions, kSlices, rows});
  return wanted;
}

TEST(WantedRows, KeepTokenPositionAndSequence) {
  const uint32_t rows[] = {1, 2, 4};
  const WantedRows wanted = Wanted(rows);
  const ForwardInput input = wanted.input();
  ASSERT_EQ(input.tokens.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(input.tokens[i], kTokens[rows[i]]);
    EXPECT_EQ(input.positions[i], kPositions[rows[i]]);
    EXPECT_EQ(input.slices[i].first_row, i);
    EXPECT_EQ(input.slices[i].rows, 1u);
    EXPECT_EQ(input.slices[i].first_position, kPositions[rows[i]]);
    EXPECT_TRUE(input.slices[i].block_table == &kBlocks[i < 2 ? 0 : 1]);
  }
}

TEST(WantedRows, MoveToTheFront) {
  const uint32_t rows[] = {0, 2, 3};
  float buffer[] = {0, 1, 10, 11, 20, 21, 30, 31, 40, 41};
  Wanted(rows).MoveToFront(buffer, 2, CpuStream());
  const float expected[] = {0, 1, 20, 21, 30, 31};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(buffer[i], expected[i]);
}

TEST(WantedRows, NoneAreNone) { EXPECT_EQ(Wanted({}).input().tokens.size(), 0u); }

TEST(WantedRows, RowsThatDoNotExistOrDescendThrow) {
  const uint32_t outside[] = {5};
  EXPECT_THROW(Wanted(outside), InternalError);
  const uint32_t twice[] = {2, 2};
  EXPECT_THROW(Wanted(twice), InternalError);
}

}  // namespace
}  // namespace infercept::test
