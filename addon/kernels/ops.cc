#include "kernels/ops.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace infercept {
namespace {

// The largest score that is not chosen yet.
uint32_t BestOfRest(const float* scores, uint32_t experts, std::span<const uint32_t> chosen) {
  uint32_t best = experts;
  for (uint32_t e = 0; e < experts; ++e) {
    if (std::ranges::find(chosen, e) != chosen.end()) continue;
    if (best == experts || scores[e] > scores[best]) best = e;
  }
  IC_CHECK(best < experts);
  return best;
}

// Floats that a thread copies or adds up at least: about a microsecond.
constexpr size_t kPartElements = 8192;

// body(row) for the rows [0, count), spread over the threads.
template <typename Body>
void ForRows(uint32_t count, uint32_t width, ThreadPool& pool, const Body& body) {
  const size_t part = std::max<size_t>(1, kPartElements / width);
  pool.ParallelFor(count, static_cast<uint32_t>(part), [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t row = begin; row < end; ++row) body(row);
  });
}

// [experts + 1] Expert e has the places [begins[e], begins[e + 1]).
uint32_t* Begins(const ExpertPlaces& places) { return reinterpret_cast<uint32_t*>(places.bounds); }

// An expert's places.
struct ExpertRange {
  uint32_t expert;
  size_t first;
  uint32_t count;
};

// x has a row for each place of the range.
void MultiplyExpert(const Ops& ops, std::span<const ExpertProduct> wanted, const ExpertRange& range,
                    const float* x, std::span<std::byte> scratch, ThreadPool& pool) {
  std::array<MatMulProduct, kMatMulProductsMax> products;
  const auto all = std::span(products).first(wanted.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const PackedWeight& weight = wanted[i].experts[range.expert].weight;
    all[i] = {weight, wanted[i].out + range.first * weight.rows, weight.rows};
  }
  ops.MatMul(all, x, range.count, scratch, pool);
  for (size_t i = 0; i < all.size(); ++i) {
    const float* bias = wanted[i].experts[range.expert].bias;
    const uint32_t width = all[i].weight.rows;
    if (bias == nullptr) continue;
    ForRows(range.count, width, pool,
            [&](size_t row) { ops.AddBias(bias, width, 1, all[i].out + row * width, width); });
  }
}

}  // namespace

void Ops::ChooseExperts(const ExpertChoice& choice, uint32_t tokens) const {
  const uint32_t used = choice.used;
  IC_CHECK(used > 0 && used <= choice.experts);
  for (size_t t = 0; t < tokens; ++t) {
    const float* scores = choice.scores + t * choice.experts;
    uint32_t* chosen = choice.chosen + t * used;
    for (uint32_t i = 0; i < used; ++i) {
      chosen[i] = BestOfRest(scores, choice.experts, {chosen, i});
    }
    const double largest = scores[chosen[0]];
    double total = 0;
    const uint32_t terms = choice.normalized ? used : choice.experts;
    for (uint32_t i = 0; i < terms; ++i) {
      total += std::exp(scores[choice.normalized ? chosen[i] : i] - largest);
    }
    for (uint32_t i = 0; i < used; ++i) {
      choice.weights[t * used + i] =
          static_cast<float>(std::exp(scores[chosen[i]] - largest) / total);
    }
  }
}

size_t Ops::ExpertBoundsBytes(uint32_t, uint32_t experts, uint32_t) const {
  return (size_t{experts} + 1) * sizeof(uint32_t);
}

void Ops::AssignPlaces(const ExpertPlaces& places, uint32_t tokens) const {
  const std::span<const uint32_t> chosen(places.chosen, size_t{tokens} * places.used);
  const std::span<uint32_t> begins(Begins(places), size_t{places.experts} + 1);
  std::ranges::fill(begins, 0u);
  for (const uint32_t expert : chosen) {
    IC_CHECK(expert < places.experts);
    ++begins[expert + 1];
  }
  for (size_t e = 1; e < begins.size(); ++e) begins[e] += begins[e - 1];
  // Each begin moves to its expert's end while places are given out, then all move back by one.
  for (size_t i = 0; i < chosen.size(); ++i) {
    const uint32_t place = begins[chosen[i]]++;
    places.places[i] = place;
    places.rows[place] = static_cast<uint32_t>(i / places.used);
  }
  std::shift_right(begins.begin(), begins.end(), 1);
  begins[0] = 0;
}

// An expert's rows, side by side: of all tokens at most.
size_t Ops::ExpertScratchBytes(uint32_t tokens, uint32_t, uint32_t columns) const {
  constexpr size_t kAlignment = 64;  // of scratch
  return DivCeil(size_t{tokens} * columns * sizeof(float), kAlignment) * kAlignment;
}

void Ops::MatMulExperts(const ExpertMatMul& call, std::span<std::byte> scratch,
                        ThreadPool& pool) const {
  IC_CHECK(!call.products.empty() && call.products.size() <= kMatMulProductsMax);
  const uint32_t columns = call.products.front().experts.front().weight.columns;
  const size_t gathered_bytes = ExpertScratchBytes(call.tokens, call.places.used, columns);
  IC_CHECK(scratch.size() >= gathered_bytes);
  auto* gathered = reinterpret_cast<float*>(scratch.data());
  const uint32_t* begins = Begins(call.places);
  for (uint32_t expert = 0; expert < call.places.experts; ++expert) {
    const ExpertRange range = {expert, begins[expert], begins[expert + 1] - begins[expert]};
    if (range.count == 0) continue;
    const float* x = call.x + range.first * columns;
    if (call.rows != nullptr) {
      ForRows(range.count, columns, pool, [&](size_t row) {
        std::copy_n(call.x + size_t{call.rows[range.first + row]} * columns, columns,
                    gathered + row * columns);
      });
      x = gathered;
    }
    MultiplyExpert(*this, call.products, range, x, scratch.subspan(gathered_bytes), pool);
  }
}

void Ops::MixRows(const RowMix& mix, uint32_t tokens) const {
  for (size_t t = 0; t < tokens; ++t) {
    float* row = mix.out + t * mix.width;
    std::fill_n(row, mix.width, 0.0f);
    for (size_t i = t * mix.used; i < (t + 1) * mix.used; ++i) {
      const float* from = mix.x + size_t{mix.places[i]} * mix.width;
      for (uint32_t c = 0; c < mix.width; ++c) row[c] += mix.weights[i] * from[c];
    }
  }
}

void Ops::Sample(const SampleRows&, uint32_t) const { IC_CHECK(false); }

std::span<TokenId> Ops::BoundTokens() const {
  IC_CHECK(false);
  return {};
}

void Ops::PickTokens(const TokenPicks&, std::span<TokenId>) const { IC_CHECK(false); }

}  // namespace infercept
