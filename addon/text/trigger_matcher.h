// Finds triggers and stop texts in the output of one turn, token by token, however texts are spread
// over tokens.
//
// Bytes are looked at one after the other. The first stop text or kPause trigger that completes
// ends the scan (at one byte: a trigger before a stop text, the longest stop text before others). A
// trigger's occurrences do not overlap; different triggers do not know of each other. Bytes that
// may be the beginning of a stop text are held back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "text/token_table.h"
#include "text/trigger.h"

namespace infercept {

enum class Verdict : uint8_t { kContinue, kPause, kStopText };

struct TriggerMatch {
  uint32_t trigger = 0;  // index
  std::string bytes;     // between trigger and until; without until: of the trigger itself
};

// Knuth-Morris-Pratt (1977) over bytes or token ids. The state is the length of the matched prefix.
template <typename Symbol>
class Pattern {
 public:
  explicit Pattern(std::span<const Symbol> symbols);
  uint32_t size() const { return static_cast<uint32_t>(symbols_.size()); }
  // The state after one more symbol; size() when it completes the pattern. REQUIRES: not empty.
  uint32_t Advance(uint32_t matched, Symbol symbol) const;

 private:
  std::vector<Symbol> symbols_;
  std::vector<uint32_t> border_;  // [size + 1]: longest proper border of each prefix
};

class TriggerMatcher {
 public:
  // The table says which bytes a run of token ids stands for. REQUIRES: no stop text is empty; a
  // trigger has either a text or tokens.
  TriggerMatcher(std::span<const Trigger> triggers, std::span<const std::string> stop_texts,
                 const TokenTable& table);

  // Looks at one generated token. Appends the bytes that are no longer held to `released` and what
  // completed to `matches`. After a verdict other than kContinue nothing is held and all partial
  // matches are forgotten.
  Verdict Observe(TokenId token, std::string_view bytes, std::string& released,
                  std::vector<TriggerMatch>& matches);

  // Gives up the held bytes and forgets all partial matches: what follows is a new output.
  void Flush(std::string& released);

 private:
  struct TriggerState {
    bool AdvanceByte(char byte);  // whether the trigger completed
    void BeginCollecting();
    void Reset();

    Pattern<char> text;  // Empty iff tokens is not.
    Pattern<TokenId> tokens;
    Pattern<char> until;  // May be empty.
    TriggerAction action = TriggerAction::kPause;
    std::string bytes;        // Of text or tokens.
    uint32_t matched = 0;     // Of text or tokens; of until while collecting.
    bool collecting = false;  // text or tokens matched, until has not yet.
    std::string collected{};  // Bytes since then.
  };
  struct StopState {
    Pattern<char> text;
    uint32_t matched = 0;
  };

  bool AdvanceTokens(TokenId token, std::vector<TriggerMatch>& matches);
  bool AdvanceTexts(char byte, std::vector<TriggerMatch>& matches);
  bool AdvanceStops(char byte);
  void CollectAfterTokens();
  void Release(std::string& released);

  std::vector<TriggerState> triggers_;
  std::vector<StopState> stops_;
  // Between tokens: the longest suffix of the output that is a proper prefix of a stop text.
  std::string held_;
};

}  // namespace infercept
