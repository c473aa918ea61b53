// KvManager and its parts: who owns which block. Random operations against an integrity check after
// each, and the rules that a reader would not guess, one test each.
#include "kv/kv_manager.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "base/check.h"
#include "test.h"

namespace infercept {
namespace {

KvConfig Config(uint32_t device_blocks, uint32_t host_blocks = 0) {
  KvConfig config;
  config.device_blocks = device_blocks;
  config.host_blocks = host_blocks;
  config.block_tokens = 4;
  return config;
}

std::vector<TokenId> Tokens(size_t count, TokenId first = 0) {
  std::vector<TokenId> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// Extends and seals an empty table as a prefill of all tokens would.
void Fill(KvManager& kv, BlockTable& table, const std::vector<TokenId>& tokens) {
  std::vector<BlockCopy> copies;
  const uint32_t computed = kv.AttachPrefix(table, tokens, 0);
  kv.Extend(table, computed, static_cast<uint32_t>(tokens.size()), copies);
  kv.Seal(table, tokens, static_cast<uint32_t>(tokens.size()));
}

void Check(const KvManager& kv, const std::vector<const BlockTable*>& tables) {
  kv.CheckIntegrity(tables);
}

}  // namespace

TEST(BlockPool, HandsOutEachBlockOnceAndTakesItBack) {
  BlockPool pool(3);
  const BlockId a = pool.Allocate();
  const BlockId b = pool.Allocate();
  EXPECT_NE(a, b);
  pool.AddReference(a);
  EXPECT_EQ(pool.Release(a), 1u);
  EXPECT_EQ(pool.Release(a), 0u);
  EXPECT_EQ(pool.free(), 1u);
  pool.Free(a);
  EXPECT_EQ(pool.free(), 2u);
  EXPECT_THROW(pool.Release(a), InternalError);
}

TEST(KvManager, SharesAPrefixByContent) {
  KvManager kv(Config(8));
  const auto tokens = Tokens(10);
  BlockTable first;
  Fill(kv, first, tokens);
  BlockTable second;
  EXPECT_EQ(kv.AttachPrefix(second, tokens, 0), 8u);
  EXPECT_EQ(second[1].device, first[1].device);
  EXPECT_FALSE(kv.IsPrivate(first, 0));
  EXPECT_TRUE(kv.IsPrivate(first, 2));
  EXPECT_EQ(first.private_blocks(), 1u);
  Check(kv, {&first, &second});
}

TEST(KvManager, LeavesOneTokenToCompute) {
  KvManager kv(Config(8));
  const auto tokens = Tokens(8);
  BlockTable first;
  Fill(kv, first, tokens);
  BlockTable second;
  EXPECT_EQ(kv.AttachPrefix(second, tokens, 0), 4u);
}

TEST(KvManager, SameTokensAfterAnotherPrefixAreOtherContent) {
  KvManager kv(Config(8));
  std::vector<TokenId> a = {1, 1, 1, 1, 7, 7, 7, 7, 9};
  std::vector<TokenId> b = {2, 2, 2, 2, 7, 7, 7, 7, 9};
  BlockTable first;
  Fill(kv, first, a);
  BlockTable second;
  EXPECT_EQ(kv.AttachPrefix(second, b, 0), 0u);
}

TEST(KvManager, DiscardedBlocksStayFindableUntilMemoryIsWanted) {
  KvManager kv(Config(4));
  const auto tokens = Tokens(13);
  BlockTable table;
  Fill(kv, table, tokens);
  EXPECT_EQ(kv.available(), 0u);
  kv.Truncate(table, 0);
  EXPECT_EQ(kv.available(), 4u);
  EXPECT_EQ(kv.cached(), 3u);
  EXPECT_EQ(kv.AttachPrefix(table, tokens, 0), 12u);
  kv.Truncate(table, 0);
  // Another context takes two blocks: the free one, then the suffix of the discarded one goes
  // first.
  BlockTable other;
  Fill(kv, other, Tokens(8, 100));
  EXPECT_EQ(kv.AttachPrefix(table, tokens, 0), 8u);
  Check(kv, {&table, &other});
}

TEST(KvManager, ComputingTheSameTwiceKeepsOneCopy) {
  KvManager kv(Config(8));
  const auto tokens = Tokens(9);
  std::vector<BlockCopy> copies;
  BlockTable first;
  BlockTable second;
  kv.Extend(first, 0, 9, copies);
  kv.Extend(second, 0, 9, copies);
  EXPECT_EQ(kv.available(), 2u);
  kv.Seal(first, tokens, 9);
  kv.Seal(second, tokens, 9);
  EXPECT_EQ(kv.available(), 4u);
  EXPECT_EQ(first[1].device, second[1].device);
  EXPECT_NE(first[2].device, second[2].device);
  Check(kv, {&first, &second});
}

TEST(KvManager, WritingASharedPartialBlockCopiesIt) {
  KvManager kv(Config(8));
  BlockTable parent;
  Fill(kv, parent, Tokens(6));
  BlockTable child;
  kv.Share(parent, child);
  std::vector<BlockCopy> copies;
  EXPECT_EQ(kv.ExtendCost(child, 6, 7), 1u);
  kv.Extend(child, 6, 7, copies);
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].source, parent[1].device);
  EXPECT_EQ(copies[0].target, child[1].device);
  // When it is copied, the parent is the only owner of its block again and writes in place.
  kv.CompleteCopies();
  EXPECT_EQ(kv.ExtendCost(parent, 6, 7), 0u);
  Check(kv, {&parent, &child});
}

TEST(KvManager, NoBlockIsReusedBeforeItsCopyIsComplete) {
  KvManager kv(Config(2, 2));
  const auto tokens = Tokens(6);
  BlockTable table;
  Fill(kv, table, tokens);
  std::vector<BlockCopy> out;
  kv.SwapOut(table, 1, out);
  EXPECT_EQ(kv.available(), 0u);
  EXPECT_EQ(kv.leaving(), 1u);
  Check(kv, {&table});
  kv.CompleteCopies();
  EXPECT_EQ(kv.available(), 1u);
  std::vector<BlockCopy> in;
  kv.SwapIn(table, 1, /*keep=*/false, in);
  EXPECT_EQ(kv.host_free(), 1u);
  kv.CompleteCopies();
  EXPECT_EQ(kv.host_free(), 2u);
  Check(kv, {&table});
}

TEST(KvManager, ABlockThatIsFoundWhileItLeavesStays) {
  KvManager kv(Config(2, 2));
  const auto tokens = Tokens(6);
  BlockTable table;
  Fill(kv, table, tokens);
  std::vector<BlockCopy> out;
  kv.SwapOut(table, 0, out);
  EXPECT_EQ(kv.leaving(), 1u);
  BlockTable other;
  EXPECT_EQ(kv.AttachPrefix(other, tokens, 0), 4u);
  EXPECT_EQ(kv.leaving(), 0u);
  kv.CompleteCopies();
  EXPECT_EQ(kv.available(), 0u);
  Check(kv, {&table, &other});
}

TEST(KvManager, KnowsWhoHasPrivateBlocks) {
  KvManager kv(Config(8));
  BlockTable parent;
  Fill(kv, parent, Tokens(6));
  kv.SetHold(parent, Hold::kLent);
  ASSERT_EQ(kv.holders(Hold::kLent).size(), 1u);
  BlockTable child;
  kv.Share(parent, child);
  EXPECT_EQ(parent.private_blocks(), 0u);
  EXPECT_TRUE(kv.holders(Hold::kLent).empty());
  const uint64_t changes = kv.sharing_changes();
  kv.Truncate(child, 0);
  // Nobody touched the parent, but its blocks are its own again.
  EXPECT_EQ(parent.private_blocks(), 2u);
  EXPECT_TRUE(kv.holders(Hold::kLent) == std::vector<BlockTable*>{&parent});
  EXPECT_GT(kv.sharing_changes(), changes);
}

// A context may be discarded in the very step that moves it: where the copy goes stays taken.
TEST(KvManager, NoTargetIsReusedBeforeItsCopyIsComplete) {
  KvManager kv(Config(2, 1));
  BlockTable table;
  Fill(kv, table, Tokens(6));
  std::vector<BlockCopy> copies;
  kv.SwapOut(table, 1, copies);
  kv.Truncate(table, 1);
  EXPECT_EQ(kv.host_free(), 0u);
  Check(kv, {&table});
  kv.CompleteCopies();
  EXPECT_EQ(kv.host_free(), 1u);
  kv.SwapOut(table, 0, copies);
  kv.CompleteCopies();
  BlockTable other;
  Fill(kv, other, Tokens(8, 100));  // Nothing of the first context is cached any more.
  kv.Truncate(other, 0);
  kv.SwapIn(table, 0, /*keep=*/false, copies);
  const uint32_t available = kv.available();
  kv.Truncate(table, 0);
  EXPECT_EQ(kv.available(), available);
  kv.CompleteCopies();
  EXPECT_EQ(kv.available(), 2u);
  Check(kv, {&table});
}

TEST(KvManager, ASwappedBlockThatIsStillCachedNeedsNoCopyBack) {
  KvManager kv(Config(2, 2));
  BlockTable table;
  Fill(kv, table, Tokens(6));
  std::vector<BlockCopy> out;
  kv.SwapOut(table, 0, out);
  kv.CompleteCopies();
  kv.Reattach(table, 6);
  EXPECT_EQ(table.missing(), 0u);
  EXPECT_EQ(table.backed(), 1u);
  Check(kv, {&table});
}

TEST(KvManager, WhatIsCopiedAheadLeavesAtOnce) {
  KvManager kv(Config(2, 2));
  BlockTable table;
  Fill(kv, table, Tokens(8));
  kv.SetHold(table, Hold::kLent);
  std::vector<BlockCopy> copies;
  kv.CopyAhead(table, 0, copies);
  EXPECT_EQ(copies.size(), 1u);
  EXPECT_FALSE(kv.IsBacked(table, 0));   // Not before the copy is complete...
  EXPECT_FALSE(kv.IsPrivate(table, 0));  // ... and until then nobody may take it.
  kv.CompleteCopies();
  EXPECT_TRUE(kv.IsBacked(table, 0));
  EXPECT_EQ(kv.backed(Hold::kLent), 1u);
  EXPECT_EQ(kv.available(), 0u);
  Check(kv, {&table});
  EXPECT_FALSE(kv.SwapOut(table, 0, copies));
  EXPECT_EQ(copies.size(), 1u);
  EXPECT_EQ(kv.available(), 1u);
  EXPECT_EQ(kv.backed(Hold::kLent), 0u);
  Check(kv, {&table});
}

TEST(KvManager, WhatComesBackStaysOnTheHostUntilItsMemoryIsWanted) {
  KvManager kv(Config(4, 2));
  BlockTable table;
  Fill(kv, table, Tokens(8));
  std::vector<BlockCopy> copies;
  for (const uint32_t index : {0u, 1u}) EXPECT_TRUE(kv.SwapOut(table, index, copies));
  kv.CompleteCopies();
  BlockTable other;
  Fill(kv, other, Tokens(16, 100));  // Nothing of the first context is cached any more.
  kv.Truncate(other, 2);
  for (const uint32_t index : {0u, 1u}) kv.SwapIn(table, index, /*keep=*/true, copies);
  kv.CompleteCopies();
  EXPECT_EQ(kv.host_free(), 0u);
  EXPECT_EQ(kv.host_available(), 2u);
  EXPECT_EQ(table.backed(), 2u);
  Check(kv, {&table, &other});
  EXPECT_TRUE(kv.SwapOut(other, 1, copies));
  EXPECT_EQ(table.backed(), 0u);
  kv.CompleteCopies();
  EXPECT_EQ(kv.host_free(), 1u);
  Check(kv, {&table, &other});
}

// The last block of a paused context may be copied ahead although it is not full.
TEST(KvManager, WhatIsWrittenIsNoLongerBacked) {
  KvManager kv(Config(3, 2));
  BlockTable table;
  Fill(kv, table, Tokens(6));
  std::vector<BlockCopy> copies;
  for (const uint32_t index : {0u, 1u}) kv.CopyAhead(table, index, copies);
  kv.CompleteCopies();
  EXPECT_EQ(table.backed(), 2u);
  kv.Extend(table, 6, 7, copies);
  EXPECT_TRUE(kv.IsBacked(table, 0));
  EXPECT_FALSE(kv.IsBacked(table, 1));
  EXPECT_EQ(kv.host_free(), 1u);
  Check(kv, {&table});
}

// A copy of what is shared would belong to several tables.
TEST(KvManager, AForkHasNoSpareCopies) {
  KvManager kv(Config(2, 2));
  BlockTable parent;
  Fill(kv, parent, Tokens(8));
  std::vector<BlockCopy> copies;
  kv.CopyAhead(parent, 0, copies);
  kv.CompleteCopies();
  BlockTable child;
  kv.Share(parent, child);
  EXPECT_EQ(parent.backed(), 0u);
  EXPECT_EQ(kv.host_free(), 2u);
  Check(kv, {&parent, &child});
}

// A window of 6 tokens in blocks of 4: the token after 20 sees the positions from 15 on.
KvConfig WindowConfig(uint32_t device_blocks, uint32_t host_blocks = 0) {
  KvConfig config = Config(device_blocks, host_blocks);
  config.window_tokens = 6;
  config.chunk_tokens = 8;
  return config;
}

// A full group and two sliding ones.
KvConfig MixedConfig(uint32_t device_blocks, uint32_t host_blocks = 0) {
  KvConfig config = WindowConfig(device_blocks, host_blocks);
  config.groups = 3;
  config.full_groups = 1;
  return config;
}

TEST(KvManager, WhatIsBehindTheWindowIsAvailable) {
  KvManager kv(WindowConfig(5, 2));
  BlockTable table;
  Fill(kv, table, Tokens(20));
  std::vector<BlockCopy> copies;
  kv.CopyAhead(table, 0, copies);
  kv.CompleteCopies();
  kv.Release(table, 20);
  EXPECT_EQ(table.size(), 5u);
  EXPECT_EQ(table.released(), 3u);
  EXPECT_EQ(table.on_device(), 2u);
  EXPECT_EQ(table.missing(), 0u);
  EXPECT_EQ(table.device()[2], kNoBlock);
  EXPECT_EQ(kv.available(), 3u);
  EXPECT_EQ(kv.host_free(), 2u);
  Check(kv, {&table});
  // What is swapped out and comes back is the window.
  for (const uint32_t index : {3u, 4u}) EXPECT_TRUE(kv.SwapOut(table, index, copies));
  kv.CompleteCopies();
  EXPECT_EQ(table.missing(), 2u);
  kv.Reattach(table, 20);
  EXPECT_EQ(table.missing(), 0u);
  EXPECT_EQ(table.released(), 3u);
  Check(kv, {&table});
}

TEST(KvManager, AWindowedContextWantsNoMoreThanItsWindowAndAChunk) {
  KvManager kv(WindowConfig(5));
  BlockTable table;
  EXPECT_EQ(kv.BlocksWanted(table, 0, 4), 1u);
  // 5 positions of the window and 8 of the chunk, neither of which begins at a block.
  EXPECT_EQ(kv.BlocksWanted(table, 0, 1000), 5u);
  Fill(kv, table, Tokens(20));
  kv.Release(table, 20);
  EXPECT_EQ(kv.BlocksWanted(table, 20, 21), 1u);
  EXPECT_EQ(kv.BlocksWanted(table, 20, 1000), 3u);
}

// What is left of a window is of no use, what the cache has of it is.
TEST(KvManager, ADiscardedWindowIsFoundThoughWhatWasBeforeItIsGone) {
  KvManager kv(WindowConfig(8));
  const auto tokens = Tokens(21);
  BlockTable table;
  Fill(kv, table, Tokens(20));
  kv.Release(table, 20);
  EXPECT_EQ(kv.UsableRows(table, 5), 5u);
  EXPECT_EQ(kv.UsableRows(table, 4), 0u);
  kv.Truncate(table, 0);
  BlockTable other;
  Fill(kv, other, Tokens(16, 100));  // Takes what was free, and block 0.
  EXPECT_EQ(kv.AttachPrefix(table, tokens, 0), 20u);
  EXPECT_EQ(table.released(), 3u);
  EXPECT_EQ(table.on_device(), 2u);
  Check(kv, {&table, &other});
  // Nobody else knows what those blocks hold.
  BlockTable stranger;
  EXPECT_EQ(kv.AttachPrefix(stranger, tokens, 0), 0u);
  // When other tokens come after 16, there is a shorter context whose window is there.
  kv.Truncate(table, 0);
  kv.Forget(table, 4);
  EXPECT_EQ(kv.AttachPrefix(table, Tokens(16), 0), 12u);
  EXPECT_EQ(table.released(), 1u);
  Check(kv, {&table, &other});
}

// A prefix of which a window is there can be shared, and giving it back undoes that.
TEST(KvManager, OnlyTheWindowOfASharedPrefixIsTaken) {
  KvManager kv(WindowConfig(8));
  BlockTable table;
  Fill(kv, table, Tokens(20));
  BlockTable child;
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(21), 0), 20u);
  EXPECT_EQ(child.released(), 3u);
  EXPECT_EQ(table.private_blocks(), 3u);
  kv.Truncate(child, 0);
  EXPECT_EQ(table.private_blocks(), 5u);
  // A table with blocks of its own takes no more than can be given back.
  kv.Share(table, child);
  kv.Truncate(child, 2);
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(21), 8), 8u);
  Check(kv, {&table, &child});
}

// A prefix is a hit where full groups have all of it and sliding ones their window.
TEST(KvManager, APrefixOfBothKindsIsAllOfOneAndAWindowOfTheOther) {
  KvManager kv(MixedConfig(24));
  BlockTable table;
  Fill(kv, table, Tokens(20));
  kv.Release(table, 20);
  EXPECT_EQ(table.size(), 15u);
  EXPECT_EQ(table.released(), 6u);  // 3 rows of 2 sliding groups
  EXPECT_EQ(table.on_device(), 9u);
  EXPECT_EQ(kv.available(), 15u);
  EXPECT_EQ(kv.cached(), 6u);
  BlockTable child;
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(21), 0), 20u);
  EXPECT_EQ(child.released(), 6u);
  EXPECT_EQ(child.on_device(), 9u);
  EXPECT_EQ(table.private_blocks(), 0u);
  Check(kv, {&table, &child});
  kv.Truncate(child, 0);
  // A shorter prefix needs other windows: they are there until somebody takes their blocks.
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(13), 0), 12u);
  kv.Truncate(child, 0);
  BlockTable other;
  Fill(kv, other, Tokens(20, 100));
  Check(kv, {&table, &other});
  EXPECT_EQ(kv.cached(), 0u);
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(13), 0), 0u);
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(21), 0), 20u);
  kv.Truncate(child, 0);
  // Without the beginning of what full groups have, windows are of no use, and nobody is cut there.
  EXPECT_EQ(kv.UsableRows(table, 5), 5u);
  EXPECT_EQ(kv.UsableRows(table, 4), 0u);
  kv.Truncate(table, 0);
  BlockTable third;
  Fill(kv, third, Tokens(4, 200));  // Takes blocks of the end of the table.
  EXPECT_EQ(kv.AttachPrefix(child, Tokens(21), 0), 0u);
  Check(kv, {&table, &other, &third});
}

// Equal tokens in the rows of different groups, and twice in the same place of a chain, are not
// equal contents.
TEST(KvManager, GroupsShareNothingWithEachOther) {
  KvConfig config = MixedConfig(60);
  config.window_tokens = 0;
  KvManager kv(config);
  const std::vector<TokenId> same(20, 7);
  BlockTable a;
  BlockTable b;
  std::vector<BlockCopy> copies;
  for (BlockTable* table : {&a, &b}) kv.Extend(*table, 0, 20, copies);
  for (BlockTable* table : {&a, &b}) kv.Seal(*table, same, 20);
  std::vector<BlockId> blocks(a.device().begin(), a.device().end());
  EXPECT_TRUE(std::ranges::equal(blocks, b.device()));
  std::ranges::sort(blocks);
  EXPECT_EQ(std::ranges::unique(blocks).size(), 0u);
  Check(kv, {&a, &b});
}

TEST(KvManager, AMixedContextWantsAllOfOneKindAndAWindowOfTheOther) {
  KvManager kv(MixedConfig(60));
  BlockTable table;
  EXPECT_EQ(kv.BlocksWanted(table, 0, 4), 3u);
  // 5 positions of the window and 8 of the chunk lie in 4 or 5 rows.
  EXPECT_EQ(kv.BlocksWanted(table, 0, 100), 25u + 2 * 5);
  EXPECT_EQ(kv.TokensHeldMax(), 50u * 4);
  Fill(kv, table, Tokens(20));
  kv.Release(table, 20);
  EXPECT_EQ(kv.BlocksWanted(table, 20, 21), 3u);
  EXPECT_EQ(kv.BlocksWanted(table, 20, 100), 20u + 2 * 3);
  // In a pool for less than a window and a chunk, all is kept for a while.
  EXPECT_EQ(KvManager(MixedConfig(14)).TokensHeldMax(), 16u);
  EXPECT_EQ(KvManager(MixedConfig(15)).TokensHeldMax(), 20u);
  EXPECT_EQ(KvManager(MixedConfig(16)).TokensHeldMax(), 24u);
}

// A row that is shared in the middle is copied as a whole before it is written.
TEST(KvManager, AForkCopiesTheRowThatItWrites) {
  KvManager kv(MixedConfig(30));
  BlockTable parent;
  BlockTable child;
  std::vector<BlockCopy> copies;
  Fill(kv, parent, Tokens(18));
  kv.Release(parent, 18);
  kv.Share(parent, child);
  EXPECT_EQ(kv.CopyCost(child, 18), 3u);
  EXPECT_FALSE(kv.IsWritable(child, 18, 19));
  kv.Extend(child, 18, 19, copies);
  EXPECT_EQ(copies.size(), 3u);
  for (uint32_t i = 12; i < 15; ++i) EXPECT_NE(parent.device()[i], child.device()[i]);
  kv.CompleteCopies();
  EXPECT_TRUE(kv.IsWritable(child, 19, 20));
  EXPECT_FALSE(kv.IsWritable(child, 19, 21));
  EXPECT_EQ(kv.CopyCost(parent, 18), 0u);
  Check(kv, {&parent, &child});
}

TEST(KvManager, RandomLivesKeepEveryCount) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t limit) { return static_cast<uint32_t>(random() % limit); };
    KvConfig config = Config(12, below(6));
    if (seed % 2 == 1) config.window_tokens = 1 + below(12);
    if (seed % 3 == 0) {
      config.groups = 2 + below(2);
      config.full_groups = 1 + below(config.groups - 1);
    }
    const uint32_t groups = config.groups;
    config.device_blocks *= groups;
    KvManager kv(config);
    std::vector<BlockTable> tables(4);
    std::vector<uint32_t> computed(4, 0);
    std::vector<std::vector<TokenId>> tokens;
    // Few distinct contents, so that sharing happens.
    for (TokenId i = 0; i < 4; ++i) tokens.push_back(Tokens(40, i / 2 * 1000));
    for (int operation = 0; operation < 200; ++operation) {
      const uint32_t i = below(4);
      BlockTable& table = tables[i];
      std::vector<BlockCopy> copies;
      const bool on_device = table.missing() == 0;
      const uint32_t kind = below(6);
      if (kind == 0 && on_device) {
        if (computed[i] * groups == table.size() * 4)
          computed[i] = kv.AttachPrefix(table, tokens[i], computed[i]);
        const uint32_t end = std::min(40u, computed[i] + 1 + below(9));
        if (end > computed[i] && kv.ExtendCost(table, computed[i], end) <= kv.available()) {
          kv.Extend(table, computed[i], end, copies);
          computed[i] = end;
          kv.Seal(table, tokens[i], end);
          kv.Release(table, end);
        }
      } else if (kind == 1 && !table.empty()) {
        const uint32_t rows = kv.UsableRows(table, below(table.size() / groups + 1));
        kv.Truncate(table, rows * groups);
        computed[i] = std::min(computed[i], rows * 4);
      } else if (kind == 2 && !table.empty()) {
        const uint32_t index = below(table.size());
        const bool room = kv.IsBacked(table, index) || kv.host_available() > 0;
        if (kv.IsPrivate(table, index) && room) kv.SwapOut(table, index, copies);
      } else if (kind == 3) {
        if (below(2) == 0) kv.Reattach(table, computed[i]);
        for (uint32_t index = kv.FirstLive(table); index < table.size(); ++index) {
          const bool full = kv.IsFull(index, computed[i]);
          if (kv.IsMissing(table, index) && kv.available() > 0)
            kv.SwapIn(table, index, full, copies);
        }
      } else if (kind == 4) {
        for (uint32_t index = 0; index < table.size() && kv.host_available_ahead() > 0; ++index) {
          if (kv.IsPrivate(table, index) && !kv.IsBacked(table, index))
            kv.CopyAhead(table, index, copies);
        }
      } else {
        kv.SetHold(table, static_cast<Hold>(below(kHolds)));
      }
      Check(kv, {&tables[0], &tables[1], &tables[2], &tables[3]});
      if (below(2) == 0) kv.CompleteCopies();
    }
    kv.CompleteCopies();
    for (BlockTable& table : tables) kv.Truncate(table, 0);
    EXPECT_EQ(kv.available(), config.device_blocks) << "seed " << seed;
  }
}

}  // namespace infercept
