// One sequence's turn, token by token: which text comes out, what is reported, and how the turn
// goes on. Logits are written so that greedy sampling says what the test wants.
#include "engine/generation.h"

#include <limits>

#include "test.h"

namespace infercept {
namespace {

constexpr uint32_t kVocabulary = 128;
constexpr TokenId kStop = 0;
constexpr SeqId kSeq{3};

// Token ids are ASCII codes; the stop token spells nothing; 1 and 2 are the halves of a character.
TokenTable Ascii() {
  TokenTable table;
  table.offsets.push_back(0);
  for (char code = 0; code < 127; ++code) {
    if (code == 1)
      table.bytes += "\xC3";
    else if (code == 2)
      table.bytes += "\xA9";
    else if (code != kStop)
      table.bytes += code;
    table.offsets.push_back(static_cast<uint32_t>(table.bytes.size()));
  }
  return table;
}

struct Step {
  Outcome outcome = Outcome::kContinue;
  std::string text;
  std::vector<std::string> matches;
};

class Speaker {
 public:
  explicit Speaker(Turn turn, uint32_t context_tokens_max = 1000)
      : table_(Ascii(), kVocabulary, context_tokens_max) {
    turn.stop_tokens.push_back(kStop);
    status_ = table_.BeginTurn(kSeq, std::move(turn), std::vector<TokenId>{'?'});
  }

  // Makes the sequence sample `token`.
  Step Say(TokenId token, SeqId seq = kSeq) {
    std::vector<float> logits(kVocabulary);
    logits[static_cast<size_t>(token)] = 1;
    SampleResult sample;
    const TokenRequest request = table_.Request(seq);
    Sample(logits, request.sample, scratch_, sample);
    Observation observation;
    table_.Observe(seq, request.revision, sample, observation);
    Step step{observation.sampled.outcome, observation.token.text, {}};
    EXPECT_EQ(observation.sampled.token, token);
    for (const MatchEvent& match : observation.matches) step.matches.push_back(match.text);
    return step;
  }

  // All of a text; stops early when the turn does not continue.
  Step SayText(const std::string& text, SeqId seq = kSeq) {
    Step all;
    for (const char letter : text) {
      const Step step = Say(letter, seq);
      all.text += step.text;
      all.matches.insert(all.matches.end(), step.matches.begin(), step.matches.end());
      all.outcome = step.outcome;
      if (step.outcome != Outcome::kContinue) break;
    }
    return all;
  }

  GenerationTable& table() { return table_; }
  const Generation& generation() const { return table_[kSeq]; }
  const Status& status() const { return status_; }

 private:
  GenerationTable table_;
  SamplerScratch scratch_;
  Status status_;
};

// Turns are made by assignment: g++ 12 sees uninitialized members in the cleanup of nested
// initializers.
Turn WithStopText(const char* text) {
  Turn turn;
  turn.stop_texts.emplace_back(text);
  return turn;
}

Turn WithTriggers(const std::vector<Trigger>& triggers) {
  Turn turn;
  turn.triggers = triggers;
  return turn;
}

Turn WithLimit(uint32_t max_tokens) {
  Turn turn;
  turn.max_tokens = max_tokens;
  return turn;
}

const std::vector<Trigger> kCalc = {{.text = "[calc(", .until = ")]"}};
const std::vector<Trigger> kToolCall = {
    {.text = "<call>", .until = "</call>", .action = TriggerAction::kPauseAtStop}};

}  // namespace

TEST(Generation, StopTokenFinishesAndSaysNothing) {
  Speaker speaker({});
  EXPECT_EQ(speaker.SayText("hi").text, "hi");
  const Step stop = speaker.Say(kStop);
  EXPECT_EQ(stop.outcome, Outcome::kFinish);
  EXPECT_EQ(stop.text, "");
  EXPECT_EQ(speaker.generation().finish_reason(), FinishReason::kStopToken);
  // It belongs to the context all the same.
  EXPECT_EQ(speaker.generation().context().size(), 4u);
  EXPECT_EQ(speaker.generation().generated_tokens(), 3u);
}

TEST(Generation, StopTextIsHeldBackAndCut) {
  Speaker speaker(WithStopText("END"));
  EXPECT_EQ(speaker.SayText("a EN").text, "a ");
  const Step step = speaker.Say('D');
  EXPECT_EQ(step.outcome, Outcome::kFinish);
  EXPECT_EQ(step.text, "");
  EXPECT_EQ(speaker.generation().finish_reason(), FinishReason::kStopText);
}

TEST(Generation, HeldTextIsFlushedWhenTheTurnEnds) {
  Speaker speaker(WithStopText("END"));
  EXPECT_EQ(speaker.SayText("EN").text, "");
  EXPECT_EQ(speaker.Say(kStop).text, "EN");
}

TEST(Generation, LengthAndContextLengthFinish) {
  Speaker length(WithLimit(2));
  EXPECT_EQ(length.Say('a').outcome, Outcome::kContinue);
  EXPECT_EQ(length.Say('b').outcome, Outcome::kFinish);
  EXPECT_EQ(length.generation().finish_reason(), FinishReason::kLength);
  Speaker context({}, 3);
  EXPECT_EQ(context.Say('a').outcome, Outcome::kContinue);
  EXPECT_EQ(context.Say('b').outcome, Outcome::kFinish);
  EXPECT_EQ(context.generation().finish_reason(), FinishReason::kContextLength);
}

TEST(Generation, CharactersAreNeverSplit) {
  Speaker speaker({});
  EXPECT_EQ(speaker.Say(1).text, "");
  EXPECT_EQ(speaker.Say(2).text, "\xC3\xA9");
  EXPECT_EQ(speaker.Say(1).text, "");
  EXPECT_EQ(speaker.Say(kStop).text, "\xEF\xBF\xBD");
}

TEST(Generation, TriggerPausesAtItsVeryToken) {
  Speaker speaker(WithTriggers(kCalc));
  const Step step = speaker.SayText("= [calc(2+2)] and more");
  EXPECT_EQ(step.outcome, Outcome::kPause);
  EXPECT_EQ(step.text, "= [calc(2+2)]");
  ASSERT_EQ(step.matches.size(), 1u);
  EXPECT_EQ(step.matches[0], "2+2");
  EXPECT_EQ(speaker.generation().pause_reason(), PauseReason::kTrigger);
  // The turn goes on after what was returned, and can pause again.
  EXPECT_TRUE(speaker.table().AppendReturned(kSeq, std::vector<TokenId>{'4'}).ok());
  EXPECT_EQ(speaker.SayText("[calc(1)]").outcome, Outcome::kPause);
  EXPECT_EQ(speaker.generation().context().size(), 1 + 13 + 1 + 9u);
}

TEST(Generation, ToolCallsPauseAtTheStopTokenThatFollows) {
  Speaker speaker(WithTriggers(kToolCall));
  const Step calls = speaker.SayText("<call>a</call><call>b</call>");
  EXPECT_EQ(calls.outcome, Outcome::kContinue);
  EXPECT_EQ(calls.matches.size(), 2u);
  EXPECT_EQ(speaker.Say(kStop).outcome, Outcome::kPause);
  EXPECT_EQ(speaker.generation().pause_reason(), PauseReason::kPreviousMatch);
  // After the results there is no new call, so the next stop token finishes.
  EXPECT_TRUE(speaker.table().AppendReturned(kSeq, std::vector<TokenId>{'r'}).ok());
  EXPECT_EQ(speaker.SayText("ok").outcome, Outcome::kContinue);
  EXPECT_EQ(speaker.Say(kStop).outcome, Outcome::kFinish);
}

TEST(Generation, NothingMatchesAcrossAnInterception) {
  Turn turn = WithTriggers(kCalc);
  turn.stop_texts.emplace_back("xy");
  Speaker speaker(turn);
  EXPECT_EQ(speaker.SayText("[ca").text, "[ca");
  EXPECT_EQ(speaker.Say('x').text, "");
  EXPECT_TRUE(speaker.table().AppendReturned(kSeq, std::vector<TokenId>{'r'}).ok());
  const Step step = speaker.SayText("lc(1)]y");
  EXPECT_EQ(step.outcome, Outcome::kContinue);
  EXPECT_EQ(step.text, "xlc(1)]y");  // what was held back leads
}

TEST(Generation, ALimitFinishesEvenWhereATriggerMatched) {
  Turn turn = WithTriggers({{.text = "ab"}});
  turn.max_tokens = 2;
  Speaker speaker(turn);
  const Step step = speaker.SayText("ab");
  EXPECT_EQ(step.outcome, Outcome::kFinish);
  EXPECT_EQ(step.matches.size(), 1u);
}

TEST(Generation, ForksGoTheirOwnWays) {
  constexpr SeqId kChild{4};
  Speaker speaker(WithStopText("abc"));
  speaker.SayText("ab");
  speaker.table().Fork(kSeq, kChild);
  EXPECT_EQ(speaker.Say('c', kChild).outcome, Outcome::kFinish);
  EXPECT_EQ(speaker.Say('x').text, "abx");
  speaker.table().Erase(kChild);
  EXPECT_EQ(speaker.table().size(), 1u);
  speaker.table().Rewind(kSeq, 2);
  EXPECT_EQ(speaker.generation().context().size(), 2u);
}

TEST(Generation, ANewTurnBeginsAfresh) {
  Speaker speaker(WithLimit(1));
  EXPECT_EQ(speaker.Say('a').outcome, Outcome::kFinish);
  EXPECT_TRUE(speaker.table().BeginTurn(kSeq, WithLimit(2), std::vector<TokenId>{'q'}).ok());
  EXPECT_EQ(speaker.Say('b').outcome, Outcome::kContinue);
  EXPECT_EQ(speaker.Say('c').outcome, Outcome::kFinish);
  EXPECT_EQ(speaker.generation().context().size(), 5u);
}

TEST(Generation, RefusesWhatWouldReachOutside) {
  EXPECT_TRUE(Speaker({}).status().ok());
  void (*const spoilers[])(Turn&) = {
      [](Turn& turn) { turn.sampling.logit_bias.emplace_back(kVocabulary, 1.0f); },
      [](Turn& turn) { turn.sampling.temperature = std::numeric_limits<float>::quiet_NaN(); },
      [](Turn& turn) { turn.stop_texts.emplace_back(); },
      [](Turn& turn) { turn.triggers.emplace_back(); },
      [](Turn& turn) { turn.triggers.push_back({.text = "a", .tokens = {1}}); },
      [](Turn& turn) { turn.max_tokens = 0; },
  };
  for (const auto spoil : spoilers) {
    Turn turn;
    spoil(turn);
    Speaker speaker(turn);
    EXPECT_EQ(speaker.status().code(), StatusCode::kInvalidArgument);
    EXPECT_FALSE(speaker.table().Contains(kSeq));
  }
  Speaker speaker({}, 5);
  const auto append = [&](std::vector<TokenId> tokens) {
    return speaker.table().AppendReturned(kSeq, tokens).code();
  };
  EXPECT_EQ(append({kVocabulary}), StatusCode::kInvalidArgument);
  EXPECT_EQ(append({-1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(append({1, 2, 3, 4}), StatusCode::kContextTooLong);
  EXPECT_EQ(append({1, 2, 3}), StatusCode::kOk);
}

// Two tokens are asked for, the second while the first is being sampled; the first one ends, pauses
// or cuts the turn.
TEST(Generation, ATokenAfterTheEndWasNeverSaid) {
  const auto second_outcome = [](TokenId first, const auto& between) {
    Speaker speaker(WithTriggers({{.text = "!"}}));
    GenerationTable& table = speaker.table();
    const TokenRequest one = table.Request(kSeq);
    const TokenRequest two = table.RequestAhead(kSeq);
    Observation observation;
    table.Observe(kSeq, one.revision, {first, 0, {}}, observation);
    between(table);
    const size_t said = table.Contains(kSeq) ? table[kSeq].context().size() : 0;
    table.events().clear();
    table.Observe(kSeq, two.revision, {'b', 0, {}}, observation);
    table.Publish(observation);
    const bool is_void = observation.sampled.outcome == Outcome::kVoid;
    EXPECT_EQ(table.events().empty(), is_void);
    EXPECT_EQ(table.Contains(kSeq) ? table[kSeq].context().size() : 0, said + !is_void);
    EXPECT_EQ(observation.sampled.seq, kSeq);
    return observation.sampled.outcome;
  };
  const auto nothing = [](GenerationTable&) {};
  EXPECT_EQ(second_outcome('a', nothing), Outcome::kContinue);
  EXPECT_EQ(second_outcome(kStop, nothing), Outcome::kVoid);
  EXPECT_EQ(second_outcome('!', nothing), Outcome::kVoid);
  EXPECT_EQ(second_outcome('a', [](GenerationTable& table) { table.Rewind(kSeq, 1); }),
            Outcome::kVoid);
  EXPECT_EQ(
      second_outcome('!',
                     [](GenerationTable& table) {
                       EXPECT_TRUE(table.AppendReturned(kSeq, std::vector<TokenId>{'c'}).ok());
                     }),
      Outcome::kVoid);
  EXPECT_EQ(second_outcome(kStop, [](GenerationTable& table) { table.Erase(kSeq); }),
            Outcome::kVoid);
}

TEST(Generation, RefusesABiasForATokenTwice) {
  GenerationTable table(Ascii(), kVocabulary, 100);
  Turn turn;
  turn.sampling.logit_bias = {{5, 1.0f}, {6, 1.0f}, {5, -1.0f}};
  EXPECT_EQ(table.BeginTurn(kSeq, turn, std::vector<TokenId>{1}).code(),
            StatusCode::kInvalidArgument);
}

TEST(Generation, EventsStandInOrder) {
  Speaker speaker(WithTriggers({{.text = "a", .action = TriggerAction::kPauseAtStop}}));
  SampleResult sample;
  sample.token = 'a';
  Observation observation;
  speaker.table().Observe(kSeq, speaker.generation().revision(), sample, observation);
  speaker.table().Publish(observation);
  const std::vector<Event>& events = speaker.table().events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(std::get<TokenEvent>(events[0]).text, "a");
  EXPECT_EQ(std::get<MatchEvent>(events[1]).trigger, 0u);
}

}  // namespace infercept
