#include "model/quantizing_source.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/dequantize.h"
#include "kernels/quantize.h"

namespace infercept {
namespace {

// Bytes of the source between two calls of Forget: many rows for each thread, and nothing beside
// the size of a model.
constexpr size_t kPieceBytes = size_t{8} << 20;

class QuantizingSource final : public TensorSource {
 public:
  QuantizingSource(std::unique_ptr<TensorSource> source, ThreadPool& pool)
      : source_(std::move(source)), pool_(pool) {}

  void Add(const TensorSpec& original) { originals_.emplace(original.name, original); }

  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    const auto original = originals_.find(tensor.name);
    if (original == originals_.end()) return source_->Read(tensor);
    Arena& target = quantized_[tensor.name];
    if (target.size() == 0) {
      Result<Arena> arena = Arena::Create(tensor.byte_length, "the quantized " + tensor.name);
      if (!arena.ok()) return arena.status();
      target = std::move(arena).Take();
      if (Status status = Quantize(original->second, tensor.dtype, target.data()); !status.ok()) {
        return status;
      }
    }
    return std::span<const std::byte>(target.data(), target.size());
  }

  void Forget(std::span<const std::byte> bytes) override {
    for (const auto& [name, arena] : quantized_) {
      const bool inside =
          bytes.data() >= arena.data() && bytes.data() < arena.data() + arena.size();
      // Rows of the embedding are looked up as long as the model lives.
      if (inside && name != "embedding") WeightFiles::Forget(bytes);
      if (inside) return;
    }
    source_->Forget(bytes);
  }

 private:
  Status Quantize(const TensorSpec& from, DType to, std::byte* target) {
    const Result<std::span<const std::byte>> bytes = source_->Read(from);
    if (!bytes.ok()) return bytes.status();
    const size_t row_bytes = RowBytes(from.dtype, from.columns);
    const auto piece_rows = static_cast<uint32_t>(std::max<size_t>(1, kPieceBytes / row_bytes));
    rows_.resize(size_t{pool_.threads()} * from.columns);
    for (uint32_t row = 0; row < from.rows; row += piece_rows) {
      const uint32_t rows = std::min(piece_rows, from.rows - row);
      const std::span piece = bytes.value().subspan(row * row_bytes, rows * row_bytes);
      QuantizePiece({from.dtype, piece.data(), rows, from.columns}, to,
                    target + row * RowBytes(to, from.columns));
      source_->Forget(piece);
    }
    return Status();
  }

  void QuantizePiece(const WeightView& piece, DType to, std::byte* target) {
    const size_t target_row_bytes = RowBytes(to, piece.columns);
    pool_.ParallelFor(piece.rows, 1, [&](uint32_t begin, uint32_t end, uint32_t thread) {
      float* values = rows_.data() + size_t{thread} * piece.columns;
      for (uint32_t row = begin; row < end; ++row) {
        DequantizeRow(piece.dtype, RowOf(piece, row), piece.columns, values);
        QuantizeRow(to, values, piece.columns, target + row * target_row_bytes);
      }
    });
  }

  std::unique_ptr<TensorSource> source_;
  ThreadPool& pool_;
  std::map<std::string, TensorSpec> originals_;  // of tensors that are quantized
  std::map<std::string, Arena> quantized_;       // those that have been read
  std::vector<float> rows_;                      // [threads][columns]
};

}  // namespace

DType QuantizedDType(const TensorSpec& tensor, DType wanted) {
  // A router is a small part of a model, and a little less precise it would choose others.
  const bool is_router = tensor.name.ends_with(".router");
  if (tensor.rows == 1 || is_router || IsQuantized(tensor.dtype)) return tensor.dtype;
  for (const DType dtype : {wanted, DType::kQ8_0}) {
    if (tensor.columns % BlockValues(dtype) == 0) return dtype;
  }
  return tensor.dtype;
}

std::unique_ptr<TensorSource> QuantizeTensors(std::unique_ptr<TensorSource> source, DType wanted,
                                              ThreadPool& pool, ModelSpec& spec) {
  auto quantizing = std::make_unique<QuantizingSource>(std::move(source), pool);
  for (TensorSpec& tensor : spec.tensors) {
    const DType dtype = QuantizedDType(tensor, wanted);
    if (dtype == tensor.dtype) continue;
    quantizing->Add(tensor);
    tensor.dtype = dtype;
    tensor.byte_length = RowBytes(dtype, tensor.columns) * uint64_t{tensor.rows};
  }
  return quantizing;
}

}  // namespace infercept
