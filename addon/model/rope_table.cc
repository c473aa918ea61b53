#include "model/rope_table.h"

#include <cmath>
#include <numbers>
#include <utility>

namespace infercept {
namespace {

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

}  // namespace

double RopeFrequency(const RopeSpec& rope, uint32_t pair, std::span<const float> factors) {
  const double frequency = std::pow(rope.base, -2.0 * pair / rope.dimension);
  switch (rope.scaling.kind) {
    case RopeScaling::Kind::kNone:
      return frequency;
    case RopeScaling::Kind::kLinear:
      return frequency / rope.scaling.factor;
    case RopeScaling::Kind::kLlama3:
      return Llama3Frequency(rope.scaling, frequency);
    case RopeScaling::Kind::kFactors:
      return frequency / static_cast<double>(factors[pair]);
  }
  return frequency;
}

Result<RopeTable> RopeTable::Create(const RopeSpec& rope, uint32_t context_tokens,
                                    std::span<const float> factors, ThreadPool& pool) {
  const uint32_t pairs = rope.dimension / 2;
  IC_CHECK(rope.scaling.kind != RopeScaling::Kind::kFactors || factors.size() == pairs);
  const size_t count = size_t{context_tokens} * pairs;
  Result<Arena> values = Arena::Create(2 * count * sizeof(float), "the rotary embedding");
  if (!values.ok()) return values.status();
  auto* cosine = reinterpret_cast<float*>(values.value().data());
  float* sine = cosine + count;
  std::vector<double> frequencies;
  for (uint32_t i = 0; i < pairs; ++i) frequencies.push_back(RopeFrequency(rope, i, factors));
  pool.ParallelFor(context_tokens, 256, [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t position = begin; position < end; ++position) {
      for (uint32_t i = 0; i < pairs; ++i) {
        const double angle = position * frequencies[i];
        cosine[size_t{position} * pairs + i] = static_cast<float>(std::cos(angle));
        sine[size_t{position} * pairs + i] = static_cast<float>(std::sin(angle));
      }
    }
  });
  return RopeTable(std::move(values).Take(), rope, context_tokens);
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
