#include "model/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <utility>

#include "device/arena_writer.h"

namespace infercept {
namespace {

constexpr std::string_view kPurpose = "the rotary embedding";
// Of a copy to a device: a large table takes long enough for copies to run beside one another.
constexpr size_t kPieceBytes = size_t{1} << 20;

// Long wavelengths are stretched by `factor`, short ones stay, those between are interpolated
// (Grattafiori et al., "The Llama 3 Herd of Models", 2024; the rule is in the reference
// implementation's apply_scaling).
double Llama3Frequency(const RopeScaling& scaling, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double longest = scaling.original_context_tokens / scaling.low_frequency_factor;
  const double shortest = scaling.original_context_tokens / scaling.high_frequency_factor;
  if (wavelength < shortest) return frequency;
  if (wavelength > longest) return frequency / scaling.factor;
  const double share =
      (scaling.original_context_tokens / wavelength - scaling.low_frequency_factor) /
      (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - share) * frequency / scaling.factor + share * frequency;
}

// The pair, not a whole number, that turns `turns` times over the original context.
double PairOfTurns(const RopeSpec& rope, double turns) {
  const double wavelength = rope.scaling.original_context_tokens / turns;
  return rope.dimension * std::log(wavelength / (2 * std::numbers::pi)) / (2 * std::log(rope.base));
}

// How much of pair i is stretched by `factor`, 0 to 1 (Peng et al., "YaRN", 2023, eq. 22 and 23,
// with the ramp over pairs of the authors' code).
double YarnShare(const RopeSpec& rope, uint32_t pair) {
  const RopeScaling& scaling = rope.scaling;
  double first = PairOfTurns(rope, scaling.fast_turns);
  double last = PairOfTurns(rope, scaling.slow_turns);
  if (scaling.whole_pairs) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, rope.dimension - 1.0);
  if (first == last) last += 0.001;  // as the authors' code: a step
  return std::clamp((pair - first) / (last - first), 0.0, 1.0);
}

// The base that stretches the slowest pair with the context and leaves the fastest as it is
// ("dynamic NTK"; transformers' rope type "dynamic" in one call of that many tokens).
double DynamicBase(const RopeSpec& rope, uint32_t context_tokens) {
  const RopeScaling& scaling = rope.scaling;
  const double times = context_tokens / scaling.original_context_tokens;
  if (times <= 1) return rope.base;
  const double stretch = scaling.factor * times - (scaling.factor - 1);
  return rope.base * std::pow(stretch, rope.dimension / (rope.dimension - 2.0));
}

double Frequency(const RopeSpec& rope, uint32_t pair, uint32_t context_tokens,
                 std::span<const float> factors) {
  const RopeScaling& scaling = rope.scaling;
  const double frequency = std::pow(rope.base, -2.0 * pair / rope.dimension);
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      return frequency;
    case RopeScaling::Kind::kLinear:
      return frequency / scaling.factor;
    case RopeScaling::Kind::kLlama3:
      return Llama3Frequency(scaling, frequency);
    case RopeScaling::Kind::kDynamic:
      return std::pow(DynamicBase(rope, context_tokens), -2.0 * pair / rope.dimension);
    case RopeScaling::Kind::kFactors:
      return frequency / static_cast<double>(factors[pair]);
    case RopeScaling::Kind::kYarn: {
      const double share = YarnShare(rope, pair);
      return frequency * (1 - share) + frequency / scaling.factor * share;
    }
    case RopeScaling::Kind::kLongRope: {
      const bool is_long = context_tokens > scaling.original_context_tokens;
      return frequency / (is_long ? scaling.long_factors : scaling.short_factors)[pair];
    }
  }
  return frequency;
}

}  // namespace

std::vector<double> RopeFrequencies(const RopeSpec& rope, uint32_t context_tokens,
                                    std::span<const float> factors) {
  const uint32_t pairs = rope.dimension / 2;
  const RopeScaling& scaling = rope.scaling;
  IC_CHECK(scaling.kind != RopeScaling::Kind::kFactors || factors.size() == pairs);
  IC_CHECK(scaling.kind != RopeScaling::Kind::kLongRope ||
           (scaling.short_factors.size() == pairs && scaling.long_factors.size() == pairs));
  std::vector<double> frequencies;
  for (uint32_t i = 0; i < pairs; ++i) {
    frequencies.push_back(Frequency(rope, i, context_tokens, factors));
  }
  return frequencies;
}

Result<RopeTable> RopeTable::Create(const RopeSpec& rope, uint32_t context_tokens,
                                    std::span<const float> factors, ThreadPool& pool,
                                    Device& device, Stream& stream) {
  const uint32_t pairs = rope.dimension / 2;
  const size_t count = size_t{context_tokens} * pairs;
  Result<Arena> values = Arena::Create(2 * count * sizeof(float), kPurpose);
  if (!values.ok()) return values.status();
  auto* cosine = reinterpret_cast<float*>(values.value().data());
  float* sine = cosine + count;
  const std::vector<double> frequencies = RopeFrequencies(rope, context_tokens, factors);
  const double amplitude = rope.scaling.amplitude;
  pool.ParallelFor(context_tokens, 256, [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t position = begin; position < end; ++position) {
      for (uint32_t i = 0; i < pairs; ++i) {
        const double angle = position * frequencies[i];
        cosine[size_t{position} * pairs + i] = static_cast<float>(amplitude * std::cos(angle));
        sine[size_t{position} * pairs + i] = static_cast<float>(amplitude * std::sin(angle));
      }
    }
  });
  if (device.properties().is_host) {
    return RopeTable(std::move(values).Take(), rope, context_tokens);
  }
  const Arena& table = values.value();
  Result<ArenaWriter> writer =
      ArenaWriter::Create(device, stream, table.size(), kPieceBytes, kPurpose);
  if (!writer.ok()) return writer.status();
  if (Status status = writer.value().Write({table.data(), table.size()}); !status.ok()) {
    return status;
  }
  Result<Arena> written = writer.value().Finish();
  if (!written.ok()) return written.status();
  return RopeTable(std::move(written).Take(), rope, context_tokens);
}

RopeTable::RopeTable(Arena values, const RopeSpec& rope, uint32_t context_tokens)
    : values_(std::move(values)),
      context_tokens_(context_tokens),
      dimension_(rope.dimension),
      interleaved_(rope.interleaved) {}

RopeView RopeTable::view() const {
  const auto* cosine = reinterpret_cast<const float*>(values_.data());
  return {.cosine = cosine,
          .sine = cosine + size_t{context_tokens_} * (dimension_ / 2),
          .rope_dim = dimension_,
          .interleaved = interleaved_};
}

}  // namespace infercept
