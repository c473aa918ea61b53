// What arrives in both worlds: the sessions of sim/workload.h, such that a model of random weights
// can be made to say them.
#pragma once

#include <vector>

#include "engine/turn.h"
#include "sim/workload.h"

namespace infercept::bench {

// Every segment of a session but the last has as many tokens as its first one, at least two, and
// the last one token fewer. Contexts stay below options.context_tokens_max.
std::vector<SimSession> MakeSessions(const MixOptions& options);

// The turn of such a session. Random weights say nothing of use, so one token is made the most
// probable one by far; a row of it as long as a segment is the trigger.
Turn ScriptedTurn(const SimSession& session);

// The first token that no script needs.
inline constexpr TokenId kFirstPlainToken = 16;

}  // namespace infercept::bench
