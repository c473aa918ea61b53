#include "model/tensor_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/rng.h"
#include "kernels/half.h"
#include "kernels/random_blocks.h"
#include "model/repacked_tensor.h"

namespace infercept {
namespace {

class FileSource final : public TensorSource {
 public:
  explicit FileSource(WeightFiles files) : files_(std::move(files)) {}
  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    if (!IsRepacked(tensor)) return files_.Window(tensor);
    Arena& target = repacked_[tensor.name];
    if (target.size() == 0) {
      Result<Arena> repacked = RepackTensor(tensor, files_);
      if (!repacked.ok()) return repacked.status();
      target = std::move(repacked).Take();
    }
    return std::span<const std::byte>(target.data(), target.size());
  }
  // What was repacked is gone then.
  void Forget(std::span<const std::byte> bytes) override { WeightFiles::Forget(bytes); }

 private:
  WeightFiles files_;
  std::map<std::string, Arena> repacked_;  // those that have been read
};

// FNV-1a, so that each tensor has a stream of its own.
uint64_t NameHash(std::string_view name) {
  uint64_t hash = 14695981039346656037u;
  for (char letter : name) hash = (hash ^ static_cast<uint8_t>(letter)) * 1099511628211u;
  return hash;
}

void StoreFloat(DType dtype, float value, std::byte* target) {
  const F16 f16 = ToF16(value);
  const BF16 bf16 = ToBF16(value);
  const void* stored = dtype == DType::kF32   ? static_cast<const void*>(&value)
                       : dtype == DType::kF16 ? static_cast<const void*>(&f16)
                                              : static_cast<const void*>(&bf16);
  std::memcpy(target, stored, BlockBytes(dtype));
}

void FillFloats(DType dtype, uint32_t count, float mean, float deviation, Rng& random,
                std::byte* target) {
  const float spread = std::sqrt(3.0f) * deviation;  // of uniform values
  for (uint32_t i = 0; i < count; ++i) {
    const float value = mean + spread * static_cast<float>(2 * random.Uniform() - 1);
    StoreFloat(dtype, value, target + i * BlockBytes(dtype));
  }
}

float MatrixDeviation(const TensorSpec& tensor) {
  return 1 / std::sqrt(static_cast<float>(tensor.columns));
}

void FillRow(const TensorSpec& tensor, Rng random, std::byte* target) {
  const DType dtype = tensor.dtype;
  const uint32_t columns = tensor.columns;
  const float deviation = MatrixDeviation(tensor);
  if (tensor.rows == 1) return FillFloats(dtype, columns, 1.0f, 0.06f, random, target);
  if (IsQuantized(dtype)) {
    return FillRandomBlocks(dtype, deviation, random, {target, RowBytes(dtype, columns)});
  }
  FillFloats(dtype, columns, 0.0f, deviation, random, target);
}

void Fill(const TensorSpec& tensor, uint64_t tensor_seed, std::byte* target, ThreadPool& pool) {
  const size_t row_bytes = RowBytes(tensor.dtype, tensor.columns);
  pool.ParallelFor(tensor.rows, 1, [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t row = begin; row < end; ++row) {
      // Drawn, because streams whose seeds are close would overlap.
      Rng random(Rng(tensor_seed + row).Next());
      FillRow(tensor, random, target + row * row_bytes);
    }
  });
}

// Makes tensors when they are read, and keeps them.
class RandomSource final : public TensorSource {
 public:
  RandomSource(uint64_t seed, RandomPlace place, ThreadPool& pool)
      : seed_(seed), place_(place), pool_(pool) {}

  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    Arena& made = made_[tensor.name];
    if (made.size() == 0) {
      Result<Arena> arena = Arena::Create(tensor.byte_length, "random weights");
      if (!arena.ok()) return arena.status();
      made = std::move(arena).Take();
      Fill(tensor, SeedOf(tensor), made.data(), pool_);
    }
    return std::span<const std::byte>(made.data(), tensor.byte_length);
  }
  void Forget(std::span<const std::byte>) override {}

  bool Make(const TensorSpec& tensor, std::byte* target, const Ops& ops) override {
    if (place_ == RandomPlace::kHost) return false;
    return ops.FillRandom({tensor.dtype, target, tensor.rows, tensor.columns,
                           MatrixDeviation(tensor), SeedOf(tensor)});
  }

 private:
  uint64_t SeedOf(const TensorSpec& tensor) const { return seed_ ^ NameHash(tensor.name); }

  const uint64_t seed_;
  const RandomPlace place_;
  ThreadPool& pool_;
  std::map<std::string, Arena> made_;  // those that have been read
};

}  // namespace

Result<std::unique_ptr<TensorSource>> OpenFiles(const ModelSpec& spec) {
  Result<WeightFiles> files = WeightFiles::Open(spec.files);
  if (!files.ok()) return files.status();
  return std::unique_ptr<TensorSource>(new FileSource(std::move(files).Take()));
}

std::unique_ptr<TensorSource> GenerateTensors(uint64_t seed, RandomPlace place, ThreadPool& pool) {
  return std::make_unique<RandomSource>(seed, place, pool);
}

}  // namespace infercept
