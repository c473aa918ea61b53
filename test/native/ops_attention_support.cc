#include "ops_attention_support.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "test.h"

namespace infercept::test {
namespace {

size_t Stride(const AttentionShape& shape) {
  // Keys and values of other layers lie between: here one row of padding.
  return (size_t{shape.kv_heads} * shape.block_tokens + 1) * RowBytes(shape.dtype, shape.head_dim);
}

uint32_t CountBlocks(const AttentionShape& shape, const std::vector<SequenceInput>& sequences) {
  uint32_t blocks = 0;
  for (const SequenceInput& sequence : sequences) {
    blocks += DivCeil(sequence.tokens, shape.block_tokens);
  }
  return blocks;
}

void Append(std::vector<float>& target, const std::vector<float>& source, const Piece& piece,
            size_t width) {
  const auto begin = source.begin() + static_cast<ptrdiff_t>(piece.first * width);
  target.insert(target.end(), begin, begin + static_cast<ptrdiff_t>(piece.rows * width));
}

}  // namespace

std::vector<BlockId> AttentionShape::Spread(std::span<const BlockId> blocks) const {
  std::vector<BlockId> table(blocks.size() * groups, kNoBlock);
  for (size_t i = 0; i < blocks.size(); ++i) table[i * groups + group()] = blocks[i];
  return table;
}

SequenceInput MakeSequence(Random& random, const AttentionShape& shape, uint32_t tokens) {
  return {tokens, random.Activations(tokens * shape.query_width()),
          random.Activations(tokens * shape.kv_width()),
          random.Activations(tokens * shape.kv_width())};
}

PagedSequences::PagedSequences(Random& random, const AttentionShape& shape,
                               std::vector<SequenceInput> sequences)
    : shape_(shape),
      sequences_(std::move(sequences)),
      block_stride_(Stride(shape)),
      keys_(CountBlocks(shape, sequences_) * block_stride_),
      values_(CountBlocks(shape, sequences_) * block_stride_) {
  std::memset(keys_.span().data(), 0xFF, keys_.span().size());
  std::memset(values_.span().data(), 0xFF, values_.span().size());
  std::vector<BlockId> free;
  for (uint32_t i = 0; i < CountBlocks(shape, sequences_); ++i) free.push_back(BlockId{i});
  for (size_t i = free.size(); i > 1; --i) {
    std::swap(free[i - 1], free[random.Below(static_cast<uint32_t>(i))]);
  }
  for (const SequenceInput& sequence : sequences_) {
    const size_t count = DivCeil(sequence.tokens, shape.block_tokens);
    tables_.push_back(shape.Spread(std::span(free).last(count)));
    free.resize(free.size() - count);
  }
}

PagedKv PagedSequences::cache() {
  return {shape_.dtype,    keys_.span().data(), values_.span().data(),
          block_stride_,   shape_.block_tokens, shape_.kv_heads,
          shape_.head_dim, shape_.groups,       shape_.group()};
}

void PagedSequences::Share(uint32_t tokens) {
  for (std::vector<BlockId>& table : tables_) {
    const size_t blocks =
        std::min<size_t>(tokens / shape_.block_tokens * shape_.groups, table.size());
    std::copy_n(tables_.front().begin(), blocks, table.begin());
  }
}

const std::vector<BlockId>& PagedSequences::Release(
    const AttentionSlice& slice, std::vector<std::vector<BlockId>>& tables) const {
  const uint32_t end =
      DivCeil(slice.first_position + slice.rows, shape_.block_tokens) * shape_.groups;
  std::vector<BlockId>& table = tables.emplace_back(slice.block_table, slice.block_table + end);
  const uint32_t seen = shape_.rules().FirstVisible(slice.first_position) / shape_.block_tokens;
  std::fill_n(table.begin(), std::min(seen * shape_.groups, end), kNoBlock);
  return table;
}

std::vector<float> PagedSequences::Step(const Ops& ops, std::span<const Piece> pieces,
                                        ThreadPool& pool) {
  std::vector<float> query;
  std::vector<float> key;
  std::vector<float> value;
  std::vector<AttentionSlice> slices;
  uint32_t rows = 0;
  for (const Piece& piece : pieces) {
    const SequenceInput& sequence = sequences_[piece.sequence];
    Append(query, sequence.query, piece, shape_.query_width());
    Append(key, sequence.key, piece, shape_.kv_width());
    Append(value, sequence.value, piece, shape_.kv_width());
    slices.push_back({rows, piece.rows, piece.first, tables_[piece.sequence].data()});
    rows += piece.rows;
  }
  std::vector<std::vector<BlockId>> tables;
  for (AttentionSlice& slice : slices) slice.block_table = Release(slice, tables).data();
  ops.WriteKv(key.data(), value.data(), shape_.kv_width(), slices, cache());
  AlignedBytes scratch(ops.AttentionScratchBytes({.rows = rows,
                                                  .context_tokens = 4096,
                                                  .heads = shape_.heads,
                                                  .head_dim = shape_.head_dim,
                                                  .threads = pool.threads()}));
  std::vector<float> out(query.size());
  ops.Attention(query.data(), shape_.query_width(), slices, shape_.heads, cache(), shape_.rules(),
                out.data(), shape_.query_width(), scratch.span(), pool);
  return out;
}

std::vector<std::vector<float>> PagedSequences::Whole(const Ops& ops) {
  std::vector<std::vector<float>> outputs;
  for (uint32_t i = 0; i < sequences_.size(); ++i) {
    const Piece piece{i, 0, sequences_[i].tokens};
    outputs.push_back(Step(ops, {&piece, 1}));
  }
  return outputs;
}

std::string Describe(const Ops& ops, const AttentionShape& shape) {
  return std::string(ops.isa()) + " " + std::string(DTypeName(shape.dtype)) + " heads " +
         std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + " of " +
         std::to_string(shape.head_dim) + ", blocks of " + std::to_string(shape.block_tokens);
}

std::vector<AttentionShape> WithEachRule(const AttentionShape& plain,
                                         std::initializer_list<uint32_t> windows) {
  std::vector<AttentionShape> shapes;
  for (const uint32_t window : windows) {
    shapes.push_back(plain);
    shapes.back().window_tokens = window;
  }
  shapes.push_back(plain);
  shapes.back().soft_cap = 2;
  shapes.push_back(plain);
  shapes.back().sinks = {-3, 0.5, 4, 200};
  shapes.push_back(plain);
  shapes.back().window_tokens = 40;
  shapes.back().soft_cap = 5;
  shapes.back().sinks = {1, -200, 0, 6};
  shapes.push_back(plain);
  shapes.back().window_tokens = 300;
  shapes.back().groups = 3;
  return shapes;
}

}  // namespace infercept::test
