#include "text/trigger_matcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace infercept {

template <typename Symbol>
Pattern<Symbol>::Pattern(std::span<const Symbol> symbols)
    : symbols_(symbols.begin(), symbols.end()), border_(symbols.size() + 1) {
  for (uint32_t length = 2; length <= size(); ++length) {
    border_[length] = Advance(border_[length - 1], symbols_[length - 1]);
  }
}

template <typename Symbol>
uint32_t Pattern<Symbol>::Advance(uint32_t matched, Symbol symbol) const {
  // A complete match goes on as its longest border.
  if (matched == size()) matched = border_[matched];
  while (matched > 0 && symbols_[matched] != symbol) matched = border_[matched];
  return symbols_[matched] == symbol ? matched + 1 : 0;
}

template class Pattern<char>;
template class Pattern<TokenId>;

TriggerMatcher::TriggerMatcher(std::span<const Trigger> triggers,
                               std::span<const std::string> stop_texts, const TokenTable& table) {
  for (const Trigger& trigger : triggers) {
    std::string bytes = trigger.text;
    for (const TokenId token : trigger.tokens) bytes += table.BytesOf(token);
    triggers_.push_back({.text = Pattern<char>(trigger.text),
                         .tokens = Pattern<TokenId>(trigger.tokens),
                         .until = Pattern<char>(trigger.until),
                         .action = trigger.action,
                         .bytes = std::move(bytes)});
  }
  for (const std::string& text : stop_texts) stops_.push_back({.text = Pattern<char>(text)});
}

Verdict TriggerMatcher::Observe(TokenId token, std::string_view bytes, std::string& released,
                                std::vector<TriggerMatch>& matches) {
  bool pause = AdvanceTokens(token, matches);
  size_t next = 0;
  while (!pause && next < bytes.size()) {
    const char byte = bytes[next++];
    held_ += byte;
    pause = AdvanceTexts(byte, matches);
    if (!pause && AdvanceStops(byte)) {
      Flush(released);
      return Verdict::kStopText;
    }
  }
  if (pause) {
    held_ += bytes.substr(next);  // output as well, but nothing is looked for in it
    Flush(released);
    return Verdict::kPause;
  }
  CollectAfterTokens();
  Release(released);
  return Verdict::kContinue;
}

// Whether a kPause trigger completed with this token. A run with until collects from the next token
// on.
bool TriggerMatcher::AdvanceTokens(TokenId token, std::vector<TriggerMatch>& matches) {
  bool pause = false;
  for (uint32_t i = 0; i < triggers_.size(); ++i) {
    TriggerState& trigger = triggers_[i];
    if (trigger.tokens.size() == 0 || trigger.collecting) continue;
    trigger.matched = trigger.tokens.Advance(trigger.matched, token);
    if (trigger.matched < trigger.tokens.size() || trigger.until.size() > 0) continue;
    trigger.matched = 0;
    matches.push_back({i, trigger.bytes});
    pause = pause || trigger.action == TriggerAction::kPause;
  }
  return pause;
}

void TriggerMatcher::CollectAfterTokens() {
  for (TriggerState& trigger : triggers_) {
    if (trigger.tokens.size() == 0 || trigger.collecting) continue;
    if (trigger.matched == trigger.tokens.size()) trigger.BeginCollecting();
  }
}

// Whether a kPause trigger completed with this byte.
bool TriggerMatcher::AdvanceTexts(char byte, std::vector<TriggerMatch>& matches) {
  bool pause = false;
  for (uint32_t i = 0; i < triggers_.size(); ++i) {
    TriggerState& trigger = triggers_[i];
    if (!trigger.AdvanceByte(byte)) continue;
    matches.push_back({i, trigger.until.size() > 0 ? std::move(trigger.collected) : trigger.bytes});
    trigger.Reset();
    pause = pause || trigger.action == TriggerAction::kPause;
  }
  return pause;
}

bool TriggerMatcher::TriggerState::AdvanceByte(char byte) {
  if (collecting) {
    collected += byte;
    matched = until.Advance(matched, byte);
    if (matched < until.size()) return false;
    collected.resize(collected.size() - until.size());
    return true;
  }
  if (text.size() == 0) return false;
  matched = text.Advance(matched, byte);
  if (matched < text.size()) return false;
  if (until.size() == 0) return true;
  BeginCollecting();
  return false;
}

void TriggerMatcher::TriggerState::BeginCollecting() {
  collecting = true;
  matched = 0;
}

void TriggerMatcher::TriggerState::Reset() {
  collecting = false;
  matched = 0;
  collected.clear();
}

// Whether a stop text completed with this byte. Then it is cut off the held bytes.
bool TriggerMatcher::AdvanceStops(char byte) {
  uint32_t longest = 0;
  for (StopState& stop : stops_) {
    stop.matched = stop.text.Advance(stop.matched, byte);
    if (stop.matched == stop.text.size()) longest = std::max(longest, stop.matched);
  }
  if (longest == 0) return false;
  IC_CHECK(held_.size() >= longest);
  held_.resize(held_.size() - longest);
  return true;
}

void TriggerMatcher::Release(std::string& released) {
  uint32_t keep = 0;
  for (const StopState& stop : stops_) keep = std::max(keep, stop.matched);
  const size_t count = held_.size() - keep;
  released.append(held_, 0, count);
  held_.erase(0, count);
}

void TriggerMatcher::Flush(std::string& released) {
  released += held_;
  held_.clear();
  for (TriggerState& trigger : triggers_) trigger.Reset();
  for (StopState& stop : stops_) stop.matched = 0;
}

}  // namespace infercept
