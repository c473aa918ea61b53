#include "model/decode_graphs.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace infercept {
namespace {

// Rows up to which buckets are powers of two: a decode reads the weights anyway, and one row more
// costs nothing. Beyond, buckets are an eighth apart, so that no more than an eighth is wasted.
constexpr uint32_t kPowersUpTo = 8;
// Shorter contexts than this are all read in one go.
constexpr uint32_t kContextBucketMin = 256;
// A graph of a large model takes some megabytes, and capturing it some milliseconds.
constexpr size_t kGraphsMax = 128;

}  // namespace

uint32_t RowBucket(uint32_t rows) {
  IC_CHECK(rows > 0);
  const uint32_t power = std::bit_ceil(rows);
  if (power <= kPowersUpTo) return power;
  const uint32_t part = power / 16;  // An eighth of the power of two below.
  return DivCeil(rows, std::max(part, 1u)) * std::max(part, 1u);
}

uint32_t ContextBucket(uint32_t tokens) {
  return std::bit_ceil(std::max(tokens, kContextBucketMin));
}

uint32_t LongestContext(std::span<const AttentionSlice> slices) {
  uint32_t longest = 0;
  for (const AttentionSlice& slice : slices) {
    longest = std::max(longest, slice.first_position + slice.rows);
  }
  return longest;
}

DecodeGraphs::DecodeGraphs(uint32_t rows_max) : rows_max_(rows_max) {
  tokens_.reserve(rows_max);
  positions_.reserve(rows_max);
  slices_.reserve(rows_max);
  logit_rows_.resize(rows_max);
  std::iota(logit_rows_.begin(), logit_rows_.end(), 0u);
}

bool DecodeGraphs::Takes(const ForwardInput& input) const {
  const size_t rows = input.tokens.size();
  return input.slices.size() == rows && input.logit_rows.size() == rows && rows <= rows_max_ &&
         RowBucket(static_cast<uint32_t>(rows)) <= rows_max_;
}

ForwardInput DecodeGraphs::Pad(const ForwardInput& input, const KvStorage& storage) {
  const uint32_t rows = RowBucket(static_cast<uint32_t>(input.tokens.size()));
  padding_.assign(storage.shape().groups.count, storage.padding_block());
  tokens_.assign(input.tokens.begin(), input.tokens.end());
  positions_.assign(input.positions.begin(), input.positions.end());
  slices_.assign(input.slices.begin(), input.slices.end());
  tokens_.resize(rows, 0);
  positions_.resize(rows, 0);
  while (slices_.size() < rows) {
    slices_.push_back({.first_row = static_cast<uint32_t>(slices_.size()),
                       .rows = 1,
                       .first_position = 0,
                       .block_table = padding_.data()});
  }
  return {.tokens = tokens_,
          .positions = positions_,
          .slices = slices_,
          .logit_rows = std::span(logit_rows_).first(rows)};
}

DecodeGraphs::Entry* DecodeGraphs::Find(const GraphKey& key, const KvStorage& storage) {
  const PagedKv cache = storage.Layer(0);
  if (std::exchange(cache_, cache) != cache) entries_.clear();
  const auto found = entries_.find(key);
  if (found != entries_.end()) return &found->second;
  return entries_.size() < kGraphsMax ? &entries_[key] : nullptr;
}

size_t DecodeGraphs::size() const {
  return static_cast<size_t>(std::ranges::count_if(
      entries_, [](const auto& entry) { return entry.second.graph != nullptr; }));
}

}  // namespace infercept
