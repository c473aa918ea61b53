// Goal: attention on the device is right for every shape and rule, and a token's output is the same
// bits however its sequence was cut and whatever else is in the call. Method: in emulation, against
// the reference in double with the same rounded queries, keys and values; memory that no token was
// written to is NaN.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "cuda_support.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/kernels.h"
#include "kernels/half.h"
#include "ops_attention_support.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr DType kCacheDTypes[] = {DType::kF16, DType::kBF16, DType::kF8_E4M3, DType::kQ8_0};
constexpr uint32_t kStatesMax = 4096;

float RoundedQuery(DType dtype, float value) {
  return dtype == DType::kBF16 ? ToFloat(ToBF16(value)) : ToFloat(ToF16(value));
}

float Stored(DType dtype, float value) {
  if (dtype == DType::kQ8_0) return value;
  return dtype == DType::kF8_E4M3 ? ToFloat(ToE4M3(value)) : RoundedQuery(dtype, value);
}

// With queries as the kernels round them, and keys and values as the cache has them; Q8_0's are not
// rounded before.
SequenceInput MakeRounded(Random& random, const AttentionShape& shape, uint32_t tokens) {
  SequenceInput sequence = MakeSequence(random, shape, tokens);
  for (float& value : sequence.query) value = RoundedQuery(shape.dtype, value);
  for (float& value : sequence.key) value = Stored(shape.dtype, value);
  for (float& value : sequence.value) value = Stored(shape.dtype, value);
  return sequence;
}

std::string Describe(const AttentionShape& shape) {
  return std::string(DTypeName(shape.dtype)) + " heads " + std::to_string(shape.heads) + "/" +
         std::to_string(shape.kv_heads) + " of " + std::to_string(shape.head_dim) + ", blocks of " +
         std::to_string(shape.block_tokens) + ", window " + std::to_string(shape.window_tokens) +
         ", cap " + std::to_string(shape.soft_cap);
}

// The queries, keys and values of some rows of some sequences, one slice each.
struct Batch {
  std::vector<float> query;
  std::vector<float> key;
  std::vector<float> value;
  std::vector<AttentionSlice> slices;  // without block tables
  uint32_t rows = 0;
};

// The same sequences in a cache on the device and in one that the reference reads.
class DeviceSequences {
 public:
  DeviceSequences(Random& random, const AttentionShape& shape, std::vector<SequenceInput> sequences)
      : shape_(shape), sequences_(std::move(sequences)) {
    uint32_t blocks = 0;
    for (const SequenceInput& sequence : sequences_) {
      blocks += DivCeil(sequence.tokens, shape.block_tokens);
    }
    std::vector<BlockId> free;
    for (uint32_t i = 0; i < blocks; ++i) free.push_back(BlockId{i});
    for (size_t i = free.size(); i > 1; --i) {
      std::swap(free[i - 1], free[random.Below(static_cast<uint32_t>(i))]);
    }
    for (const SequenceInput& sequence : sequences_) {
      const size_t count = DivCeil(sequence.tokens, shape.block_tokens);
      tables_.push_back(shape.Spread(std::span(free).last(count)));
      free.resize(free.size() - count);
    }
    // Another row lies between the blocks, as other layers do.
    block_stride_ = (size_t{shape.kv_heads} * shape.block_tokens + 1) *
                    RowBytes(shape.dtype, shape.head_dim) / 16 * 16;
    keys_.assign(blocks * block_stride_, std::byte{0xFF});
    values_ = keys_;
    device_keys_ = DeviceArray<std::byte>(keys_);
    device_values_ = DeviceArray<std::byte>(values_);
  }

  // On the device and in the reference's cache.
  void Write(std::span<const Piece> pieces) {
    const Batch batch = Gather(pieces);
    cuda::AttentionPlan plan;
    plan.Make(batch.slices, PlanShape());
    const DeviceArray<float> key(batch.key);
    const DeviceArray<float> value(batch.value);
    const DeviceArray<AttentionSlice> slices(DeviceSlices(batch, pieces));
    const DeviceArray<cuda::KvRun> runs(plan.runs);
    cuda::WriteKv({key.data(), value.data(), shape_.kv_width(), slices.data(), runs.data(),
                   static_cast<uint32_t>(plan.runs.size()), DeviceCache()},
                  kNullStream);
    ReferenceOps().WriteKv(batch.key.data(), batch.value.data(), shape_.kv_width(),
                           HostSlices(batch, pieces), HostCache());
  }
  void WriteAll() {
    std::vector<Piece> all;
    for (uint32_t i = 0; i < sequences_.size(); ++i) all.push_back({i, 0, sequences_[i].tokens});
    Write(all);
  }

  // Has the first tokens of a sequence in the blocks of another one, as far as those are full.
  void Fork(uint32_t sequence, uint32_t from, uint32_t tokens) {
    const uint32_t blocks = tokens / shape_.block_tokens;
    const auto values = static_cast<ptrdiff_t>(blocks * shape_.block_tokens * shape_.kv_width());
    std::copy_n(tables_[from].begin(), blocks, tables_[sequence].begin());
    std::copy_n(sequences_[from].key.begin(), values, sequences_[sequence].key.begin());
    std::copy_n(sequences_[from].value.begin(), values, sequences_[sequence].value.begin());
  }

  std::vector<float> Attend(std::span<const Piece> pieces, DType out_dtype = DType::kF32,
                            uint32_t states_max = kStatesMax) {
    cuda::AttentionPlanShape plan_shape = PlanShape();
    plan_shape.state_rows_max = states_max;
    const Batch batch = Gather(pieces);
    cuda::AttentionPlan plan;
    plan.Make(batch.slices, plan_shape);
    return Attend(pieces, plan, out_dtype);
  }
  // Blocks that pieces share are read once.
  std::vector<float> AttendShared(std::span<const Piece> pieces) {
    const std::vector<AttentionSlice> slices = HostSlices(Gather(pieces), pieces);
    cuda::AttentionPlan plan;
    plan.Make(slices, PlanShape());
    shared_tokens_ = 0;
    for (const std::vector<cuda::AttentionTask>& list : {plan.few, plan.many}) {
      for (const cuda::AttentionTask& task : list) shared_tokens_ += task.shared_tokens;
    }
    return Attend(pieces, plan, DType::kF32);
  }
  // Of the tasks of the last AttendShared.
  uint32_t shared_tokens() const { return shared_tokens_; }

  std::vector<float> Attend(std::span<const Piece> pieces, const cuda::AttentionPlan& plan,
                            DType out_dtype) {
    const Batch batch = Gather(pieces);
    const DeviceArray<float> query(batch.query);
    const DeviceArray<AttentionSlice> slices(DeviceSlices(batch, pieces));
    const DeviceArray<cuda::AttentionTask> few(plan.few);
    const DeviceArray<cuda::AttentionTask> many(plan.many);
    const DeviceArray<cuda::AttentionMerge> merges(plan.merges);
    const DeviceArray<float> sinks(shape_.sinks);
    const size_t state_bytes =
        cuda::AttentionStateBytes(plan.state_rows, shape_.kv_heads, shape_.head_dim);
    DeviceArray<float> states(state_bytes / sizeof(float), NAN);
    DeviceArray<float> out(batch.query.size(), NAN);
    cuda::PagedAttention attention;
    attention.query = query.data();
    attention.query_stride = shape_.query_width();
    attention.slices = slices.data();
    attention.few = few.data();
    attention.few_tasks = static_cast<uint32_t>(plan.few.size());
    attention.many = many.data();
    attention.many_tasks = static_cast<uint32_t>(plan.many.size());
    attention.merges = merges.data();
    attention.merge_count = static_cast<uint32_t>(plan.merges.size());
    attention.heads = shape_.heads;
    attention.cache = DeviceCache();
    attention.scale = shape_.scale();
    attention.soft_cap = shape_.soft_cap;
    attention.window_tokens = shape_.window_tokens;
    attention.sinks = shape_.sinks.empty() ? nullptr : sinks.data();
    attention.states = states.data();
    attention.state_rows = plan.state_rows;
    attention.out = out.data();
    attention.out_stride = shape_.query_width();
    attention.out_dtype = out_dtype;
    cuda::Attend(attention, kNullStream);
    std::vector<float> numbers = out.Read();
    if (out_dtype == DType::kF32) return numbers;
    std::vector<float> converted(numbers.size());
    const auto* from = reinterpret_cast<const BF16*>(numbers.data());
    std::transform(from, from + numbers.size(), converted.begin(),
                   [](BF16 value) { return ToFloat(value); });
    return converted;
  }

  std::vector<float> Reference(std::span<const Piece> pieces) {
    const Batch batch = Gather(pieces);
    std::vector<float> out(batch.query.size());
    ReferenceOps().Attention(batch.query.data(), shape_.query_width(), HostSlices(batch, pieces),
                             shape_.heads, HostCache(), shape_.rules(), out.data(),
                             shape_.query_width(), {}, TestPool());
    return out;
  }

  void ExpectSameCache(const std::string& what) const {
    EXPECT_TRUE(device_keys_.Read() == keys_) << what << ": keys";
    EXPECT_TRUE(device_values_.Read() == values_) << what << ": values";
  }

  const AttentionShape& shape() const { return shape_; }
  const SequenceInput& sequence(uint32_t index) const { return sequences_[index]; }

 private:
  cuda::AttentionPlanShape PlanShape() const {
    return {shape_.kv_heads,     shape_.heads / shape_.kv_heads,
            shape_.head_dim,     kStatesMax,
            shape_.block_tokens, shape_.groups};
  }
  PagedKv Cache(std::byte* keys, std::byte* values) const {
    return {shape_.dtype,
            keys,
            values,
            block_stride_,
            shape_.block_tokens,
            shape_.kv_heads,
            shape_.head_dim,
            shape_.groups,
            shape_.group()};
  }
  PagedKv HostCache() { return Cache(keys_.data(), values_.data()); }
  PagedKv DeviceCache() { return Cache(device_keys_.data(), device_values_.data()); }

  Batch Gather(std::span<const Piece> pieces) const {
    Batch batch;
    const auto append = [](std::vector<float>& to, const std::vector<float>& from, size_t first,
                           size_t count, size_t width) {
      const auto begin = from.begin() + static_cast<ptrdiff_t>(first * width);
      to.insert(to.end(), begin, begin + static_cast<ptrdiff_t>(count * width));
    };
    for (const Piece& piece : pieces) {
      const SequenceInput& from = sequences_[piece.sequence];
      append(batch.query, from.query, piece.first, piece.rows, shape_.query_width());
      append(batch.key, from.key, piece.first, piece.rows, shape_.kv_width());
      append(batch.value, from.value, piece.first, piece.rows, shape_.kv_width());
      batch.slices.push_back({batch.rows, piece.rows, piece.first, nullptr});
      batch.rows += piece.rows;
    }
    return batch;
  }
  std::vector<AttentionSlice> HostSlices(const Batch& batch, std::span<const Piece> pieces) const {
    std::vector<AttentionSlice> slices = batch.slices;
    for (size_t i = 0; i < slices.size(); ++i) {
      slices[i].block_table = tables_[pieces[i].sequence].data();
    }
    return slices;
  }
  // With tables of their own, without the blocks that no query sees. Valid until the next call.
  std::vector<AttentionSlice> DeviceSlices(const Batch& batch, std::span<const Piece> pieces) {
    std::vector<AttentionSlice> slices = batch.slices;
    device_tables_.clear();
    for (size_t i = 0; i < slices.size(); ++i) {
      std::vector<BlockId> table = tables_[pieces[i].sequence];
      const uint32_t seen = shape_.rules().FirstVisible(slices[i].first_position);
      std::fill_n(table.begin(), seen / shape_.block_tokens * shape_.groups, kNoBlock);
      slices[i].block_table = device_tables_.emplace_back(table).data();
    }
    return slices;
  }

  AttentionShape shape_;
  std::vector<SequenceInput> sequences_;
  std::vector<std::vector<BlockId>> tables_;
  std::vector<DeviceArray<BlockId>> device_tables_;  // [slices]
  uint32_t shared_tokens_ = 0;
  size_t block_stride_ = 0;
  std::vector<std::byte> keys_;
  std::vector<std::byte> values_;
  DeviceArray<std::byte> device_keys_;
  DeviceArray<std::byte> device_values_;
};

// How far one head's output may be from the reference's. Weights w are rounded with a relative
// error of at most u, independent of each other: the mean m of the values v gets an error of
// deviation u / sqrt(3) sqrt(sum (w (v - m))^2); 6 deviations are allowed. Beside it count
// roundings of floats: of scores, of additions, of F16 weights below its normal numbers.
std::vector<double> HeadTolerance(const AttentionShape& shape, const SequenceInput& sequence,
                                  uint32_t position, uint32_t head) {
  const uint32_t head_dim = shape.head_dim;
  const uint32_t kv_head = head / (shape.heads / shape.kv_heads);
  const float* query = sequence.query.data() + position * shape.query_width() + head * head_dim;
  const auto row = [&](const std::vector<float>& of, uint32_t p) {
    return of.data() + p * shape.kv_width() + kv_head * head_dim;
  };
  const uint32_t window = shape.window_tokens;
  const uint32_t first = window != 0 && position >= window ? position + 1 - window : 0;
  const uint32_t count = position + 1 - first;
  std::vector<double> weights(count);
  double products = 0;     // the largest sum of their absolute values
  double key_squares = 0;  // likewise, of their squares
  for (uint32_t i = 0; i < count; ++i) {
    double dot = 0;
    double norm = 0;
    double product_squares = 0;
    for (uint32_t d = 0; d < head_dim; ++d) {
      const double product = double{query[d]} * double{row(sequence.key, first + i)[d]};
      dot += product;
      norm += std::abs(product);
      product_squares += product * product;
    }
    key_squares = std::max(key_squares, product_squares);
    const double cap = double{shape.soft_cap};
    dot *= double{shape.scale()};
    weights[i] = cap == 0 ? dot : cap * std::tanh(dot / cap);
    products = std::max(products, norm * double{shape.scale()});
  }
  double largest = *std::ranges::max_element(weights);
  if (!shape.sinks.empty()) largest = std::max(largest, double{shape.sinks[head]});
  double total = shape.sinks.empty() ? 0 : std::exp(double{shape.sinks[head]} - largest);
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  const double unit = shape.dtype == DType::kBF16 ? 0x1p-9 : 0x1p-12;
  const double smallest = shape.dtype == DType::kBF16 ? 0 : 0x1p-25;
  const double score_error =
      (4 * products + 8 * std::abs(largest) + 8 * double{shape.soft_cap}) * kEpsilon;
  std::vector<double> tolerance(head_dim);
  for (uint32_t d = 0; d < head_dim; ++d) {
    double mean = 0;
    for (uint32_t i = 0; i < count; ++i) {
      mean += weights[i] / total * double{row(sequence.value, first + i)[d]};
    }
    double squares = 0;
    double distances = 0;
    double sizes = 0;
    double value_squares = 0;
    double small_weights = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const double value = double{row(sequence.value, first + i)[d]};
      const double weighted = weights[i] / total * std::abs(value - mean);
      squares += weighted * weighted;
      distances += weighted;
      sizes += weights[i] / total * std::abs(value);
      value_squares += std::pow(weights[i] / total * value, 2);
      small_weights += smallest / total * std::abs(value - mean);
    }
    // Q8_0: codes times their scale are rounded to F16, too: of keys, which changes weights, and of
    // values.
    double codes = 0;
    if (shape.dtype == DType::kQ8_0) {
      codes = double{shape.scale()} * std::sqrt(key_squares * squares) + std::sqrt(value_squares);
    }
    tolerance[d] = 6 / std::sqrt(3.0) * (unit * std::sqrt(squares) + 0x1p-11 * codes) +
                   score_error * distances + small_weights +
                   (4 * std::sqrt(count) + 16) * kEpsilon * (sizes + std::abs(mean)) + 1e-30;
  }
  return tolerance;
}

std::vector<double> Tolerance(const DeviceSequences& sequences, std::span<const Piece> pieces) {
  std::vector<double> tolerance;
  for (const Piece& piece : pieces) {
    for (uint32_t row = 0; row < piece.rows; ++row) {
      for (uint32_t head = 0; head < sequences.shape().heads; ++head) {
        const std::vector<double> part = HeadTolerance(
            sequences.shape(), sequences.sequence(piece.sequence), piece.first + row, head);
        tolerance.insert(tolerance.end(), part.begin(), part.end());
      }
    }
  }
  return tolerance;
}

// The last rows of sequences of these lengths, all in one call.
struct Ends {
  std::vector<SequenceInput> sequences;
  std::vector<Piece> pieces;
};
Ends MakeEnds(Random& random, const AttentionShape& shape, std::span<const uint32_t> lengths,
              uint32_t rows) {
  Ends ends;
  for (const uint32_t tokens : lengths) {
    const uint32_t count = std::min(rows, tokens);
    ends.pieces.push_back({static_cast<uint32_t>(ends.sequences.size()), tokens - count, count});
    ends.sequences.push_back(MakeRounded(random, shape, tokens));
  }
  return ends;
}

void CheckEnds(Random& random, const AttentionShape& shape, std::span<const uint32_t> lengths,
               uint32_t rows, const std::string& order) {
  Ends ends = MakeEnds(random, shape, lengths, rows);
  DeviceSequences sequences(random, shape, std::move(ends.sequences));
  sequences.WriteAll();
  ExpectClose(sequences.Reference(ends.pieces), sequences.Attend(ends.pieces),
              Tolerance(sequences, ends.pieces), order + " " + Describe(shape));
}

constexpr uint32_t kShort[] = {1, 2, 15, 16, 17, 32, 33, 70};
// Around the ends of splits.
constexpr uint32_t kLong[] = {511, 512, 513, 1100};

TEST(CudaAttention, OneTokenAgreesWithTheReferenceForEveryHeadShape) {
  Random random(51);
  for (const DType dtype : kCacheDTypes) {
    for (const uint32_t head_dim : cuda::kAttentionHeadDims) {
      if (head_dim % BlockValues(dtype) != 0) continue;
      CheckEnds(random, {.dtype = dtype, .heads = 4, .kv_heads = 2, .head_dim = head_dim}, kShort,
                1, "");
    }
  }
}

TEST(CudaAttention, GroupsOfAnySizeAgreeWithTheReference) {
  Random random(52);
  for (const uint32_t group : {1u, 2u, 3u, 5u, 6u, 7u, 8u, 16u, 17u, 40u}) {
    CheckEnds(random, {.heads = 2 * group, .kv_heads = 2, .head_dim = 64}, kShort, 1, "");
    CheckEnds(random, {.heads = group, .kv_heads = 1, .head_dim = 80, .block_tokens = 48}, kShort,
              3, "");
  }
}

TEST(CudaAttention, OneTokenAgreesWithTheReferenceOverSplits) {
  ForEachOrder([](const std::string& order) {
    Random random(53);
    for (const DType dtype : {DType::kF16, DType::kF8_E4M3}) {
      CheckEnds(random, {.dtype = dtype, .heads = 4, .kv_heads = 1, .head_dim = 64}, kLong, 1,
                order);
    }
  });
  Random random(54);
  CheckEnds(random, {.heads = 2, .kv_heads = 2, .head_dim = 256, .block_tokens = 32}, kLong, 1, "");
  constexpr uint32_t kManySplits[] = {5000};
  CheckEnds(random, {.heads = 2, .kv_heads = 1, .head_dim = 32}, kManySplits, 2, "");
}

// Windows that begin inside a block, at its ends, and before the sequence; caps; sinks.
std::vector<AttentionShape> RuledShapes(DType dtype) {
  const AttentionShape plain{.dtype = dtype, .heads = 4, .kv_heads = 2, .head_dim = 32};
  return WithEachRule(plain, {1u, 5u, 16u, 33u, 512u, 600u, 2000u});
}

TEST(CudaAttention, AgreesWithTheReferenceUnderEveryRule) {
  Random random(55);
  constexpr uint32_t kLengths[] = {1, 40, 513, 1100};
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (const AttentionShape& shape : RuledShapes(dtype)) {
      for (const uint32_t rows : {1u, 6u}) CheckEnds(random, shape, kLengths, rows, "");
    }
  }
}

TEST(CudaAttention, ManyTokensAgreeWithTheReference) {
  Random random(56);
  constexpr uint32_t kLengths[] = {9, 33, 100};
  for (const DType dtype : kCacheDTypes) {
    for (const uint32_t head_dim : cuda::kAttentionHeadDims) {
      if (head_dim % BlockValues(dtype) != 0) continue;
      CheckEnds(random, {.dtype = dtype, .heads = 4, .kv_heads = 2, .head_dim = head_dim}, kLengths,
                67, "");
    }
  }
  constexpr uint32_t kLongLengths[] = {560, 1030};
  CheckEnds(random, {.heads = 3, .kv_heads = 1, .head_dim = 64}, kLongLengths, 50, "");
}

TEST(CudaAttention, ManyTokensAgreeWithTheReferenceInEveryOrderOfThreads) {
  ForEachOrder([](const std::string& order) {
    Random random(57);
    constexpr uint32_t kLengths[] = {70, 530};
    for (const uint32_t head_dim : {64u, 256u}) {
      CheckEnds(random, {.heads = 2, .kv_heads = 1, .head_dim = head_dim}, kLengths, 40, order);
    }
  });
}

TEST(CudaAttention, WritesWhatTheReferenceWrites) {
  ForEachOrder([](const std::string& order) {
    Random random(58);
    for (const DType dtype :
         {DType::kF16, DType::kBF16, DType::kF32, DType::kF8_E4M3, DType::kQ8_0}) {
      for (const uint32_t block_tokens : {16u, 48u}) {
        for (const uint32_t head_dim : {4u, 20u, 64u, 80u, 256u}) {
          if (head_dim % BlockValues(dtype) != 0) continue;
          const AttentionShape shape{.dtype = dtype,
                                     .heads = 3,
                                     .kv_heads = 3,
                                     .head_dim = head_dim,
                                     .block_tokens = block_tokens};
          DeviceSequences sequences(
              random, shape, {MakeSequence(random, shape, 70), MakeSequence(random, shape, 20)});
          const Piece pieces[] = {{0, 3, 50}, {1, 15, 1}, {1, 18, 0}, {0, 60, 10}};
          sequences.Write(pieces);
          sequences.ExpectSameCache(order + " " + Describe(shape));
        }
      }
    }
  });
}

// Keys that are larger by far than what e^score can hold.
TEST(CudaAttention, LargeScoresDoNotOverflow) {
  Random random(59);
  const AttentionShape shape{.heads = 2, .kv_heads = 1, .head_dim = 64};
  SequenceInput sequence = MakeRounded(random, shape, 80);
  for (float& value : sequence.query) value *= 32.0f;
  DeviceSequences sequences(random, shape, {sequence});
  sequences.WriteAll();
  const Piece pieces[] = {{0, 0, 80}};
  ExpectClose(sequences.Reference(pieces), sequences.Attend(pieces), Tolerance(sequences, pieces),
              "large");
}

TEST(CudaAttention, OnePositionReturnsItsValue) {
  Random random(60);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF8_E4M3}) {
    const AttentionShape shape{.dtype = dtype, .heads = 2, .kv_heads = 1, .head_dim = 64};
    const SequenceInput sequence = MakeRounded(random, shape, 1);
    std::vector<float> expected = sequence.value;
    expected.insert(expected.end(), sequence.value.begin(), sequence.value.end());
    DeviceSequences sequences(random, shape, {sequence});
    sequences.WriteAll();
    const Piece piece{0, 0, 1};
    ExpectSameBits(expected, sequences.Attend({&piece, 1}), Describe(shape));
  }
}

// The mean of one value is the value: of each number that there is, NaN too.
TEST(CudaAttention, EveryNumberOfFP8IsTakenExactly) {
  Random random(68);
  const AttentionShape shape{.dtype = DType::kF8_E4M3, .heads = 1, .kv_heads = 1, .head_dim = 256};
  SequenceInput sequence = MakeRounded(random, shape, 1);
  for (uint32_t code = 0; code < 256; ++code) {
    sequence.value[code] = ToFloat(static_cast<E4M3>(code));
  }
  DeviceSequences sequences(random, shape, {sequence});
  sequences.WriteAll();
  const Piece piece{0, 0, 1};
  const std::vector<float> found = sequences.Attend({&piece, 1});
  for (uint32_t code = 0; code < 256; ++code) {
    const float expected = sequence.value[code];
    EXPECT_TRUE(std::isnan(expected) ? std::isnan(found[code]) : found[code] == expected)
        << code << ": " << found[code] << " instead of " << expected;
  }
}

// Row by row as a decode would compute it, in slices of any length, together with others, with and
// without room for states: the same bits.
void CheckInvariance(Random& random, const AttentionShape& shape, uint32_t tokens, uint32_t first) {
  DeviceSequences sequences(
      random, shape,
      {MakeRounded(random, shape, tokens), MakeRounded(random, shape, tokens / 2 + 7)});
  sequences.WriteAll();
  const uint32_t rows = tokens - first;
  const Piece whole{0, first, rows};
  const std::vector<float> expected = sequences.Attend({&whole, 1});
  ExpectClose(sequences.Reference({&whole, 1}), expected, Tolerance(sequences, {&whole, 1}),
              Describe(shape));
  for (const uint32_t length : {1u, 5u, 19u}) {
    std::vector<Piece> pieces = {{1, 3, 20}};
    for (uint32_t row = first; row < tokens; row += length) {
      pieces.push_back({0, row, std::min(length, tokens - row)});
    }
    for (const uint32_t states_max : {kStatesMax, 0u}) {
      const std::vector<float> cut = sequences.Attend(pieces, DType::kF32, states_max);
      ExpectSameBits(expected, std::span(cut).subspan(20 * shape.query_width()),
                     Describe(shape) + " in slices of " + std::to_string(length));
    }
  }
}

TEST(CudaAttention, IsTheSameBitsHoweverItIsCut) {
  Random random(61);
  for (const DType dtype : kCacheDTypes) {
    CheckInvariance(random, {.dtype = dtype, .heads = 4, .kv_heads = 2, .head_dim = 32}, 80, 0);
  }
  CheckInvariance(random, {.heads = 3, .kv_heads = 1, .head_dim = 64}, 1030, 1012);
  CheckInvariance(random, {.heads = 1, .kv_heads = 1, .head_dim = 256}, 520, 500);
  CheckInvariance(random,
                  {.heads = 4,
                   .kv_heads = 1,
                   .head_dim = 32,
                   .soft_cap = 9,
                   .window_tokens = 530,
                   .sinks = {0, 2, -1, 5}},
                  1045, 1020);
}

// Sequences that fork at 600 and at 1,100, with `rows` rows each.
void CheckSharing(Random& random, const AttentionShape& shape, uint32_t count, uint32_t rows) {
  std::vector<SequenceInput> inputs;
  std::vector<Piece> pieces;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t tokens = 1130 + 70 * (i % 3);
    inputs.push_back(MakeRounded(random, shape, tokens));
    pieces.push_back({i, tokens - rows, rows});
  }
  DeviceSequences sequences(random, shape, std::move(inputs));
  for (uint32_t i = 1; i < count; ++i) sequences.Fork(i, 0, i % 2 == 0 ? 1100 : 600);
  sequences.WriteAll();
  const std::vector<float> shared = sequences.AttendShared(pieces);
  EXPECT_GT(sequences.shared_tokens(), 0u) << Describe(shape);
  ExpectSameBits(sequences.Attend(pieces), shared, Describe(shape) + " shared");
  ExpectClose(sequences.Reference(pieces), shared, Tolerance(sequences, pieces),
              Describe(shape) + " shared");
}

TEST(CudaAttention, SharedBeginningsAreTheSameBits) {
  Random random(66);
  // One warp for 4 tokens; a block for 10.
  for (const DType dtype : {DType::kF16, DType::kF8_E4M3}) {
    CheckSharing(random, {.dtype = dtype, .heads = 8, .kv_heads = 2, .head_dim = 32}, 4, 1);
    CheckSharing(random, {.dtype = dtype, .heads = 8, .kv_heads = 2, .head_dim = 32}, 10, 1);
  }
  CheckSharing(random, {.heads = 8, .kv_heads = 1, .head_dim = 256}, 10, 1);  // two blocks
  CheckSharing(random, {.heads = 5, .kv_heads = 1, .head_dim = 64, .block_tokens = 48}, 5, 7);
  CheckSharing(random, {.heads = 20, .kv_heads = 1, .head_dim = 32}, 3, 1);
  // The least far one sees what others do not.
  for (const uint32_t window : {400u, 1000u}) {
    CheckSharing(random,
                 {.heads = 4,
                  .kv_heads = 1,
                  .head_dim = 32,
                  .soft_cap = 9,
                  .window_tokens = window,
                  .sinks = {0, 2, -1, 5}},
                 6, 1);
  }
}

TEST(CudaAttention, SharedBeginningsAgreeInEveryOrderOfThreads) {
  ForEachOrder([](const std::string&) {
    Random random(67);
    CheckSharing(random, {.heads = 4, .kv_heads = 1, .head_dim = 64}, 6, 1);
  });
}

TEST(CudaAttention, WritesBF16ForTheTensorCores) {
  Random random(62);
  const AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 64};
  constexpr uint32_t kLengths[] = {40, 600};
  for (const uint32_t rows : {1u, 30u}) {
    Ends ends = MakeEnds(random, shape, kLengths, rows);
    DeviceSequences sequences(random, shape, std::move(ends.sequences));
    sequences.WriteAll();
    std::vector<float> expected = sequences.Attend(ends.pieces);
    for (float& value : expected) value = ToFloat(ToBF16(value));
    ExpectSameBits(expected, sequences.Attend(ends.pieces, DType::kBF16), "rows");
  }
}

TEST(CudaAttention, NoTasksAndEmptySlicesDoNothing) {
  cuda::Attend({}, kNullStream);
  cuda::WriteKv({}, kNullStream);
  Random random(63);
  const AttentionShape shape{.head_dim = 32};
  DeviceSequences sequences(random, shape, {MakeRounded(random, shape, 3)});
  const Piece empty{0, 0, 0};
  sequences.Write({&empty, 1});
  EXPECT_EQ(sequences.Attend({&empty, 1}).size(), 0u);
  sequences.ExpectSameCache("empty");
}

TEST(CudaAttention, WrongShapesThrow) {
  DeviceArray<float> memory(4096, 0.0f);
  const DeviceArray<cuda::AttentionTask> tasks(1, cuda::AttentionTask{});
  const DeviceArray<AttentionSlice> slices(1, AttentionSlice{});
  auto* bytes = reinterpret_cast<std::byte*>(memory.data());
  cuda::PagedAttention right;
  right.query = memory.data();
  right.query_stride = 64;
  right.slices = slices.data();
  right.few = tasks.data();
  right.few_tasks = 1;
  right.heads = 2;
  right.cache = {DType::kF16, bytes, bytes, 1024, 16, 1, 32};
  right.out = memory.data();
  right.out_stride = 64;
  cuda::Attend(right, kNullStream);  // an empty task
  const auto expect_throw = [&](auto change) {
    cuda::PagedAttention wrong = right;
    change(wrong);
    EXPECT_THROW(cuda::Attend(wrong, kNullStream), InternalError);
  };
  expect_throw([](cuda::PagedAttention& a) { a.cache.dtype = DType::kF32; });
  expect_throw([](cuda::PagedAttention& a) { a.cache.head_dim = 48; });
  expect_throw([](cuda::PagedAttention& a) { a.cache.block_tokens = 8; });
  expect_throw([](cuda::PagedAttention& a) { a.cache.keys += 8; });
  expect_throw([](cuda::PagedAttention& a) { a.heads = 3, a.cache.kv_heads = 2; });
  expect_throw([](cuda::PagedAttention& a) { a.query_stride = 60; });
  expect_throw([](cuda::PagedAttention& a) { a.out_dtype = DType::kF16; });
  expect_throw([](cuda::PagedAttention& a) { a.merge_count = 1; });
}

}  // namespace
}  // namespace infercept::test
