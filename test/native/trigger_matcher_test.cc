// Triggers and stop texts: hand-written cases, and thousands of random outputs against a search
// that sees the whole output at once.
#include "text/trigger_matcher.h"

#include <algorithm>

#include "random_text.h"
#include "test.h"

namespace infercept {
namespace {

// What a matcher said about an output, up to its first verdict.
struct Report {
  std::string released;
  std::vector<std::pair<uint32_t, std::string>> matches;
  Verdict verdict = Verdict::kContinue;
  size_t tokens = 0;  // looked at

  bool operator==(const Report&) const = default;
  std::string DebugString() const {
    std::string text =
        released + "|" + std::to_string(static_cast<int>(verdict)) + "|" + std::to_string(tokens);
    for (const auto& [trigger, bytes] : matches)
      text += "|" + std::to_string(trigger) + ":" + bytes;
    return text;
  }
};

// Token ids 0..25 spell "a".."z"; ids from 26 on spell what is in `words`.
TokenTable Letters(const std::vector<std::string>& words = {}) {
  TokenTable table;
  table.offsets.push_back(0);
  const auto add = [&](const std::string& word) {
    table.bytes += word;
    table.offsets.push_back(static_cast<uint32_t>(table.bytes.size()));
  };
  for (char letter = 'a'; letter <= 'z'; ++letter) add(std::string(1, letter));
  for (const std::string& word : words) add(word);
  return table;
}

Report Match(const std::vector<Trigger>& triggers, const std::vector<std::string>& stops,
             const TokenTable& table, const std::vector<TokenId>& output) {
  TriggerMatcher matcher(triggers, stops, table);
  Report report;
  std::vector<TriggerMatch> matches;
  for (const TokenId token : output) {
    ++report.tokens;
    report.verdict = matcher.Observe(token, table.BytesOf(token), report.released, matches);
    if (report.verdict != Verdict::kContinue) break;
  }
  if (report.verdict == Verdict::kContinue) matcher.Flush(report.released);
  for (TriggerMatch& match : matches) report.matches.push_back({match.trigger, match.bytes});
  return report;
}

// The whole output, and where each byte comes from.
struct Whole {
  std::string bytes;
  std::vector<size_t> token_end;  // bytes up to and including token i
};

// When something completed: with the token as such (byte 0) or with byte number `byte` of it,
// counted from 1.
struct Moment {
  size_t token = 0;
  size_t byte = 0;
  auto operator<=>(const Moment&) const = default;
};

struct Completion {
  Moment moment;
  uint32_t trigger = 0;
  std::string bytes;
};

Moment MomentOfByte(const Whole& whole, size_t end) {  // the byte before `end`
  size_t token = 0;
  while (whole.token_end[token] < end) ++token;
  return {token, end - (token == 0 ? 0 : whole.token_end[token - 1])};
}

// Left to right with string searches.
void FindTextTrigger(const Whole& whole, const Trigger& trigger, uint32_t index,
                     std::vector<Completion>& found) {
  for (size_t at = 0;;) {
    const size_t begin = whole.bytes.find(trigger.text, at);
    if (begin == std::string::npos) return;
    at = begin + trigger.text.size();
    std::string bytes = trigger.text;
    if (!trigger.until.empty()) {
      const size_t until = whole.bytes.find(trigger.until, at);
      if (until == std::string::npos) return;
      bytes = whole.bytes.substr(at, until - at);
      at = until + trigger.until.size();
    }
    found.push_back({MomentOfByte(whole, at), index, bytes});
  }
}

void FindTokenTrigger(const Whole& whole, const std::vector<TokenId>& output,
                      const TokenTable& table, const Trigger& trigger, uint32_t index,
                      std::vector<Completion>& found) {
  const size_t length = trigger.tokens.size();
  for (size_t begin = 0; begin + length <= output.size();) {
    if (!std::equal(trigger.tokens.begin(), trigger.tokens.end(),
                    output.begin() + static_cast<ptrdiff_t>(begin))) {
      ++begin;
      continue;
    }
    const size_t last = begin + length - 1;
    if (trigger.until.empty()) {
      std::string bytes;
      for (TokenId token : trigger.tokens) bytes += table.BytesOf(token);
      found.push_back({{last, 0}, index, bytes});
      begin = last + 1;
      continue;
    }
    const size_t from = whole.token_end[last];
    const size_t until = whole.bytes.find(trigger.until, from);
    if (until == std::string::npos) return;
    const Moment moment = MomentOfByte(whole, until + trigger.until.size());
    found.push_back({moment, index, whole.bytes.substr(from, until - from)});
    begin = moment.token + 1;  // The run is looked for in the tokens after.
  }
}

Report NaiveMatch(const std::vector<Trigger>& triggers, const std::vector<std::string>& stops,
                  const TokenTable& table, const std::vector<TokenId>& output) {
  Whole whole;
  for (const TokenId token : output) {
    whole.bytes += table.BytesOf(token);
    whole.token_end.push_back(whole.bytes.size());
  }
  std::vector<Completion> found;
  for (uint32_t i = 0; i < triggers.size(); ++i) {
    if (triggers[i].tokens.empty())
      FindTextTrigger(whole, triggers[i], i, found);
    else
      FindTokenTrigger(whole, output, table, triggers[i], i, found);
  }
  std::ranges::stable_sort(found, {}, &Completion::moment);
  Moment end{output.size(), 0};
  Report report{.released = whole.bytes, .matches = {}, .tokens = output.size()};
  for (const Completion& completion : found) {
    if (triggers[completion.trigger].action == TriggerAction::kPause) {
      end = completion.moment;
      report.verdict = Verdict::kPause;
      report.tokens = end.token + 1;
      report.released = whole.bytes.substr(0, whole.token_end[end.token]);
      break;
    }
  }
  size_t stop_end = std::string::npos;
  size_t stop_length = 0;
  for (const std::string& stop : stops) {
    const size_t begin = whole.bytes.find(stop);
    if (begin == std::string::npos) continue;
    const size_t after = begin + stop.size();
    if (after < stop_end || (after == stop_end && stop.size() > stop_length)) {
      stop_end = after;
      stop_length = stop.size();
    }
  }
  if (stop_end != std::string::npos && MomentOfByte(whole, stop_end) < end) {
    end = MomentOfByte(whole, stop_end);
    report.verdict = Verdict::kStopText;
    report.tokens = end.token + 1;
    report.released = whole.bytes.substr(0, stop_end - stop_length);
  }
  for (const Completion& completion : found) {
    if (completion.moment <= end) report.matches.push_back({completion.trigger, completion.bytes});
  }
  return report;
}

std::vector<TokenId> Spell(const std::string& text) {
  std::vector<TokenId> tokens;
  for (const char letter : text) tokens.push_back(letter - 'a');
  return tokens;
}

struct RandomCase {
  std::vector<Trigger> triggers;
  std::vector<std::string> stops;
  std::vector<TokenId> output;
};

RandomCase MakeCase(Rng& random) {
  static constexpr TokenId kTokens[] = {0, 1, 26, 27, 28, 29};
  RandomCase result;
  for (uint32_t i = random.Below(4); i > 0; --i) {
    Trigger trigger;
    if (random.Uniform() < 0.7)
      trigger.text = RandomText(random, 1 + random.Below(4), "ab");
    else
      for (uint32_t n = 1 + random.Below(3); n > 0; --n)
        trigger.tokens.push_back(kTokens[random.Below(6)]);
    if (random.Uniform() < 0.4) trigger.until = RandomText(random, 1 + random.Below(3), "ab");
    if (random.Uniform() < 0.6) trigger.action = TriggerAction::kPauseAtStop;
    result.triggers.push_back(trigger);
  }
  for (uint32_t i = random.Below(3); i > 0; --i) {
    result.stops.push_back(RandomText(random, 2 + random.Below(5), "ab"));
  }
  for (uint32_t i = 1 + random.Below(14); i > 0; --i)
    result.output.push_back(kTokens[random.Below(6)]);
  return result;
}

}  // namespace

TEST(TriggerMatcher, FindsATextOverSeveralTokens) {
  const TokenTable table = Letters({"[ca", "lc(", "2+2", ")", "]x"});
  const std::vector<Trigger> triggers = {{.text = "[calc(", .until = ")]"}};
  const Report report = Match(triggers, {}, table, {0, 26, 27, 28, 29, 30, 1});
  EXPECT_EQ(report.DebugString(), "a[calc(2+2)]x|1|6|0:2+2");
}

TEST(TriggerMatcher, HoldsAStopTextBackAndCutsIt) {
  const TokenTable table = Letters();
  TriggerMatcher matcher({}, std::vector<std::string>{"xyz"}, table);
  std::string released;
  std::vector<TriggerMatch> matches;
  const std::string output = "axyxyz";
  std::vector<std::string> after;
  Verdict verdict = Verdict::kContinue;
  for (const TokenId token : Spell(output)) {
    verdict = matcher.Observe(token, table.BytesOf(token), released, matches);
    after.push_back(released);
  }
  EXPECT_TRUE((after == std::vector<std::string>{"a", "a", "a", "axy", "axy", "axy"}));
  EXPECT_TRUE(verdict == Verdict::kStopText);
}

TEST(TriggerMatcher, ReleasesWhatTurnedOutNotToBeAStopText) {
  EXPECT_EQ(Match({}, {"aab"}, Letters(), Spell("aaac")).released, "aaac");
}

TEST(TriggerMatcher, ReportsEachOccurrenceWithoutOverlap) {
  const std::vector<Trigger> triggers = {{.text = "aa", .action = TriggerAction::kPauseAtStop}};
  EXPECT_EQ(Match(triggers, {}, Letters(), Spell("aaaaa")).matches.size(), 2u);
}

TEST(TriggerMatcher, MatchesTokenIdsNotTheirSpelling) {
  const TokenTable table = Letters({"ab"});
  const std::vector<Trigger> triggers = {{.tokens = {26}}};
  EXPECT_TRUE(Match(triggers, {}, table, {0, 1}).verdict == Verdict::kContinue);
  EXPECT_EQ(Match(triggers, {}, table, {0, 26, 1}).DebugString(), "aab|1|2|0:ab");
}

TEST(TriggerMatcher, AgreesWithASearchInTheWholeOutput) {
  const TokenTable table = Letters({"ab", "ba", "aab", ""});
  int decided = 0;
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    Rng random(seed);
    const RandomCase random_case = MakeCase(random);
    const Report report = Match(random_case.triggers, random_case.stops, table, random_case.output);
    const Report naive =
        NaiveMatch(random_case.triggers, random_case.stops, table, random_case.output);
    ASSERT_EQ(report.DebugString(), naive.DebugString()) << "seed " << seed;
    decided += report.verdict != Verdict::kContinue;
  }
  EXPECT_GT(decided, 2000);
}

TEST(TriggerMatcher, ChunkingDoesNotMatterForTexts) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng random(seed);
    RandomCase random_case = MakeCase(random);
    std::erase_if(random_case.triggers, [](const Trigger& trigger) {
      return trigger.text.empty() || trigger.action == TriggerAction::kPause;
    });
    const std::string text = RandomText(random, 9, "ab");
    std::string expected;
    for (uint32_t split = 0; split < 1u << 8; ++split) {
      std::vector<std::string> words(1);
      for (size_t i = 0; i < text.size(); ++i) {
        words.back() += text[i];
        if (split >> i & 1) words.emplace_back();
      }
      std::vector<TokenId> output;
      for (size_t i = 0; i < words.size(); ++i) output.push_back(static_cast<TokenId>(26 + i));
      Report report = Match(random_case.triggers, random_case.stops, Letters(words), output);
      report.tokens = 0;
      if (split == 0) expected = report.DebugString();
      ASSERT_EQ(report.DebugString(), expected) << "seed " << seed << " split " << split;
    }
  }
}

}  // namespace infercept
