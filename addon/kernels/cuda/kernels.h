// Every launcher of the CUDA backend. All pointers are device memory, all arrays row-major; a
// launcher proves shapes (IC_CHECK), puts its kernels into the stream and returns. Nothing here
// allocates, and nothing waits.
//
// What a launcher computes for one token does not depend on the other tokens of the call.
//
// Widths that are multiples of 4 (8 for 16-bit values), at addresses that are multiples of 16, take
// 16-byte accesses; all others are right but slower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/types.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/expert_tiles.h"
#include "kernels/cuda/stream.h"
#include "kernels/sampling.h"
#include "kernels/tensor_view.h"

namespace infercept::cuda {

// --- norm.cu ---

inline constexpr uint32_t kNormWidthMax = 16384;

// residual += added; then per token out = (residual - mean) * factor * weight + bias, in float,
// with
//   RMSNorm (Zhang and Sennrich 2019, eq. 4): mean = 0, factor = 1 / sqrt(mean(residual^2) +
//   epsilon) LayerNorm (Ba et al. 2016, eq. 4): factor = 1 / sqrt(variance(residual) + epsilon).
struct Norm {
  const float* added = nullptr;   // [tokens][width], or null: nothing is added
  float* residual = nullptr;      // [tokens][width]
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width], or null: zeros
  float epsilon = 0;
  void* out = nullptr;            // [tokens][width]; may be `added` if it is float
  DType out_dtype = DType::kF32;  // kF32, or kBF16 for the tensor cores
};
// REQUIRES: width <= kNormWidthMax; one that is no multiple of 4, a quarter of it.
void RmsNorm(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream);
void LayerNorm(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream);

// Vectors normalized in place, each for itself: x = x / sqrt(mean(x^2) + epsilon) * weight.
struct VectorNorm {
  float* x = nullptr;    // [tokens] rows of `vectors` vectors, `stride` floats apart
  size_t stride = 0;     // >= vectors * width
  uint32_t vectors = 0;  // of a token: its heads
  uint32_t width = 0;
  const float* weight = nullptr;  // [width]
  float epsilon = 0;
};
void RmsNormVectors(const VectorNorm& norm, uint32_t tokens, Stream stream);

// --- matmul_few.cu ---

// Inputs of matrix products: BF16 rows at multiples of 16 bytes.
struct BF16Rows {
  const void* values = nullptr;  // [tokens] rows; zeros from the matrix's columns up to the next
                                 // multiple of 32
  size_t stride = 0;             // values from one row to the next: a multiple of 8
};
// x [tokens][columns] as such rows; all of a row after its columns becomes zeros.
void ConvertToBF16(const float* x, uint32_t tokens, uint32_t columns, void* out, size_t out_stride,
                   Stream stream);
// Row i of what comes out is row rows[i] of x.
void ConvertRowsToBF16(const float* x, const uint32_t* rows, uint32_t count, uint32_t columns,
                       void* out, size_t out_stride, Stream stream);

// One matrix, packed as weight_layout.h says, and where its products go.
struct Product {
  PackedWeight weight;
  float* out = nullptr;   // [tokens][weight.rows]
  size_t out_stride = 0;  // floats from one token's outputs to the next one's, >= weight.rows
};
// Up to so many tokens MatMulFew is the faster one: their inputs fit the first-level cache. An
// estimate; not measured yet.
inline constexpr uint32_t kFewTokens = 16;

// out[t][r] = sum over c of weight[r][c] * x[t][c], added up in float. For up to 16 tokens, where
// loading the weights is all that counts; right for any number. REQUIRES: at most 4 products, all
// of one dtype and with the same columns.
void MatMulFew(std::span<const Product> products, const BF16Rows& x, uint32_t tokens,
               Stream stream);

// --- matmul_many.cu ---

// The same for more than kFewTokens tokens, where weights are loaded once per 128 (64) tokens: the
// same bits as MatMulFew's, so neither the choice between the two nor the other tokens of a step
// can be seen in what a token gets. F32 weights go to MatMulFew.
//
// `parts` is scratch of MatMulManyBytes, or null: small products are cut along the columns, so that
// they fill a device, and without it they are not, with the same result.
void MatMulMany(std::span<const Product> products, const BF16Rows& x, uint32_t tokens, float* parts,
                Stream stream);
size_t MatMulManyBytes(std::span<const Product> products, uint32_t tokens);
// At least as much as for any products of at most so many tokens: 33 MB from 128 tokens on.
size_t MatMulManyBytesMax(uint32_t tokens);

// --- experts.cu ---

// The experts with the largest scores for each token, best first, of equal ones the first; weighted
// by the softmax of all scores or, normalized, of those of the chosen.
struct ExpertChoice {
  const float* scores = nullptr;  // [tokens][experts]
  uint32_t experts = 0;
  uint32_t used = 0;  // 1 to experts
  bool normalized = true;
  uint32_t* chosen = nullptr;  // [tokens][used]
  float* weights = nullptr;    // [tokens][used]
};
void ChooseExperts(const ExpertChoice& choice, uint32_t tokens, Stream stream);

// Places for the choices of all tokens: those of one expert side by side, in the order of tokens.
struct ExpertAssignment {
  const uint32_t* chosen = nullptr;  // [tokens][used], each below `experts`
  uint32_t* rows = nullptr;          // [tokens * used] the token of each place
  uint32_t* places = nullptr;        // [tokens][used] the place of each choice
  ExpertTile* tiles = nullptr;       // [ExpertTileCount]
};
void AssignPlaces(const ExpertAssignment& assignment, const ExpertStep& step, Stream stream);

// out[t] = sum over i < used, in order, of weights[t][i] * x[places[t][i]].
struct RowMix {
  const float* x = nullptr;          // [tokens * used][width]
  const uint32_t* places = nullptr;  // [tokens][used]
  const float* weights = nullptr;    // [tokens][used]
  uint32_t used = 0;
  uint32_t width = 0;
  float* out = nullptr;  // [tokens][width]
};
void MixRows(const RowMix& mix, uint32_t tokens, Stream stream);

// --- matmul_experts.cu ---

// A matrix that every expert has, and where its products go: that of the first expert, and what is
// from one expert's to the next one's.
struct ExpertProduct {
  Product product;
  size_t weight_bytes = 0;
  const float* bias = nullptr;  // [product.weight.rows] is added, or null
  size_t bias_stride = 0;       // floats
};
// For each place, which has a row of x, the products with the matrices of its expert, by MatMulFew
// and MatMulMany: the same bits. REQUIRES: as MatMulFew; `tiles` as AssignPlaces fills them in for
// this step.
void MatMulExperts(std::span<const ExpertProduct> products, const BF16Rows& x,
                   const ExpertTile* tiles, const ExpertStep& step, Stream stream);

// --- dequantize.cu ---

// A packed matrix as rows of BF16, out_stride values apart (a multiple of 8), each value rounded
// once: for products with many tokens. Columns after the matrix's are left as they are. A part of
// the matrix is packed rows from a multiple of 16 on.
void DequantizeToBF16(const PackedWeight& weight, void* out, size_t out_stride, Stream stream);

// --- random.cu ---

// Whether FillRandom makes such a matrix: rows and columns are whole tiles and chunks
// (weight_layout.h), and codes are no places in a table.
bool CanFillRandom(const RandomMatrix& matrix);
// A packed matrix of random weights, each a function of the seed and its place. REQUIRES:
// CanFillRandom.
void FillRandom(const RandomMatrix& matrix, Stream stream);

// --- embed.cu ---

// out[i] = row tokens[i] of the packed table (weight_layout.h), [count][columns]. A token without a
// row gives NaN.
void Embed(const PackedWeight& table, const TokenId* tokens, uint32_t count, float* out,
           Stream stream);

// --- kv_copy.cu ---

// Copies between arenas of equal blocks. Memory of either side may be the device's, or the host's
// where it is pinned and has the same address on the device.
struct KvCopies {
  const BlockCopy* copies = nullptr;  // [count]; no target is another copy's source or target
  const std::byte* source = nullptr;  // block i at i * block_bytes
  std::byte* target = nullptr;        // likewise
  size_t block_bytes = 0;             // a multiple of 16
};
// With at most so many blocks of 256 threads: what runs beside keeps the others.
void CopyBlocks(const KvCopies& copies, uint32_t count, uint32_t thread_blocks, Stream stream);

// --- rope.cu ---

// Rotates pairs of each head in place (kernels/ops.h, RopeView); tables and positions on the
// device.
struct Rotation {
  float* x = nullptr;                   // [tokens] rows of `heads` heads, `stride` floats apart
  size_t stride = 0;                    // >= heads * head_dim
  const uint32_t* positions = nullptr;  // [tokens], each below the tables' length
  const float* cosine = nullptr;        // [context_tokens][rope_dim / 2]
  const float* sine = nullptr;          // [context_tokens][rope_dim / 2]
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t rope_dim = 0;     // the first rope_dim values of each head are rotated
  bool interleaved = false;  // pairs (2i, 2i + 1), else (i, i + rope_dim / 2)
};
void Rope(const Rotation& rotation, uint32_t tokens, Stream stream);

// --- activation.cu ---

enum class Activation {
  kSilu,      // x * sigmoid(x)
  kGeluTanh,  // Hendrycks and Gimpel 2016, the approximation by tanh
  kRelu,
  kClampedSwiglu,  // x * sigmoid(alpha x) with x <= limit; `up` is within limit of zero, and plus 1
};

// out[i] = activation(gate[i]) * up[i]; without `up`, which only kClampedSwiglu needs,
// activation(gate[i]).
struct Gated {
  const float* gate = nullptr;    // [count]
  const float* up = nullptr;      // [count], or null
  void* out = nullptr;            // [count]; may be `gate` or `up` if it is float
  DType out_dtype = DType::kF32;  // kF32, or kBF16 for the tensor cores
  float alpha = 1;                // only of kClampedSwiglu, as limit
  float limit = 0;
};
void Activate(Activation activation, const Gated& gated, size_t count, Stream stream);

// x[i] += added[i].
void AddTo(float* x, const float* added, size_t count, Stream stream);
// x[t][i] += bias[i]; tokens are stride floats apart.
void AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x, size_t stride,
             Stream stream);
// x[i] *= factor.
void Scale(float factor, size_t count, float* x, Stream stream);
// x[i] = cap tanh(x[i] / cap).
void SoftCap(float cap, size_t count, float* x, Stream stream);

// --- sample.cu ---

// kernels/sampling.h says what rows ask for.
struct SampleCall {
  const float* logits = nullptr;  // [rows] of vocabulary, logits_stride floats apart
  size_t logits_stride = 0;
  uint32_t vocabulary = 0;
  const SampleRow* rows = nullptr;    // [rows]
  const TokenId* recent = nullptr;    // of all rows; each below vocabulary
  const TokenBias* biases = nullptr;  // of all rows; each below vocabulary
  float* adjusted = nullptr;          // [rows][vocabulary], scratch
  RowSample* results = nullptr;       // [rows]
  RowSample* top = nullptr;           // of all rows
};
// NaN counts as minus infinity; of equal logits the smallest id is best.
void Sample(const SampleCall& call, uint32_t rows, Stream stream);

// target[picks[i].target] = samples[picks[i].sample].token.
void PickTokens(const TokenPick* picks, uint32_t count, const RowSample* samples, TokenId* target,
                Stream stream);

// --- kv_write.cu ---

// Rounds the keys and values of the slices' tokens to the cache's type and stores them
// (kernels/paged_kv.h). REQUIRES: the type is a float; block_tokens is a multiple of 16, head_dim
// of 4; rows at multiples of 16 bytes.
struct KvWrite {
  const float* key = nullptr;    // [tokens] rows of [kv_heads][head_dim], `stride` floats apart
  const float* value = nullptr;  // likewise
  size_t stride = 0;
  const AttentionSlice* slices = nullptr;  // with block tables on the device
  const KvRun* runs = nullptr;             // [run_count], AttentionPlan::runs
  uint32_t run_count = 0;
  PagedKv cache;
};
void WriteKv(const KvWrite& write, Stream stream);

// --- attention.cu, attention_few.cu, attention_many.cu ---

inline constexpr uint32_t kAttentionHeadDims[] = {32, 64, 80, 96, 128, 256};
// Types of the cache.
constexpr bool AttentionHas(DType dtype) { return dtype != DType::kF32 && IsKvDType(dtype); }

// Causal grouped-query attention over the paged cache (kernels/ops.h, Attention), for the tasks of
// one AttentionPlan. Queries and softmax weights are rounded to the cache's type, or to F16 where
// the cache is of bytes. A token's output depends on no other token of the call, on no cut of its
// sequence into slices and not on the plan. REQUIRES: AttentionHas the cache's type, block_tokens a
// multiple of 16, rows at multiples of 16 bytes. What is stored is finite.
struct PagedAttention {
  const float* query = nullptr;  // [tokens][heads][head_dim], rows `query_stride` floats apart
  size_t query_stride = 0;
  const AttentionSlice* slices = nullptr;  // with block tables on the device
  const AttentionTask* few = nullptr;      // AttentionPlan::few, many and merges on the device
  const AttentionTask* many = nullptr;
  const AttentionMerge* merges = nullptr;
  uint32_t few_tasks = 0;
  uint32_t many_tasks = 0;
  uint32_t merge_count = 0;
  uint32_t heads = 0;
  PagedKv cache;
  // As AttentionRules has them.
  float scale = 1;
  float soft_cap = 0;
  uint32_t window_tokens = 0;
  const float* sinks = nullptr;  // [heads], or null
  float* states = nullptr;       // AttentionStateBytes of state_rows; null without merges
  uint32_t state_rows = 0;       // at least the plan's
  void* out = nullptr;           // [tokens][heads][head_dim], rows `out_stride` values apart
  size_t out_stride = 0;
  DType out_dtype = DType::kF32;  // kF32, or kBF16 for the tensor cores
};
void Attend(const PagedAttention& attention, Stream stream);

}  // namespace infercept::cuda
