#include "sim/workload.h"

#include <algorithm>
#include <array>

#include "base/rng.h"

namespace infercept {
namespace {

struct Spread {
  double mean;
  double deviation;
};

// Durations and counts: Table 1 of the paper (its second number is a standard deviation). Token
// counts: chosen so that mean contexts at an interception agree with the table; the paper's data
// set is not public.
struct AugmentationSpec {
  std::string_view name;
  Spread seconds;
  Spread interceptions;  // of a session
  double prompt_tokens;
  double decode_tokens;
  double returned_tokens;
};

constexpr std::array<AugmentationSpec, kAugmentations> kSpecs = {{
    {"math", {9e-5, 6e-5}, {3.75, 1.3}, 1225, 20, 85},
    {"question", {0.69, 0.17}, {2.52, 1.73}, 1600, 30, 164},
    {"environment", {0.09, 0.014}, {28.18, 15.2}, 1750, 10, 10},
    {"chat", {28.6, 15.6}, {4.45, 1.96}, 170, 60, 200},
    {"image", {20.03, 7.8}, {6.91, 3.93}, 750, 60, 83},
    {"speech", {17.24, 7.6}, {6.91, 3.93}, 750, 60, 83},
}};

// Shares of the question sessions with 1, 2, ... interceptions, as the authors' notebook has them:
// half have one and a quarter have five, which no normal distribution resembles. Their mean and
// deviation are those of the table.
constexpr std::array kQuestionShares = {0.50, 0.09, 0.07, 0.07, 0.27};

constexpr double kPromptSpread = 0.25;
constexpr double kSegmentSpread = 0.3;

uint32_t Count(Rng& random, Spread spread) {
  return static_cast<uint32_t>(
      std::max(1.0, std::round(random.Normal(spread.mean, spread.deviation))));
}

uint32_t Interceptions(Rng& random, uint32_t kind) {
  if (kind != static_cast<uint32_t>(Augmentation::kQuestion))
    return Count(random, kSpecs[kind].interceptions);
  double left = random.Uniform();
  uint32_t count = 1;
  while (count < kQuestionShares.size() && left >= kQuestionShares[count - 1])
    left -= kQuestionShares[count++ - 1];
  return count;
}

SimSession MakeSession(Rng& random, uint32_t kind, const MixOptions& options) {
  const AugmentationSpec& spec = kSpecs[kind];
  const auto tokens = [&](double mean, double spread) {
    return Count(random, {mean * options.token_scale, mean * options.token_scale * spread});
  };
  SimSession session;
  session.prompt_tokens =
      std::min(tokens(spec.prompt_tokens, kPromptSpread), options.context_tokens_max / 2);
  const uint32_t interceptions = Interceptions(random, kind);
  uint32_t context = session.prompt_tokens;
  for (uint32_t i = 0; i <= interceptions; ++i) {
    SimSegment segment;
    segment.decode_tokens = tokens(spec.decode_tokens, kSegmentSpread);
    segment.returned_tokens = tokens(spec.returned_tokens, kSegmentSpread);
    segment.kind = KindId{kind + 1};
    const double seconds = std::max(0.0, random.Normal(spec.seconds.mean, spec.seconds.deviation));
    segment.duration = static_cast<Nanos>(seconds * options.time_scale * kNanosPerSecond);
    context += segment.decode_tokens + segment.returned_tokens;
    if (context >= options.context_tokens_max) break;
    session.segments.push_back(segment);
  }
  if (session.segments.empty()) session.segments.emplace_back();
  return session;
}

}  // namespace

std::string_view AugmentationName(Augmentation augmentation) {
  return kSpecs[static_cast<size_t>(augmentation)].name;
}

std::vector<SimSession> MakeMix(const MixOptions& options) {
  Rng random(options.seed);
  std::vector<SimSession> sessions;
  for (double at = random.Exponential(1 / options.rate); at < options.seconds;
       at += random.Exponential(1 / options.rate)) {
    const uint32_t kind =
        options.only < 0 ? random.Below(kAugmentations) : static_cast<uint32_t>(options.only);
    sessions.push_back(MakeSession(random, kind, options));
    sessions.back().arrival = static_cast<Nanos>(at * kNanosPerSecond);
  }
  return sessions;
}

}  // namespace infercept
