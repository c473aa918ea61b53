// Goal: the plan of an attention call covers every row's splits once, shares equal blocks and no
// others, and leaves no thread idle. Method: random slices over few block ids; what must hold is
// counted.
#include "kernels/cpu/attention_plan.h"

#include <map>
#include <set>

#include "ops_support.h"
#include "test.h"

namespace infercept::cpu {
namespace {

using test::AlignedBytes;
using test::Random;

constexpr uint32_t kStateFloats = 32;

struct Call {
  std::vector<std::vector<BlockId>> tables;
  std::vector<AttentionSlice> slices;
  AttentionPlanShape shape;
};

// Tables that agree up to random places, in the layer's group; in the others nowhere.
Call RandomCall(Random& random) {
  Call call;
  call.shape = {.heads = 8,
                .kv_heads = 1u << random.Below(4),
                .block_tokens = std::vector<uint32_t>{7, 16, 64, 512}[random.Below(4)],
                .groups = random.Below(3) == 0 ? 3u : 1u,
                .state_floats = kStateFloats,
                .threads = 1 + random.Below(4)};
  call.shape.group = call.shape.groups / 2;
  uint32_t row = 0;
  const uint32_t count = 1 + random.Below(12);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t rows = random.Below(4) == 0 ? random.Below(40) : 1;
    call.slices.push_back({row, rows, random.Below(3000), nullptr});
    row += rows;
    const uint32_t blocks = DivCeil(call.slices[i].first_position + rows + 1, 7u);
    const uint32_t fork = random.Below(blocks + 1);
    std::vector<BlockId> table(size_t{blocks} * call.shape.groups, BlockId{i});
    for (uint32_t b = 0; b < blocks; ++b) {
      table[b * call.shape.groups + call.shape.group] = BlockId{b < fork ? b : b * 100 + i + 1};
    }
    call.tables.push_back(std::move(table));
  }
  for (uint32_t i = 0; i < count; ++i) call.slices[i].block_table = call.tables[i].data();
  return call;
}

uint32_t CountRows(const Call& call) {
  return call.slices.back().first_row + call.slices.back().rows;
}

AlignedBytes Scratch(const Call& call) {
  return AlignedBytes(AttentionPlanBytes({.rows = CountRows(call),
                                          .context_tokens = 3000,
                                          .heads = call.shape.heads,
                                          .threads = call.shape.threads},
                                         kStateFloats));
}

bool SameBlocks(const Call& call, const AttentionSlice& a, const AttentionSlice& b,
                const AttentionPiece& piece) {
  const uint32_t first = piece.split_begin * kSplitKeys / call.shape.block_tokens;
  const uint32_t end = DivCeil(piece.split_end * kSplitKeys, call.shape.block_tokens);
  for (uint32_t block = first; block < end; ++block) {
    const uint32_t entry = block * call.shape.groups + call.shape.group;
    if (a.block_table[entry] != b.block_table[entry]) return false;
  }
  return true;
}

TEST(AttentionPlan, CoversEverySplitOnceAndSharesOnlyEqualBlocks) {
  Random random(41);
  uint32_t shared = 0;
  uint32_t cut = 0;
  for (int round = 0; round < 2000; ++round) {
    const Call call = RandomCall(random);
    AlignedBytes scratch = Scratch(call);
    const AttentionPlan plan = PlanAttention(call.slices, call.shape, scratch.span());
    std::map<std::pair<uint32_t, uint32_t>, uint32_t> covered;  // row of the batch, split
    for (const AttentionPiece& piece : plan.pieces) {
      ASSERT_TRUE(piece.split_begin < piece.split_end);
      const auto members = plan.members.subspan(piece.first_member, piece.members);
      shared += piece.members > 1;
      cut += piece.members == 1 && piece.split_begin == 0 && piece.split_end < members[0].splits &&
             members[0].slice->rows == piece.rows;
      for (const AttentionMember& member : members) {
        ASSERT_TRUE(piece.members == 1 ||
                    (SameBlocks(call, *members[0].slice, *member.slice, piece) &&
                     piece.split_end <= member.whole_splits));
        // Who does not cover all splits needs the place for states, and the rest is merged.
        ASSERT_TRUE(piece.split_begin == 0 || (member.states != nullptr && plan.stores_states));
        if (piece.split_begin == 0 && member.states != nullptr) {
          EXPECT_EQ(member.first_splits, piece.split_end);
        }
        const uint32_t rows = piece.members == 1 ? piece.rows : member.slice->rows;
        for (uint32_t row = 0; row < rows; ++row) {
          for (uint32_t split = piece.split_begin; split < piece.split_end; ++split) {
            ++covered[{member.slice->first_row + piece.first_row + row, split}];
          }
        }
      }
    }
    for (const AttentionSlice& slice : call.slices) {
      for (uint32_t row = 0; row < slice.rows; ++row) {
        const uint32_t splits = DivCeil(slice.first_position + row + 1, kSplitKeys);
        for (uint32_t split = 0; split < splits; ++split) {
          const auto times = covered[std::pair(slice.first_row + row, split)];
          ASSERT_EQ(times, 1u) << "round " << round << " row " << slice.first_row + row << " split "
                               << split;
        }
      }
    }
  }
  EXPECT_GT(shared, 300u);
  EXPECT_GT(cut, 300u);
}

// Sequences with one beginning read it once, in tasks of at most kTaskQueries queries.
TEST(AttentionPlan, ReadsASharedBeginningOnce) {
  Call call;
  call.shape = {.heads = 8, .kv_heads = 4, .block_tokens = 16, .state_floats = 32, .threads = 1};
  for (uint32_t i = 0; i < 16; ++i) {
    std::vector<BlockId> table(100);
    for (uint32_t b = 0; b < table.size(); ++b) table[b] = BlockId{b < 80 ? b : b * 100 + i};
    call.tables.push_back(std::move(table));
    call.slices.push_back({i, 1, 1500, nullptr});
  }
  for (uint32_t i = 0; i < 16; ++i) call.slices[i].block_table = call.tables[i].data();
  AlignedBytes scratch = Scratch(call);
  const AttentionPlan plan = PlanAttention(call.slices, call.shape, scratch.span());
  std::map<uint32_t, uint32_t> members;  // of the pieces that begin at a split
  for (const AttentionPiece& piece : plan.pieces) {
    members[piece.split_begin] += piece.members;
    EXPECT_EQ(piece.split_end, piece.split_begin == 0 ? 5u : 6u);
  }
  EXPECT_EQ(plan.pieces.size(), 17u);
  EXPECT_EQ(members[0], 16u);
  EXPECT_EQ(members[5], 16u);
}

// What is behind a window is in no table: it looks alike, and nobody reads it.
TEST(AttentionPlan, BeginningsThatAreGoneAreNotShared) {
  Call call;
  call.shape = {.heads = 8, .kv_heads = 4, .block_tokens = 16, .state_floats = 32, .threads = 1};
  for (uint32_t i = 0; i < 2; ++i) {
    std::vector<BlockId> table(100);
    for (uint32_t b = 0; b < table.size(); ++b) table[b] = b < 80 ? kNoBlock : BlockId{b * 100 + i};
    call.tables.push_back(std::move(table));
    call.slices.push_back({i, 1, 1500, nullptr});
  }
  for (uint32_t i = 0; i < 2; ++i) call.slices[i].block_table = call.tables[i].data();
  AlignedBytes scratch = Scratch(call);
  const AttentionPlan plan = PlanAttention(call.slices, call.shape, scratch.span());
  EXPECT_EQ(plan.pieces.size(), 2u);
  EXPECT_FALSE(plan.stores_states);
}

TEST(AttentionPlan, CutsOneLongSequenceForAllThreads) {
  const std::vector<BlockId> table(2048);
  for (const uint32_t threads : {2u, 3u, 16u}) {
    Call call;
    call.shape = {
        .heads = 4, .kv_heads = 1, .block_tokens = 16, .state_floats = 32, .threads = threads};
    call.slices.push_back({0, 1, 32767, table.data()});
    AlignedBytes scratch(AttentionPlanBytes(
        {.rows = 1, .context_tokens = 32768, .heads = 4, .threads = threads}, kStateFloats));
    const AttentionPlan plan = PlanAttention(call.slices, call.shape, scratch.span());
    uint64_t total = 0;
    for (const AttentionPiece& piece : plan.pieces) total += piece.cost;
    EXPECT_GE(plan.pieces.size(), 2 * threads);
    EXPECT_LE(plan.pieces.front().cost * threads, total);
  }
}

// Without room for states everything is still computed, each slice by itself.
TEST(AttentionPlan, WithoutRoomForStatesNothingIsSharedOrCut) {
  Random random(42);
  for (int round = 0; round < 100; ++round) {
    const Call call = RandomCall(random);
    AlignedBytes scratch(AttentionPlanBytes(
        {.rows = CountRows(call), .heads = 0, .threads = call.shape.threads}, 0));
    const AttentionPlan plan = PlanAttention(call.slices, call.shape, scratch.span());
    EXPECT_FALSE(plan.stores_states);
    for (const AttentionPiece& piece : plan.pieces) {
      EXPECT_EQ(piece.members, 1u);
      EXPECT_EQ(piece.split_begin, 0u);
    }
  }
}

}  // namespace
}  // namespace infercept::cpu
