#include "model/weights.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "device/arena_writer.h"
#include "kernels/dequantize.h"
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
               const LoadProgress& progress, ThreadPool& pool, Device& device, Stream& stream)
      : h_(spec.hyperparameters),
        index_(spec),
        ops_(ops),
        progress_(progress),
        pool_(pool),
        device_(device),
        stream_(stream) {
    weights_.source = std::move(source);
  }

  Result<Weights> Load() {
    if (Status status = FindEmbedding(); !status.ok()) return status;
    if (Status status = FindOthers(); !status.ok()) return status;
    if (Status status = Reserve(); !status.ok()) return status;
    for (const Placement& placement : placements_) {
      if (Status status = Fill(placement); !status.ok()) return status;
    }
    if (Status status = MoveEmbedding(); !status.ok()) return status;
    Result<Arena> packed = writer_->Finish();
    if (!packed.ok()) return packed.status();
    weights_.packed = std::move(packed).Take();
    if (Status status = Report(); !status.ok()) return status;
    return std::move(weights_);
  }

 private:
  Status FindEmbedding() {
    const uint32_t vocabulary = h_.vocabulary_size;
    const Result<const TensorSpec*> embedding = index_.Find("embedding", vocabulary, h_.width);
    if (!embedding.ok()) return embedding.status();
    weights_.embedding = {embedding.value()->dtype, nullptr, vocabulary, h_.width};
    if (!ops_.embeds_packed()) {
      Result<std::span<const std::byte>> bytes = weights_.source->Read(*embedding.value());
      if (!bytes.ok()) return bytes.status();
      weights_.embedding.data = bytes.value().data();
      return Status();
    }
    if (h_.tied_embeddings) return Status();
    const TensorPlace place = {
        .name = "embedding", .rows = vocabulary, .columns = h_.width, .matrix = &packed_embedding_};
    placements_.push_back({embedding.value(), place});
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

  bool on_host() const { return device_.properties().is_host; }
  // Of the embedding as the file has it. The host reads it where it is mapped; no other device can.
  size_t EmbeddingBytes() const {
    if (on_host() || ops_.embeds_packed()) return 0;
    return weights_.embedding.rows * RowBytes(weights_.embedding.dtype, weights_.embedding.columns);
  }

  // Bytes that a tensor takes on the device.
  size_t StoredBytes(const Placement& placement) const {
    if (placement.to.matrix != nullptr) return PackedBytes(*placement.tensor);
    return on_host() ? 0 : placement.tensor->columns * sizeof(float);
  }

  Status Reserve() {
    size_t bytes = EmbeddingBytes();
    size_t piece_bytes = kPieceBytes;
    for (const Placement& placement : placements_) {
      total_bytes_ += placement.tensor->byte_length;
      bytes += Aligned(StoredBytes(placement));
      piece_bytes = std::max(piece_bytes, PieceBytes(placement));
    }
    if (Status status = CheckFits(bytes); !status.ok()) return status;
    Result<ArenaWriter> writer =
        ArenaWriter::Create(device_, stream_, bytes, piece_bytes, "packed weights");
    if (!writer.ok()) return writer.status();
    writer_.emplace(std::move(writer).Take());
    return Status();
  }

  // A host's memory is committed where it is touched; another device's is taken at once.
  Status CheckFits(size_t bytes) const {
    if (on_host()) return Status();
    const Result<MemoryInfo> memory = device_.Memory();
    if (!memory.ok()) return memory.status();
    if (bytes <= memory.value().free) return Status();
    return Status(StatusCode::kOutOfMemory,
                  "weights of " + std::to_string(bytes) + " bytes do not fit on " +
                      device_.properties().id + ", of whose " +
                      std::to_string(memory.value().total) + " bytes " +
                      std::to_string(memory.value().free) +
                      " are free. Quantize them to what fits, or use device: 'cpu'");
  }

  // Bytes that are prepared at a time.
  size_t PieceBytes(const Placement& placement) const {
    const TensorSpec& tensor = *placement.tensor;
    if (placement.to.matrix == nullptr) return StoredBytes(placement);
    const uint32_t rows =
        PieceRows(RowBytes(tensor.dtype, tensor.columns), ops_.PackRows(tensor.dtype));
    return ops_.PackedBytes(tensor.dtype, std::min(rows, tensor.rows), tensor.columns);
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
    if (placement.to.matrix != nullptr && !on_host() && Make(tensor, *placement.to.matrix)) {
      return Status();
    }
    const Result<std::span<const std::byte>> bytes = weights_.source->Read(tensor);
    if (!bytes.ok()) return bytes.status();
    const WeightView view = {tensor.dtype, bytes.value().data(), tensor.rows, tensor.columns};
    if (placement.to.vector != nullptr) {
      loaded_bytes_ += tensor.byte_length;
      return Place(Widen(view, placement.to.offset), *placement.to.vector);
    }
    *placement.to.matrix = {view.dtype, view.data, view.rows, view.columns};
    if (PackedBytes(tensor) != 0) return Pack(view, placement.to.matrix->data);
    IC_CHECK(on_host());
    loaded_bytes_ += tensor.byte_length;
    return Status();
  }

  // By the ops themselves, where the source lets them.
  bool Make(const TensorSpec& tensor, PackedWeight& matrix) {
    if (!weights_.source->Make(tensor, writer_->next(), ops_)) return false;
    matrix = {tensor.dtype, writer_->next(), tensor.rows, tensor.columns};
    writer_->Skip(PackedBytes(tensor));
    writer_->Align(kPackedAlignment);
    loaded_bytes_ += tensor.byte_length;
    return true;
  }

  // Piece by piece: memory for the whole matrix in both layouts at once is never needed.
  Status Pack(const WeightView& view, const std::byte*& packed) {
    packed = writer_->next();
    const size_t row_bytes = RowBytes(view.dtype, view.columns);
    const uint32_t piece_rows = PieceRows(row_bytes, ops_.PackRows(view.dtype));
    for (uint32_t row = 0; row < view.rows; row += piece_rows) {
      if (Status status = Report(); !status.ok()) return status;
      const uint32_t rows = std::min(piece_rows, view.rows - row);
      const WeightView piece = {view.dtype, view.data + row * row_bytes, rows, view.columns};
      if (Status status = PackPiece(piece, rows * row_bytes); !status.ok()) return status;
    }
    writer_->Align(kPackedAlignment);
    return Status();
  }

  Status PackPiece(const WeightView& piece, size_t bytes) {
    const Result<std::span<std::byte>> room =
        writer_->Stage(ops_.PackedBytes(piece.dtype, piece.rows, piece.columns));
    if (!room.ok()) return room.status();
    ops_.Pack(piece, room.value(), pool_);
    writer_->Send();
    weights_.source->Forget({piece.data, bytes});
    loaded_bytes_ += bytes;
    return Status();
  }

  // A vector of any dtype as floats.
  std::span<const float> Widen(const WeightView& view, float offset) {
    std::vector<float>& values = weights_.vectors.emplace_back(view.columns);
    DequantizeRow(view.dtype, view.data, view.columns, values.data());
    if (offset != 0) {
      for (float& value : values) value += offset;
    }
    return values;
  }

  // Where kernels find a vector: as it is, or on the device. The host reads the rotary factors.
  Status Place(std::span<const float> values, const float*& target) {
    target = values.data();
    if (on_host() || &target == &weights_.rope_factors) return Status();
    target = reinterpret_cast<const float*>(writer_->next());
    if (Status status = writer_->Write(std::as_bytes(values)); !status.ok()) return status;
    writer_->Align(kPackedAlignment);
    return Status();
  }

  Status MoveEmbedding() {
    if (ops_.embeds_packed()) {
      const PackedWeight& packed = h_.tied_embeddings ? weights_.output : packed_embedding_;
      weights_.embedding.data = packed.data;
    }
    if (EmbeddingBytes() == 0) return Status();
    const std::span source(weights_.embedding.data, EmbeddingBytes());
    weights_.embedding.data = writer_->next();
    return writer_->Write(source);
  }

  const Hyperparameters& h_;
  TensorIndex index_;
  const Ops& ops_;
  const LoadProgress& progress_;
  ThreadPool& pool_;
  Device& device_;
  Stream& stream_;

  Weights weights_;
  // Pointers into weights_, which does not move until it is done.
  std::vector<Placement> placements_;
  PackedWeight packed_embedding_;  // of ops that embed packed rows, unless it is the output's
  uint64_t total_bytes_ = 0;
  uint64_t loaded_bytes_ = 0;
  std::optional<ArenaWriter> writer_;  // of weights_.packed
};

}  // namespace

Result<Weights> LoadWeights(const ModelSpec& spec, std::unique_ptr<TensorSource> source,
                            const Ops& ops, const LoadProgress& progress, ThreadPool& pool,
                            Device& device, Stream& stream) {
  return WeightLoader(spec, std::move(source), ops, progress, pool, device, stream).Load();
}

}  // namespace infercept
