#include "sessions.h"

#include <algorithm>

namespace infercept::bench {
namespace {

constexpr TokenId kScriptedToken = 3;
static_assert(kScriptedToken < kFirstPlainToken);
// Logits of random weights are within some tens.
constexpr float kScriptedBias = 1000;

// Segments of one length may make a longer context than those that were drawn.
void CutBelow(uint32_t context_tokens, SimSession& session) {
  uint32_t context = session.prompt_tokens;
  size_t kept = 0;
  for (const SimSegment& segment : session.segments) {
    context += segment.decode_tokens + segment.returned_tokens;
    if (kept > 0 && context >= context_tokens) break;
    ++kept;
  }
  session.segments.resize(kept);
}

void MakeEven(uint32_t context_tokens, SimSession& session) {
  const uint32_t tokens = std::max(2u, session.segments.front().decode_tokens);
  for (SimSegment& segment : session.segments) segment.decode_tokens = tokens;
  CutBelow(context_tokens, session);
  session.segments.back().decode_tokens = tokens - 1;
}

}  // namespace

std::vector<SimSession> MakeSessions(const MixOptions& options) {
  std::vector<SimSession> sessions = MakeMix(options);
  for (SimSession& session : sessions) MakeEven(options.context_tokens_max, session);
  return sessions;
}

Turn ScriptedTurn(const SimSession& session) {
  const uint32_t last = session.segments.back().decode_tokens;
  const uint32_t tokens = last + 1;  // of each of the others
  Turn turn;
  turn.sampling.logit_bias = {{kScriptedToken, kScriptedBias}};
  turn.triggers = {{.tokens = std::vector<TokenId>(tokens, kScriptedToken)}};
  turn.max_tokens = tokens * static_cast<uint32_t>(session.segments.size() - 1) + last;
  return turn;
}

}  // namespace infercept::bench
