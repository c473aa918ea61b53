// Hand-written plans through the real executor: whatever happened to a context in between (moved,
// copied, shared, recomputed), the log probabilities of the whole vocabulary are bit-identical to
// those of an undisturbed run.
#include "engine/model_executor.h"

#include <cstring>

#include "test.h"
#include "tiny_model.h"

namespace infercept {
namespace {

using test::AddSlice;
using test::Blocks;
using test::TinyModel;

constexpr SeqId kSeq{1};
constexpr SeqId kOther{2};
const std::vector<TokenId> kPrompt = {5, 17, 3, 42, 8, 23, 60, 2, 11, 7};  // two blocks and a half

struct Fixture {
  Fixture()
      : tiny(*FindOps(""), DType::kQ8_0, DType::kF16),
        generations(TokenTable{}, 80, tiny.model->context_tokens_max()),
        executor(ModelExecutor::Create(*tiny.model, *tiny.storage, generations, tiny.pool).Take()) {
    Begin(kSeq, kPrompt);
  }

  void Begin(SeqId seq, const std::vector<TokenId>& prompt) {
    Turn turn;
    turn.sampling.logprobs = 80;
    EXPECT_TRUE(generations.BeginTurn(seq, turn, prompt).ok());
  }

  // Executes, and returns the token events.
  std::vector<TokenEvent> Execute(const StepPlan& plan) {
    generations.events().clear();
    EXPECT_TRUE(executor->Execute(plan, result).ok());
    std::vector<TokenEvent> tokens;
    for (const Event& event : generations.events()) tokens.push_back(std::get<TokenEvent>(event));
    return tokens;
  }

  std::vector<TokenEvent> Step(SeqId seq, uint32_t first, const std::vector<TokenId>& tokens,
                               const std::vector<BlockId>& blocks, bool sample = true) {
    StepPlan plan;
    AddSlice(plan, seq, first, tokens, blocks, sample);
    return Execute(plan);
  }

  TinyModel tiny;
  GenerationTable generations;
  std::unique_ptr<ModelExecutor> executor;
  StepResult result;
};

std::string Text(const TokenEvent& event) {
  std::string text = std::to_string(event.token);
  for (const TokenLogprob& top : event.top) {
    uint32_t bits = 0;
    std::memcpy(&bits, &top.logprob, sizeof(bits));
    text += " " + std::to_string(top.token) + ":" + std::to_string(bits);
  }
  return text;
}

// The second token of an undisturbed run, with all its log probabilities.
struct Expected {
  TokenId first = 0;
  std::string second;
};

Expected Undisturbed() {
  Fixture fixture;
  const TokenId first = fixture.Step(kSeq, 0, kPrompt, Blocks({0, 1, 2}))[0].token;
  return {first, Text(fixture.Step(kSeq, 10, {first}, Blocks({0, 1, 2}))[0])};
}

}  // namespace

TEST(ModelExecutor, SamplesEachSliceThatAsksForIt) {
  Fixture fixture;
  fixture.Begin(kOther, {4, 9});
  StepPlan plan;
  AddSlice(plan, kSeq, 0, {5, 17, 3, 42}, Blocks({0}), /*sample=*/false);
  AddSlice(plan, kOther, 0, {4, 9}, Blocks({1}));
  const std::vector<TokenEvent> events = fixture.Execute(plan);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].seq, kOther);
  ASSERT_EQ(fixture.result.sampled.size(), 1u);
  EXPECT_EQ(fixture.result.sampled[0].token, events[0].token);
  EXPECT_EQ(fixture.generations[kOther].context().size(), 3u);
  EXPECT_GT(fixture.result.compute, 0);
  EXPECT_GE(fixture.result.total, fixture.result.compute);
  EXPECT_EQ(events[0].top.size(), 80u);
}

TEST(ModelExecutor, SwappingOutAndInLeavesNoTrace) {
  const Expected expected = Undisturbed();
  for (const bool block_compute : {false, true}) {
    Fixture fixture;
    fixture.Begin(kOther, {1, 2, 3, 4, 5, 6, 7, 8});
    const TokenId first = fixture.Step(kSeq, 0, kPrompt, Blocks({0, 1, 2}))[0].token;
    EXPECT_EQ(first, expected.first);
    StepPlan out;
    out.swap_out = {{BlockId{0}, BlockId{7}}, {BlockId{1}, BlockId{3}}, {BlockId{2}, BlockId{5}}};
    out.swaps_block_compute = block_compute;
    AddSlice(out, kOther, 0, {1, 2, 3, 4}, Blocks({9}), false);
    fixture.Execute(out);
    EXPECT_GT(fixture.result.swap_out, 0);
    fixture.Step(kOther, 0, {1, 2, 3, 4, 5, 6, 7, 8},
                 Blocks({2, 0}));  // overwrites what was given up
    fixture.Step(kOther, 4, {9, 9, 9, 9}, Blocks({2, 1}));
    StepPlan in;
    in.swap_in = {{BlockId{7}, BlockId{4}}, {BlockId{3}, BlockId{0}}, {BlockId{5}, BlockId{1}}};
    fixture.Execute(in);
    EXPECT_GT(fixture.result.swap_in, 0);
    EXPECT_EQ(Text(fixture.Step(kSeq, 10, {first}, Blocks({4, 0, 1}))[0]), expected.second);
  }
}

TEST(ModelExecutor, CopyOnWriteKeepsBothSidesApart) {
  const Expected expected = Undisturbed();
  Fixture fixture;
  const TokenId first = fixture.Step(kSeq, 0, kPrompt, Blocks({0, 1, 2}))[0].token;
  fixture.generations.Fork(kSeq, kOther);
  // The fork shares two blocks and writes another token into a copy of the third; the copy precedes
  // the computation.
  StepPlan plan;
  plan.copies = {{BlockId{2}, BlockId{6}}};
  AddSlice(plan, kOther, 10, {(first + 1) % 80}, Blocks({0, 1, 6}));
  AddSlice(plan, kSeq, 10, {first}, Blocks({0, 1, 2}));
  const std::vector<TokenEvent> events = fixture.Execute(plan);
  EXPECT_EQ(Text(events[1]), expected.second);
  EXPECT_NE(Text(events[0]), expected.second);
  // The other way round: the copy continues as the original would have.
  Fixture again;
  again.Step(kSeq, 0, kPrompt, Blocks({0, 1, 2}));
  again.generations.Fork(kSeq, kOther);
  StepPlan swapped;
  swapped.copies = {{BlockId{2}, BlockId{6}}};
  AddSlice(swapped, kSeq, 10, {(first + 1) % 80}, Blocks({0, 1, 2}));
  AddSlice(swapped, kOther, 10, {first}, Blocks({0, 1, 6}));
  EXPECT_EQ(Text(again.Execute(swapped)[1]), expected.second);
}

TEST(ModelExecutor, RecomputingInChunksLeavesNoTrace) {
  const Expected expected = Undisturbed();
  Fixture fixture;
  const TokenId first = fixture.Step(kSeq, 0, kPrompt, Blocks({0, 1, 2}))[0].token;
  // All blocks are gone; the prompt comes back in three uneven chunks, the last together with the
  // sampled token.
  fixture.Step(kSeq, 0, {5, 17, 3}, Blocks({8}), false);
  fixture.Step(kSeq, 3, {42, 8, 23, 60, 2}, Blocks({8, 9}), false);
  EXPECT_EQ(Text(fixture.Step(kSeq, 8, {11, 7, first}, Blocks({8, 9, 3}))[0]), expected.second);
}

TEST(ModelExecutor, ManyRowsAreSampledAsOneIs) {
  const Expected expected = Undisturbed();
  Fixture fixture;
  StepPlan plan;
  for (uint32_t i = 0; i < 6; ++i) {
    if (i > 0) fixture.Begin(SeqId{10 + i}, kPrompt);
    AddSlice(plan, i == 0 ? kSeq : SeqId{10 + i}, 0, kPrompt, test::BlockRange(3 * i, 3));
  }
  const std::vector<TokenEvent> events = fixture.Execute(plan);
  ASSERT_EQ(events.size(), 6u);
  for (const TokenEvent& event : events) {
    EXPECT_EQ(event.token, expected.first);
    EXPECT_EQ(Text(event), Text(events[0]));
  }
}

TEST(ModelExecutor, AFailedStepLeavesNoCopyBehind) {
  Fixture fixture;
  StepPlan plan;
  plan.swap_out = {{BlockId{0}, BlockId{0}}};
  AddSlice(plan, kSeq, 0, {1}, Blocks({64}));  // no such block
  EXPECT_THROW(static_cast<void>(fixture.executor->Execute(plan, fixture.result)), InternalError);
  fixture.Step(kSeq, 0, kPrompt, Blocks({0, 1, 2}));
}

}  // namespace infercept
