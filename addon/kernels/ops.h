// The mathematics of a step: one Ops object per instruction set (ISA), same results up to rounding.
//
// Rule 1. Batch invariance: what an op computes for one token is bit-identical whatever other
//         tokens are in the call and however a prefill was cut into chunks. So the order of every
//         accumulation depends on shapes of weights and on the token's own position only, never
//         on the number of tokens, rows or threads.
// Rule 2. No allocation: scratch memory comes from the caller (ScratchBytes) or the stack.
// Rule 3. Shapes are checked on entry with IC_CHECK; bodies trust them.
//
// All activations are float, row-major, [tokens][width]. Ops without a ThreadPool run on the
// calling thread: a caller with many tokens splits them itself. Bodies never throw.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/sampling.h"
#include "kernels/tensor_view.h"

namespace infercept {

// Rotary embedding (RoFormer, Su et al. 2021, eq. 15) of one model; the table is made once at load.
struct RopeView {
  const float* cosine = nullptr;  // [context_tokens][rope_dim / 2]
  const float* sine = nullptr;    // [context_tokens][rope_dim / 2]
  uint32_t rope_dim = 0;          // the first rope_dim values of each head are rotated
  // Pairs (2i, 2i+1), as in GGUF's Llama; else (i, i + rope_dim/2), as in Hugging Face's.
  bool interleaved = false;
};

// One matrix of a MatMul, and where its outputs go.
struct MatMulProduct {
  PackedWeight weight;
  float* out = nullptr;   // [tokens][weight.rows]
  size_t out_stride = 0;  // floats from one token's outputs to the next one's, >= weight.rows
};

// The largest Attention call that scratch is made for.
struct AttentionLimits {
  uint32_t rows = 0;  // of all slices
  uint32_t context_tokens = 0;
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t threads = 0;
};

// Of one MatMul: a layer's queries, keys and values are three.
inline constexpr size_t kMatMulProductsMax = 4;

// residual += added; then, per token, out = norm(residual).
struct ResidualNorm {
  const float* added = nullptr;   // [tokens][width]
  float* residual = nullptr;      // [tokens][width]
  const float* weight = nullptr;  // [width]
  float epsilon = 0;
  float* out = nullptr;         // [tokens][width]; may be `added`
  const float* bias = nullptr;  // [width], only for AddLayerNorm
};

// Vectors to be normalized in place: `vectors` of `width` values per token, one behind the other;
// tokens are stride floats apart.
struct VectorNorm {
  float* x = nullptr;
  size_t stride = 0;
  uint32_t vectors = 0;
  uint32_t width = 0;
  const float* weight = nullptr;  // [width]
  float epsilon = 0;
};

// What a score is, and which positions a query sees.
struct AttentionRules {
  float scale = 1;  // of the dot product of query and key, usually 1/sqrt(head_dim)
  // Scores become soft_cap tanh(score / soft_cap) (Gemma 2); 0: they stay as they are.
  float soft_cap = 0;
  // A query sees itself and the window_tokens - 1 positions before it; 0: all before it.
  // Blocks of which no query of a slice sees a position may be gone: kNoBlock in its table.
  uint32_t window_tokens = 0;
  // [heads]: each head's softmax has one more score, this one, that no value belongs to (gpt-oss);
  // nullptr: it has not.
  const float* sinks = nullptr;

  // The first position that a query at `position` sees.
  uint32_t FirstVisible(uint32_t position) const {
    return window_tokens == 0 || position < window_tokens ? 0 : position + 1 - window_tokens;
  }
};

// A choice of experts for each token.
struct ExpertChoice {
  const float* scores = nullptr;  // [tokens][experts]
  uint32_t experts = 0;
  uint32_t used = 0;           // at most experts
  bool normalized = true;      // the weights of those chosen sum to 1
  uint32_t* chosen = nullptr;  // [tokens][used], best first, of equal ones the first
  float* weights = nullptr;    // [tokens][used]
};

// Which rows each expert computes. A place is one choice of one token; those of an expert are side
// by side, in the order of tokens.
struct ExpertPlaces {
  uint32_t experts = 0;
  uint32_t used = 0;            // for each token
  uint32_t* chosen = nullptr;   // [tokens][used], as ChooseExperts fills it in
  uint32_t* rows = nullptr;     // [tokens * used] the token of each place
  uint32_t* places = nullptr;   // [tokens][used] the place of each choice
  std::byte* bounds = nullptr;  // [ExpertBoundsBytes] which places each expert has, for the ops
};

// A matrix, and what is added to its products: [weight.rows], or null.
struct BiasedMatrix {
  PackedWeight weight;
  const float* bias = nullptr;
};

// A matrix that every expert has, all of one shape, and where the products go: [places] rows as
// long as the matrix has rows.
struct ExpertProduct {
  std::span<const BiasedMatrix> experts;
  float* out = nullptr;
};

struct ExpertMatMul {
  std::span<const ExpertProduct> products;  // 1 to kMatMulProductsMax, with the same columns
  ExpertPlaces places;                      // of `tokens` tokens
  uint32_t tokens = 0;
  const float* x = nullptr;
  // The row of x that each place takes, below `tokens`; null: every place has its own.
  const uint32_t* rows = nullptr;
};

// out[t] = sum over i < used, in order, of weights[t][i] x[places[t][i]].
struct RowMix {
  const float* x = nullptr;          // [tokens * used][width]
  const uint32_t* places = nullptr;  // [tokens][used]
  const float* weights = nullptr;    // [tokens][used]
  uint32_t used = 0;
  uint32_t width = 0;
  float* out = nullptr;  // [tokens][width]
};

// gate' sigmoid(alpha gate') (up' + 1), with gate' = min(gate, limit) and up' = up within limit of
// zero (gpt-oss).
struct ClampedSwiglu {
  float alpha = 1;
  float limit = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;

  // "ref", "scalar", "avx2", "avxvnni", "avx512", "avx512bf16", "cuda".
  virtual std::string_view isa() const = 0;

  // Bytes that Pack writes for this matrix. 0: MatMul takes it as it lies in the file; only where
  // the ops compute on the host.
  virtual size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const = 0;
  // Rearranges a matrix for MatMul; both are memory of the host, wherever the ops compute.
  // REQUIRES: target.size() >= PackedBytes, 64-byte aligned.
  virtual void Pack(const WeightView& source, std::span<std::byte> target,
                    ThreadPool& pool) const = 0;
  // A matrix may be packed piece by piece: pieces of its rows, each but the last a multiple of
  // PackRows long, pack one behind the other to what the whole matrix packs to. Each is aligned as
  // Pack requires.
  virtual uint32_t PackRows(DType dtype) const = 0;

  // Fills a packed matrix where the ops compute, with what is a function of the seed alone. False:
  // not this one, or not these ops; whoever wants it packs it.
  virtual bool FillRandom(const RandomMatrix& /*matrix*/) const { return false; }

  // The arrays that the calls to come refer to, as a whole or in parts. They stay as they are until
  // the next Bind: ops that compute on another device bring them there. What such ops enqueue
  // depends on the numbers of rows and slices, on `context_tokens`, which no slice reaches beyond,
  // and on the form that this returns, and not on the content: it may be enqueued again with other
  // content (decode_graphs.h).
  virtual uint32_t Bind(std::span<const TokenId> /*tokens*/,
                        std::span<const uint32_t> /*positions*/,
                        std::span<const AttentionSlice> /*slices*/,
                        uint32_t /*context_tokens*/) const {
    return 0;
  }

  // Scratch that MatMul needs for `tokens` tokens of `columns` inputs, when all its matrices are of
  // this dtype; for matrices of several dtypes their sum is enough. Scratch is 64-byte aligned, for
  // every op.
  virtual size_t MatMulScratchBytes(DType dtype, uint32_t tokens, uint32_t columns) const = 0;
  // For every product: out[t][r] = sum over c of weight[r][c] * x[t][c]. Products that share their
  // inputs share the call: the inputs are prepared once, and the threads meet once. REQUIRES: at
  // most kMatMulProductsMax products, all with the same columns; their dtypes may differ.
  virtual void MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
                      std::span<std::byte> scratch, ThreadPool& pool) const = 0;
  void MatMul(const MatMulProduct& product, const float* x, uint32_t tokens,
              std::span<std::byte> scratch, ThreadPool& pool) const {
    MatMul(std::span(&product, 1), x, tokens, scratch, pool);
  }

  // Whether Embed takes a table as Pack writes it, else as it lies in the file.
  virtual bool embeds_packed() const { return false; }
  // out[i] = row tokens[i] of the table, dequantized.
  virtual void Embed(const WeightView& table, std::span<const TokenId> tokens,
                     float* out) const = 0;

  // Adds what a block computed to the residual stream, and normalizes it for the next block:
  // out = residual / sqrt(mean(residual^2) + epsilon) * weight (Zhang and Sennrich 2019, eq. 4).
  virtual void AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const = 0;
  // The same with out = (residual - mean) / sqrt(variance + epsilon) * weight + bias (Ba et al.
  // 2016).
  virtual void AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const = 0;
  // x = x / sqrt(mean(x^2) + epsilon) * weight, vector by vector.
  virtual void RmsNorm(const VectorNorm& norm, uint32_t tokens) const = 0;

  // x += bias, token by token; tokens are stride floats apart.
  virtual void AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
                       size_t stride) const = 0;
  // x += added.
  virtual void Add(const float* added, size_t count, float* x) const = 0;
  // x *= factor.
  virtual void Scale(float factor, size_t count, float* x) const = 0;
  // x = cap tanh(x / cap).
  virtual void SoftCap(float cap, size_t count, float* x) const = 0;

  // Rotates `heads` heads of head_dim per token in place; rows are stride floats apart.
  virtual void Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                    uint32_t head_dim, const RopeView& rope) const = 0;

  // out = silu(gate) * up, element by element.
  virtual void SiluMultiply(const float* gate, const float* up, size_t count, float* out) const = 0;
  // out = gelu(gate) * up, with gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  // (Hendrycks and Gimpel 2016).
  virtual void GeluMultiply(const float* gate, const float* up, size_t count, float* out) const = 0;
  // x = gelu(x), the same.
  virtual void Gelu(size_t count, float* x) const = 0;
  virtual void ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate,
                                     const float* up, size_t count, float* out) const = 0;

  // Weights are the softmax of all scores, of which only those of the chosen experts count (Shazeer
  // et al. 2017, eq. 3 to 5). This and all other ways of experts are here for memory of the host;
  // ops on a device have their own.
  virtual void ChooseExperts(const ExpertChoice& choice, uint32_t tokens) const;
  // Enough for any number of tokens up to this one.
  virtual size_t ExpertBoundsBytes(uint32_t tokens, uint32_t experts, uint32_t used) const;
  // Fills in all of `places` but what was chosen.
  virtual void AssignPlaces(const ExpertPlaces& places, uint32_t tokens) const;
  // Scratch that MatMulExperts needs besides what MatMul does for as many tokens.
  virtual size_t ExpertScratchBytes(uint32_t tokens, uint32_t used, uint32_t columns) const;
  // For every product and place: as MatMul, by the matrix of the place's expert, and its bias.
  virtual void MatMulExperts(const ExpertMatMul& call, std::span<std::byte> scratch,
                             ThreadPool& pool) const;
  virtual void MixRows(const RowMix& mix, uint32_t tokens) const;

  // Stores the keys and values of all slices' tokens into the cache. Rows of key/value are stride
  // floats apart, [kv_heads][head_dim] each.
  virtual void WriteKv(const float* key, const float* value, size_t stride,
                       std::span<const AttentionSlice> slices, const PagedKv& cache) const = 0;

  virtual size_t AttentionScratchBytes(const AttentionLimits& limits) const = 0;
  // Causal grouped-query attention with online softmax over the paged cache. query and out:
  // [tokens][heads][head_dim], rows query_stride and out_stride floats apart. Slices whose block
  // tables begin with the same ids read those blocks once.
  // With scratch for less than the call, whatever it is, InternalError.
  virtual void Attention(const float* query, size_t query_stride,
                         std::span<const AttentionSlice> slices, uint32_t heads,
                         const PagedKv& cache, const AttentionRules& rules, float* out,
                         size_t out_stride, std::span<std::byte> scratch,
                         ThreadPool& pool) const = 0;

  // Only ops that compute on another device have the following. Those of the host leave sampling to
  // model/sampler.h.

  // Chooses each row's token as model/sampler.h does. REQUIRES: vocabulary > 0.
  virtual void Sample(const SampleRows& rows, uint32_t vocabulary) const;
  // Where the tokens that Bind brought lie: work that is enqueued may change them there.
  virtual std::span<TokenId> BoundTokens() const;
  // Each pick's token goes to its place in `target`, which lies on the device.
  virtual void PickTokens(const TokenPicks& picks, std::span<TokenId> target) const;
};

// Every Ops object that runs on this machine, best first; "scalar" is always there. "ref" is not in
// the list.
std::vector<const Ops*> SupportedOps();

// The plain implementation in double accumulation: the truth for every test. Slow.
const Ops& ReferenceOps();

// By ISA name; nullptr when this machine cannot run it. Empty name: INFERCEPT_ISA if set, else the
// best.
const Ops* FindOps(std::string_view isa);

}  // namespace infercept
