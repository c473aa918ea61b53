#include "device/cuda_ops.h"

#include <algorithm>
#include <array>
#include <utility>

#include "device/op_accesses.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/matmul_library.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/cuda/weight_pack.h"

namespace infercept {
namespace {

// Of the workspace for attention's states. 64 sequences of 32,768 tokens take half of it in
// Llama3-8B; who would need more has work for all multiprocessors without cutting sequences.
constexpr size_t kStateBytesMax = size_t{128} << 20;

// What a device of the model's facts holds states for.
cuda::AttentionPlanShape PlanShape(const CudaOpsLimits& limits) {
  cuda::AttentionPlanShape shape = {.kv_heads = limits.kv_heads,
                                    .group_heads = limits.heads / limits.kv_heads,
                                    .head_dim = limits.head_dim,
                                    .block_tokens = limits.block_tokens,
                                    .groups = limits.groups};
  const uint64_t splits = DivCeil(limits.context_tokens, cuda::kSplitTokens);
  const uint64_t wanted = splits == 1 ? 0 : splits * limits.rows * shape.group_heads;
  const size_t row_bytes = cuda::AttentionStateBytes(1, shape.kv_heads, shape.head_dim);
  shape.state_rows_max = static_cast<uint32_t>(std::min(wanted, kStateBytesMax / row_bytes));
  return shape;
}

// BF16 values from one row of a product's inputs to the next.
size_t InputStride(uint32_t columns) { return cuda::PaddedColumns(columns); }

template <typename T>
StepArrays::List Bytes(const std::vector<T>& entries) {
  return std::as_bytes(std::span(entries));
}

// A MatMul as it is kept until its turn comes.
struct MatMulCall {
  std::array<MatMulProduct, kMatMulProductsMax> products;
  size_t count;
  const float* x;
  uint32_t tokens;
  std::span<std::byte> scratch;
  cuda::CublasLt* library;  // or null

  std::span<const MatMulProduct> all() const { return std::span(products).first(count); }
};

// Scratch is the inputs as BF16, then what the products take: parts of MatMulMany, or the
// library's.
size_t InputBytes(uint32_t tokens, uint32_t columns) {
  return tokens * InputStride(columns) * sizeof(uint16_t);
}

// Products of one dtype. Few and many give the same bits.
void Multiply(std::span<const cuda::Product> products, const cuda::BF16Rows& x,
              const MatMulCall& call, NativeStream stream) {
  const uint32_t tokens = call.tokens;
  if (tokens <= cuda::kFewTokens) return cuda::MatMulFew(products, x, tokens, stream);
  const PackedWeight& first = products.front().weight;
  const auto rest = call.scratch.subspan(InputBytes(tokens, first.columns));
  if (call.library != nullptr && tokens >= cuda::LibraryTokens(first.dtype) &&
      cuda::MatMulByLibrary(*call.library, products, x, tokens, rest, stream)) {
    return;
  }
  cuda::MatMulMany(products, x, tokens, reinterpret_cast<float*>(rest.data()), stream);
}

DType TypeOf(const cuda::Product& product) { return product.weight.dtype; }
DType TypeOf(const cuda::ExpertProduct& product) { return product.product.weight.dtype; }

// body(those that have it) for every dtype among the products.
template <typename Product, typename Body>
void ForEachType(std::span<const Product> products, const Body& body) {
  std::array<bool, kMatMulProductsMax> done{};
  for (size_t i = 0; i < products.size(); ++i) {
    if (done[i]) continue;
    std::array<Product, kMatMulProductsMax> alike;
    size_t count = 0;
    for (size_t j = i; j < products.size(); ++j) {
      if (TypeOf(products[j]) != TypeOf(products[i])) continue;
      alike[count++] = products[j];
      done[j] = true;
    }
    body(std::span<const Product>(alike).first(count));
  }
}

void Run(const MatMulCall& call, NativeStream stream) {
  const uint32_t columns = call.products[0].weight.columns;
  const cuda::BF16Rows x = {call.scratch.data(), InputStride(columns)};
  cuda::ConvertToBF16(call.x, call.tokens, columns, call.scratch.data(), x.stride, stream);
  std::array<cuda::Product, kMatMulProductsMax> products;
  for (size_t i = 0; i < call.count; ++i) {
    const MatMulProduct& product = call.products[i];
    products[i] = {product.weight, product.out, product.out_stride};
  }
  ForEachType(std::span<const cuda::Product>(products).first(call.count),
              [&](std::span<const cuda::Product> alike) { Multiply(alike, x, call, stream); });
}

// A MatMulExperts, likewise.
struct ExpertCall {
  std::array<cuda::ExpertProduct, kMatMulProductsMax> products;
  size_t count;
  const float* x;
  const uint32_t* rows;
  const cuda::ExpertTile* tiles;
  cuda::ExpertStep step;
  std::byte* scratch;
};

void Run(const ExpertCall& call, NativeStream stream) {
  const uint32_t columns = call.products[0].product.weight.columns;
  const cuda::BF16Rows x = {call.scratch, InputStride(columns)};
  cuda::ConvertRowsToBF16(call.x, call.rows, call.step.places(), columns, call.scratch, x.stride,
                          stream);
  ForEachType(std::span<const cuda::ExpertProduct>(call.products).first(call.count),
              [&](std::span<const cuda::ExpertProduct> alike) {
                cuda::MatMulExperts(alike, x, call.tiles, call.step, stream);
              });
}

// The first expert's matrix, and how far the next one's is. Of the others the last is looked at.
cuda::ExpertProduct EvenlyApart(const ExpertProduct& product) {
  const BiasedMatrix& first = product.experts.front();
  const BiasedMatrix& last = product.experts.back();
  cuda::ExpertProduct all = {.product = {first.weight, product.out, first.weight.rows},
                             .bias = first.bias};
  const size_t steps = product.experts.size() - 1;
  if (steps == 0) return all;
  const BiasedMatrix& second = product.experts[1];
  all.weight_bytes = static_cast<size_t>(second.weight.data - first.weight.data);
  IC_CHECK(last.weight.data == first.weight.data + steps * all.weight_bytes);
  IC_CHECK(last.weight.dtype == first.weight.dtype && last.weight.rows == first.weight.rows);
  if (first.bias == nullptr) return all;
  all.bias_stride = static_cast<size_t>(second.bias - first.bias);
  IC_CHECK(last.bias == first.bias + steps * all.bias_stride);
  return all;
}

cuda::ExpertTile* Tiles(const ExpertPlaces& places) {
  return reinterpret_cast<cuda::ExpertTile*>(places.bounds);
}

cuda::Norm CudaNorm(const ResidualNorm& norm) {
  return {.added = norm.added,
          .residual = norm.residual,
          .weight = norm.weight,
          .bias = norm.bias,
          .epsilon = norm.epsilon,
          .out = norm.out};
}

void EnqueueActivation(Stream& stream, cuda::Activation activation, const cuda::Gated& gated,
                       size_t count) {
  stream.Launch(
      "Activate", [=](NativeStream native) { cuda::Activate(activation, gated, count, native); },
      [=](AccessList& list) {
        DescribeElements(gated.gate, gated.up, count, static_cast<float*>(gated.out), list);
      });
}

}  // namespace

Result<std::unique_ptr<CudaOps>> CudaOps::Create(
    Device& device, Stream& stream, const CudaOpsLimits& limits,
    const std::optional<cuda::CublasLtFunctions>& library) {
  IC_CHECK(limits.kv_heads > 0 && limits.heads % limits.kv_heads == 0);
  const cuda::AttentionPlanShape shape = PlanShape(limits);
  const size_t table_blocks =
      size_t{DivCeil(limits.context_tokens, limits.block_tokens)} * limits.groups;
  Result<StepArrays> arrays =
      StepArrays::Create(device, stream,
                         {.rows = limits.rows,
                          .block_ids = limits.slices * table_blocks,
                          .block_tokens = limits.block_tokens,
                          .list_bytes = cuda::AttentionPlanBytes(limits.rows, shape),
                          .groups = limits.groups});
  if (!arrays.ok()) return arrays.status();
  // Its handle is for the device that this thread used last: the arrays were allocated just now.
  std::unique_ptr<cuda::CublasLt> multiplier;
  if (library && !limits.deterministic) multiplier = cuda::CublasLt::Create(*library);
  return std::unique_ptr<CudaOps>(
      new CudaOps(stream, std::move(arrays).Take(), shape, std::move(multiplier)));
}

CudaOps::CudaOps(Stream& stream, StepArrays arrays, const cuda::AttentionPlanShape& shape,
                 std::unique_ptr<cuda::CublasLt> library)
    : stream_(stream),
      shape_(shape),
      bound_(std::make_unique<Bound>(Bound{.arrays = std::move(arrays), .plan = {}})),
      library_(std::move(library)) {}

size_t CudaOps::PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const {
  return cuda::PackedBytes(dtype, rows, columns);
}

uint32_t CudaOps::PackRows(DType) const { return cuda::kTileRows; }

void CudaOps::Pack(const WeightView& source, std::span<std::byte> target, ThreadPool& pool) const {
  const size_t row_bytes = RowBytes(source.dtype, source.columns);
  pool.ParallelFor(source.rows, cuda::kTileRows, [&](uint32_t begin, uint32_t end, uint32_t) {
    cuda::Pack({source.dtype, source.data + begin * row_bytes, end - begin, source.columns},
               target.subspan(cuda::PackedBytes(source.dtype, begin, source.columns)));
  });
}

bool CudaOps::FillRandom(const RandomMatrix& matrix) const {
  if (!cuda::CanFillRandom(matrix)) return false;
  const size_t bytes = PackedBytes(matrix.dtype, matrix.rows, matrix.columns);
  stream_.Launch(
      "FillRandom", [=](NativeStream stream) { cuda::FillRandom(matrix, stream); },
      [=](AccessList& list) { list.Write(matrix.data, bytes); });
  return true;
}

// Steps of one token per slice may be enqueued again as a graph.
uint32_t CudaOps::Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                       std::span<const AttentionSlice> slices, uint32_t context_tokens) const {
  cuda::AttentionPlan& plan = bound_->plan;
  plan.Make(slices, shape_);
  if (slices.size() == tokens.size()) {
    plan.Pad(static_cast<uint32_t>(slices.size()), context_tokens, shape_);
  }
  const std::array lists = {Bytes(plan.few), Bytes(plan.many), Bytes(plan.merges),
                            Bytes(plan.runs)};
  // If it fails, so has the stream: whoever waits for that is told.
  static_cast<void>(bound_->arrays.Bind(tokens, positions, slices, lists));
  return plan.shares_many ? 1 : 0;
}

template <typename T>
std::span<const T> CudaOps::OnDevice(List list, const std::vector<T>& entries) const {
  return {reinterpret_cast<const T*>(bound_->arrays.list(list)), entries.size()};
}

const AttentionSlice* CudaOps::AllOnDevice(std::span<const AttentionSlice> slices) const {
  IC_CHECK(slices.size() == bound_->arrays.slices().size());
  return bound_->arrays.OnDevice(slices).data();
}

size_t CudaOps::MatMulScratchBytes(DType, uint32_t tokens, uint32_t columns) const {
  size_t rest = tokens <= cuda::kFewTokens ? 0 : cuda::MatMulManyBytesMax(tokens);
  if (library_ != nullptr && tokens >= cuda::kLibraryTokens) {
    rest = std::max(rest, cuda::kLibraryScratchBytes);
  }
  return InputBytes(tokens, columns) + rest;
}

void CudaOps::MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
                     std::span<std::byte> scratch, ThreadPool&) const {
  IC_CHECK(!products.empty() && products.size() <= kMatMulProductsMax);
  MatMulCall call = {.products = {},
                     .count = products.size(),
                     .x = x,
                     .tokens = tokens,
                     .scratch = scratch,
                     .library = library_.get()};
  std::ranges::copy(products, call.products.begin());
  const DType dtype = products.front().weight.dtype;
  IC_CHECK(scratch.size() >= MatMulScratchBytes(dtype, tokens, products.front().weight.columns));
  stream_.Launch(
      "MatMul", [=](NativeStream stream) { Run(call, stream); },
      [=, ops = this](AccessList& list) {
        DescribeMatMul(*ops, call.all(), call.x, call.tokens, call.scratch, list);
      });
}

void CudaOps::Embed(const WeightView& table, std::span<const TokenId> tokens, float* out) const {
  const std::span<const TokenId> ids = bound_->arrays.OnDevice(tokens);
  const PackedWeight packed = {table.dtype, table.data, table.rows, table.columns};
  stream_.Launch(
      "Embed",
      [=](NativeStream stream) {
        cuda::Embed(packed, ids.data(), static_cast<uint32_t>(ids.size()), out, stream);
      },
      [=, ops = this](AccessList& list) {
        list.Read(ids.data(), ids.size_bytes());
        DescribeEmbed(*ops, table, ids.size(), out, list);
      });
}

void CudaOps::AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  stream_.Launch(
      "AddRmsNorm",
      [=](NativeStream stream) { cuda::RmsNorm(CudaNorm(norm), tokens, width, stream); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, width, list); });
}

void CudaOps::AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  stream_.Launch(
      "AddLayerNorm",
      [=](NativeStream stream) { cuda::LayerNorm(CudaNorm(norm), tokens, width, stream); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, width, list); });
}

void CudaOps::RmsNorm(const VectorNorm& norm, uint32_t tokens) const {
  stream_.Launch(
      "RmsNorm",
      [=](NativeStream stream) {
        cuda::RmsNormVectors(
            {norm.x, norm.stride, norm.vectors, norm.width, norm.weight, norm.epsilon}, tokens,
            stream);
      },
      [=](AccessList& list) { DescribeNorm(norm, tokens, list); });
}

void CudaOps::AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
                      size_t stride) const {
  stream_.Launch(
      "AddBias",
      [=](NativeStream stream) { cuda::AddBias(bias, width, tokens, x, stride, stream); },
      [=](AccessList& list) { DescribeAddBias(bias, width, tokens, x, stride, list); });
}

void CudaOps::Add(const float* added, size_t count, float* x) const {
  stream_.Launch(
      "Add", [=](NativeStream stream) { cuda::AddTo(x, added, count, stream); },
      [=](AccessList& list) { DescribeElements(added, nullptr, count, x, list); });
}

void CudaOps::Scale(float factor, size_t count, float* x) const {
  stream_.Launch(
      "Scale", [=](NativeStream stream) { cuda::Scale(factor, count, x, stream); },
      [=](AccessList& list) { DescribeElements(nullptr, nullptr, count, x, list); });
}

void CudaOps::SoftCap(float cap, size_t count, float* x) const {
  stream_.Launch(
      "SoftCap", [=](NativeStream stream) { cuda::SoftCap(cap, count, x, stream); },
      [=](AccessList& list) { DescribeElements(nullptr, nullptr, count, x, list); });
}

void CudaOps::Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                   uint32_t head_dim, const RopeView& rope) const {
  const StepArrays* arrays = &bound_->arrays;
  const std::span<const uint32_t> where = arrays->OnDevice(positions);
  const auto first = static_cast<size_t>(positions.data() - arrays->positions().data());
  const cuda::Rotation rotation = {.x = x,
                                   .stride = stride,
                                   .positions = where.data(),
                                   .cosine = rope.cosine,
                                   .sine = rope.sine,
                                   .heads = heads,
                                   .head_dim = head_dim,
                                   .rope_dim = rope.rope_dim,
                                   .interleaved = rope.interleaved};
  stream_.Launch(
      "Rope",
      [rotation, tokens = static_cast<uint32_t>(where.size())](NativeStream stream) {
        cuda::Rope(rotation, tokens, stream);
      },
      [=](AccessList& list) {
        list.Read(where.data(), where.size_bytes());
        DescribeRope(x, stride, arrays->positions().subspan(first, where.size()), heads, head_dim,
                     rope, list);
      });
}

void CudaOps::SiluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  EnqueueActivation(stream_, cuda::Activation::kSilu, {gate, up, out}, count);
}

void CudaOps::GeluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  EnqueueActivation(stream_, cuda::Activation::kGeluTanh, {gate, up, out}, count);
}

void CudaOps::Gelu(size_t count, float* x) const {
  EnqueueActivation(stream_, cuda::Activation::kGeluTanh, {x, nullptr, x}, count);
}

void CudaOps::ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate, const float* up,
                                    size_t count, float* out) const {
  EnqueueActivation(
      stream_, cuda::Activation::kClampedSwiglu,
      {.gate = gate, .up = up, .out = out, .alpha = swiglu.alpha, .limit = swiglu.limit}, count);
}

void CudaOps::ChooseExperts(const ExpertChoice& choice, uint32_t tokens) const {
  const cuda::ExpertChoice call = {choice.scores,     choice.experts, choice.used,
                                   choice.normalized, choice.chosen,  choice.weights};
  stream_.Launch(
      "ChooseExperts", [=](NativeStream stream) { cuda::ChooseExperts(call, tokens, stream); },
      [=](AccessList& list) { DescribeChooseExperts(choice, tokens, list); });
}

size_t CudaOps::ExpertBoundsBytes(uint32_t tokens, uint32_t experts, uint32_t used) const {
  return cuda::ExpertTileCountMax({tokens, experts, used}) * sizeof(cuda::ExpertTile);
}

void CudaOps::AssignPlaces(const ExpertPlaces& places, uint32_t tokens) const {
  const cuda::ExpertAssignment call = {places.chosen, places.rows, places.places, Tiles(places)};
  const cuda::ExpertStep step = {tokens, places.experts, places.used};
  stream_.Launch(
      "AssignPlaces", [=](NativeStream stream) { cuda::AssignPlaces(call, step, stream); },
      [=, ops = this](AccessList& list) { DescribeAssignPlaces(*ops, places, tokens, list); });
}

// A row of inputs as BF16 for every place.
size_t CudaOps::ExpertScratchBytes(uint32_t tokens, uint32_t used, uint32_t columns) const {
  return InputBytes(tokens * used, columns);
}

void CudaOps::MatMulExperts(const ExpertMatMul& call, std::span<std::byte> scratch,
                            ThreadPool&) const {
  IC_CHECK(!call.products.empty() && call.products.size() <= kMatMulProductsMax);
  const ExpertPlaces& places = call.places;
  const uint32_t columns = call.products.front().experts.front().weight.columns;
  IC_CHECK(scratch.size() >= ExpertScratchBytes(call.tokens, places.used, columns));
  ExpertCall run = {.products = {},
                    .count = call.products.size(),
                    .x = call.x,
                    .rows = call.rows,
                    .tiles = Tiles(places),
                    .step = {call.tokens, places.experts, places.used},
                    .scratch = scratch.data()};
  std::array<ExpertProduct, kMatMulProductsMax> products;
  std::ranges::copy(call.products, products.begin());
  std::ranges::transform(call.products, run.products.begin(), EvenlyApart);
  stream_.Launch(
      "MatMulExperts", [=](NativeStream stream) { Run(run, stream); },
      [=, ops = this](AccessList& list) {
        ExpertMatMul described = call;
        described.products = std::span(products).first(run.count);
        DescribeMatMulExperts(*ops, described, scratch, list);
      });
}

void CudaOps::MixRows(const RowMix& mix, uint32_t tokens) const {
  const cuda::RowMix call = {mix.x, mix.places, mix.weights, mix.used, mix.width, mix.out};
  stream_.Launch(
      "MixRows", [=](NativeStream stream) { cuda::MixRows(call, tokens, stream); },
      [=](AccessList& list) { DescribeMixRows(mix, tokens, list); });
}

void CudaOps::WriteKv(const float* key, const float* value, size_t stride,
                      std::span<const AttentionSlice> slices, const PagedKv& cache) const {
  const AttentionSlice* there = AllOnDevice(slices);
  const std::span runs = OnDevice(kRuns, bound_->plan.runs);
  const cuda::KvWrite write = {.key = key,
                               .value = value,
                               .stride = stride,
                               .slices = there,
                               .runs = runs.data(),
                               .run_count = static_cast<uint32_t>(runs.size()),
                               .cache = cache};
  stream_.Launch(
      "WriteKv", [=](NativeStream stream) { cuda::WriteKv(write, stream); },
      [=, arrays = &bound_->arrays](AccessList& list) {
        list.Read(there, arrays->slices().size_bytes());
        list.Read(runs.data(), runs.size_bytes());
        DescribeWriteKv(key, value, stride, arrays->slices(), cache, list);
      });
}

size_t CudaOps::AttentionScratchBytes(const AttentionLimits& limits) const {
  IC_CHECK(limits.head_dim == shape_.head_dim);
  IC_CHECK(limits.heads == shape_.kv_heads * shape_.group_heads);
  return cuda::AttentionStateBytes(shape_.state_rows_max, shape_.kv_heads, shape_.head_dim);
}

void CudaOps::Attention(const float* query, size_t query_stride,
                        std::span<const AttentionSlice> slices, uint32_t heads,
                        const PagedKv& cache, const AttentionRules& rules, float* out,
                        size_t out_stride, std::span<std::byte> scratch, ThreadPool&) const {
  IC_CHECK(heads == shape_.kv_heads * shape_.group_heads && cache.head_dim == shape_.head_dim);
  IC_CHECK(scratch.size() >=
           cuda::AttentionStateBytes(shape_.state_rows_max, shape_.kv_heads, shape_.head_dim));
  const AttentionSlice* there = AllOnDevice(slices);
  const std::span few = OnDevice(kFew, bound_->plan.few);
  const std::span many = OnDevice(kMany, bound_->plan.many);
  const std::span merges = OnDevice(kMerges, bound_->plan.merges);
  const cuda::PagedAttention call = {.query = query,
                                     .query_stride = query_stride,
                                     .slices = there,
                                     .few = few.data(),
                                     .many = many.data(),
                                     .merges = merges.data(),
                                     .few_tasks = static_cast<uint32_t>(few.size()),
                                     .many_tasks = static_cast<uint32_t>(many.size()),
                                     .merge_count = static_cast<uint32_t>(merges.size()),
                                     .heads = heads,
                                     .cache = cache,
                                     .scale = rules.scale,
                                     .soft_cap = rules.soft_cap,
                                     .window_tokens = rules.window_tokens,
                                     .sinks = rules.sinks,
                                     .states = reinterpret_cast<float*>(scratch.data()),
                                     .state_rows = shape_.state_rows_max,
                                     .out = out,
                                     .out_stride = out_stride};
  stream_.Launch(
      "Attention", [=](NativeStream stream) { cuda::Attend(call, stream); },
      [=, arrays = &bound_->arrays](AccessList& list) {
        list.Read(there, arrays->slices().size_bytes());
        list.Read(few.data(), few.size_bytes());
        list.Read(many.data(), many.size_bytes());
        list.Read(merges.data(), merges.size_bytes());
        DescribeAttention(query, query_stride, arrays->slices(), heads, cache, rules, out,
                          out_stride, scratch, list);
      });
}

void CudaOps::Sample(const SampleRows& rows, uint32_t vocabulary) const {
  const cuda::SampleCall call = {.logits = rows.logits,
                                 .logits_stride = vocabulary,
                                 .vocabulary = vocabulary,
                                 .rows = rows.rows.data(),
                                 .recent = rows.recent.data(),
                                 .biases = rows.biases.data(),
                                 .adjusted = rows.adjusted,
                                 .results = rows.results,
                                 .top = rows.top.data()};
  stream_.Launch(
      "Sample",
      [call, count = static_cast<uint32_t>(rows.rows.size())](NativeStream stream) {
        cuda::Sample(call, count, stream);
      },
      [=](AccessList& list) { DescribeSample(rows, vocabulary, list); });
}

void CudaOps::PickTokens(const TokenPicks& picks, std::span<TokenId> target) const {
  stream_.Launch(
      "PickTokens",
      [=](NativeStream stream) {
        cuda::PickTokens(picks.picks.data(), static_cast<uint32_t>(picks.picks.size()),
                         picks.samples.data(), target.data(), stream);
      },
      [=](AccessList& list) { DescribePickTokens(picks, target, list); });
}

}  // namespace infercept
