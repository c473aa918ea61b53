#include "model/weights.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "model/model_tensors.h"

namespace infercept {
namespace {

constexpr size_t kPackedAlignment = 64;  // ops.h, Pack

// Bytes that are packed between two reports, about: a few milliseconds of work, which is enough
// for many threads, and nothing beside the size of a model.
constexpr size_t kPieceBytes = size_t{8} << 20;

// A multiple of pack_rows.
uint32_t PieceRows(size_t row_bytes, uint32_t pack_rows) {
  const size_t multiples = std::max<size_t>(1, kPieceBytes / (row_bytes * pack_rows));
  return static_cast<uint32_t>(std::min<size_t>(multiples * pack_rows, UINT32_MAX));
}

// A tensor of the spec, and where it goes.
struct Placement {
  const TensorSpec* tensor = nullptr;
  TensorPlace to;
};

std::string ShapeText(uint32_t rows, uint32_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

// Finds tensors by name, with the shape that the table asks for.
class TensorIndex {
 public:
  explicit TensorIndex(const ModelSpec& spec) {
    for (const TensorSpec& tensor : spec.tensors) by_name_.emplace(tensor.name, &tensor);
  }

  size_t size() const { return by_name_.size(); }

  Result<const TensorSpec*> Find(const std::string& name, uint32_t rows, uint32_t columns) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) {
      return Status(StatusCode::kModelFormat, "tensor " + name + " is missing");
    }
    const TensorSpec& tensor = *found->second;
    if (tensor.rows != rows || tensor.columns != columns) {
      return Status(StatusCode::kModelFormat,
                    "tensor " + name + " is " + ShapeText(tensor.rows, tensor.columns) +
                        ", the hyperparameters ask for " + ShapeText(rows, columns));
    }
    return &tensor;
  }

 private:
  std::map<std::string, const TensorSpec*> by_name_;
};

// Plans where everything goes, then fills it in.
class WeightLoader {
 public:
  WeightLoader(const ModelSpec& spec, std::unique_ptr<TensorSource> source, const Ops& ops,
               const LoadProgress& progress, ThreadPool& pool)
      : h_(spec.hyperparameters), index_(spec), ops_(ops), progress_(progress), pool_(pool) {
    weights_.source = std::move(source);
  }

  Result<Weights> Load() {
    if (Status status = FindEmbedding(); !status.ok()) return status;
    if (Status status = FindOthers(); !status.ok()) return status;
    if (Status status = Reserve(); !status.ok()) return status;
    for (const Placement& placement : placements_) {
      if (Status status = Fill(placement); !status.ok()) return status;
    }
    if (Status status = Report(); !status.ok()) return status;
    return std::move(weights_);
  }

 private:
  Status FindEmbedding() {
    const uint32_t vocabulary = h_.vocabulary_size;
    const Result<const TensorSpec*> embedding = index_.Find("embedding", vocabulary, h_.width);
    if (!embedding.ok()) return embedding.status();
    Result<std::span<const std::byte>> bytes = weights_.source->Read(*embedding.value());
    if (!bytes.ok()) return bytes.status();
    weights_.embedding = {embedding.value()->dtype, bytes.value().data(), vocabulary, h_.width};
    return Status();
  }

  // A tensor that nothing needs would be one that the result lacks.
  Status FindOthers() {
    const std::vector<TensorPlace> places = PlaceTensors(h_, weights_);
    for (const TensorPlace& place : places) {
      const Result<const TensorSpec*> tensor = index_.Find(place.name, place.rows, place.columns);
      if (!tensor.ok()) return tensor.status();
      placements_.push_back({tensor.value(), place});
    }
    const size_t expected = places.size() + (h_.tied_embeddings ? 0 : 1);
    if (index_.size() == expected) return Status();
    return Status(StatusCode::kModelFormat, "the model has " + std::to_string(index_.size()) +
                                                " tensors, of which " + std::to_string(expected) +
                                                " are used");
  }

  static size_t Aligned(size_t bytes) {
    return DivCeil(bytes, kPackedAlignment) * kPackedAlignment;
  }

  size_t PackedBytes(const TensorSpec& tensor) const {
    return ops_.PackedBytes(tensor.dtype, tensor.rows, tensor.columns);
  }

  Status Reserve() {
    size_t bytes = 0;
    for (const Placement& placement : placements_) {
      total_bytes_ += placement.tensor->byte_length;
      if (placement.to.matrix != nullptr) bytes += Aligned(PackedBytes(*placement.tensor));
    }
    Result<Arena> arena = Arena::Create(bytes, "packed weights");
    if (!arena.ok()) return arena.status();
    weights_.packed = std::move(arena).Take();
    return Status();
  }

  // kAborted when whoever listens wants no more.
  Status Report() const {
    if (progress_ && !progress_(loaded_bytes_, total_bytes_)) {
      return Status(StatusCode::kAborted, "loading was cancelled after " +
                                              std::to_string(loaded_bytes_) + " of " +
                                              std::to_string(total_bytes_) + " bytes");
    }
    return Status();
  }

  Status Fill(const Placement& placement) {
    if (Status status = Report(); !status.ok()) return status;
    const TensorSpec& tensor = *placement.tensor;
    const Result<std::span<const std::byte>> bytes = weights_.source->Read(tensor);
    if (!bytes.ok()) return bytes.status();
    const WeightView view = {tensor.dtype, bytes.value().data(), tensor.rows, tensor.columns};
    if (placement.to.vector != nullptr) {
      *placement.to.vector = Widen(view, placement.to.offset);
      loaded_bytes_ += tensor.byte_length;
      return Status();
    }
    *placement.to.matrix = {view.dtype, view.data, view.rows, view.columns};
    if (PackedBytes(tensor) != 0) return Pack(view, placement.to.matrix->data);
    loaded_bytes_ += tensor.byte_length;
    return Status();
  }

  // Piece by piece: memory for the whole matrix in both layouts at once is never needed.
  Status Pack(const WeightView& view, const std::byte*& packed) {
    packed = weights_.packed.data() + packed_;
    const size_t row_bytes = RowBytes(view.dtype, view.columns);
    const uint32_t piece_rows = PieceRows(row_bytes, ops_.PackRows(view.dtype));
    for (uint32_t row = 0; row < view.rows; row += piece_rows) {
      if (Status status = Report(); !status.ok()) return status;
      const uint32_t rows = std::min(piece_rows, view.rows - row);
      PackPiece({view.dtype, view.data + row * row_bytes, rows, view.columns}, rows * row_bytes);
    }
    packed_ = Aligned(packed_);
    return Status();
  }

  void PackPiece(const WeightView& piece, size_t bytes) {
    const size_t packed_bytes = ops_.PackedBytes(piece.dtype, piece.rows, piece.columns);
    ops_.Pack(piece, {weights_.packed.data() + packed_, packed_bytes}, pool_);
    weights_.source->Forget({piece.data, bytes});
    packed_ += packed_bytes;
    loaded_bytes_ += bytes;
  }

  // A vector of any dtype as floats: it is a table with one row.
  const float* Widen(const WeightView& view, float offset) {
    std::vector<float>& values = weights_.vectors.emplace_back(view.columns);
    const TokenId row = 0;
    ops_.Embed(view, std::span(&row, 1), values.data());
    if (offset != 0) {
      for (float& value : values) value += offset;
    }
    return values.data();
  }

  const Hyperparameters& h_;
  TensorIndex index_;
  const Ops& ops_;
  const LoadProgress& progress_;
  ThreadPool& pool_;

  Weights weights_;
  // Pointers into weights_, which does not move until it is done.
  std::vector<Placement> placements_;
  uint64_t total_bytes_ = 0;
  uint64_t loaded_bytes_ = 0;
  size_t packed_ = 0;  // bytes of weights_.packed that are taken
};

}  // namespace

Result<Weights> LoadWeights(const ModelSpec& spec, std::unique_ptr<TensorSource> source,
                            const Ops& ops, const LoadProgress& progress, ThreadPool& pool) {
  return WeightLoader(spec, std::move(source), ops, progress, pool).Load();
}

}  // namespace infercept
