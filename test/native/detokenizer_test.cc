// Incremental UTF-8 decoding: known vectors of the Encoding Standard's behaviour, and under every
// split of random bytes the same text as a naive decoder of the whole.
#include "text/detokenizer.h"

#include "random_text.h"
#include "test.h"

namespace infercept {
namespace {

const std::string kBad = "\xEF\xBF\xBD";

bool Within(uint8_t byte, uint8_t low, uint8_t high) { return low <= byte && byte <= high; }

// How many bytes at `bytes[at]` are the longest beginning of a well-formed character, and whether
// it is complete: the rows of table 3-7 of the Unicode Standard, one after the other.
struct Row {
  uint8_t bounds[4][2];
  size_t length;
};
constexpr Row kRows[] = {
    {{{0x00, 0x7F}}, 1},
    {{{0xC2, 0xDF}, {0x80, 0xBF}}, 2},
    {{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}}, 3},
    {{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}}, 3},
    {{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}}, 3},
    {{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}}, 3},
    {{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}, 4},
    {{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}, 4},
    {{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}, 4},
};

std::string NaiveDecode(const std::string& bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    size_t longest = 0;
    bool complete = false;
    for (const Row& row : kRows) {
      size_t length = 0;
      while (length < row.length && at + length < bytes.size() &&
             Within(static_cast<uint8_t>(bytes[at + length]), row.bounds[length][0],
                    row.bounds[length][1])) {
        ++length;
      }
      if (length > longest) longest = length, complete = length == row.length;
    }
    text += complete ? bytes.substr(at, longest) : kBad;
    at += longest > 0 ? longest : 1;
  }
  return text;
}

// Mostly bytes that make well-formed and nearly well-formed characters.
std::string RandomBytes(Rng& random, uint32_t count) {
  const std::string interesting =
      "A\x80\x8F\x90\x9F\xA0\xBF\xC0\xC2\xDF\xE0\xE1\xED\xEF\xF0\xF3\xF4\xF5\xFF";
  return RandomText(random, count, interesting);
}

}  // namespace

TEST(Detokenizer, ReplacesIllFormedBytesAsTheEncodingStandardDoes) {
  EXPECT_EQ(DecodeUtf8("caf\xC3\xA9 \xF0\x9F\x98\x80"), "caf\xC3\xA9 \xF0\x9F\x98\x80");
  EXPECT_EQ(DecodeUtf8("\xE2\x82"
                       "A"),
            kBad + "A");
  EXPECT_EQ(DecodeUtf8("\xF0\x80\x80"), kBad + kBad + kBad);
  EXPECT_EQ(DecodeUtf8("\xED\xA0\x80"), kBad + kBad + kBad);  // a surrogate
  EXPECT_EQ(DecodeUtf8("\xF0\x9F\x98"), kBad);                // cut short
  EXPECT_EQ(DecodeUtf8("\xC0\xAF"), kBad + kBad);             // overlong
}

TEST(Detokenizer, NeverSplitsACharacter) {
  Detokenizer detokenizer;
  std::string text;
  detokenizer.Append("\xF0\x9F", text);
  detokenizer.Append("\x98", text);
  EXPECT_EQ(text, "");
  detokenizer.Append("\x80!", text);
  EXPECT_EQ(text, "\xF0\x9F\x98\x80!");
}

TEST(Detokenizer, EverySplitGivesTheTextOfTheWhole) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Rng random(seed);
    const std::string bytes = RandomBytes(random, 1 + random.Below(10));
    const std::string expected = NaiveDecode(bytes);
    const uint32_t splits = 1u << (bytes.size() - 1);
    for (uint32_t split = 0; split < splits; ++split) {
      Detokenizer detokenizer;
      std::string text;
      size_t begin = 0;
      for (size_t end = 1; end <= bytes.size(); ++end) {
        if (end < bytes.size() && (split >> (end - 1) & 1) == 0) continue;
        detokenizer.Append(std::string_view(bytes).substr(begin, end - begin), text);
        begin = end;
      }
      detokenizer.Flush(text);
      ASSERT_EQ(text, expected) << "seed " << seed << " split " << split;
    }
  }
}

}  // namespace infercept
