#include "model/tensor_source.h"

#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/rng.h"
#include "kernels/half.h"

namespace infercept {
namespace {

class FileSource final : public TensorSource {
 public:
  explicit FileSource(WeightFiles files) : files_(std::move(files)) {}
  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    return files_.Window(tensor);
  }
  void Forget(std::span<const std::byte> bytes) override { WeightFiles::Forget(bytes); }

 private:
  WeightFiles files_;
};

class MemorySource final : public TensorSource {
 public:
  explicit MemorySource(Arena bytes) : bytes_(std::move(bytes)) {}
  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    return std::span<const std::byte>(bytes_.data() + tensor.offset, tensor.byte_length);
  }
  void Forget(std::span<const std::byte>) override {}

 private:
  Arena bytes_;
};

// FNV-1a, so that each tensor has a stream of its own.
uint64_t NameHash(std::string_view name) {
  uint64_t hash = 14695981039346656037u;
  for (char letter : name) hash = (hash ^ static_cast<uint8_t>(letter)) * 1099511628211u;
  return hash;
}

template <typename Value>
void Put(std::byte* target, size_t index, Value value) {
  std::memcpy(target + index * sizeof(Value), &value, sizeof(Value));
}

void FillFloats(const TensorSpec& tensor, float mean, float spread, Rng& random,
                std::byte* target) {
  const size_t count = size_t{tensor.rows} * tensor.columns;
  for (size_t i = 0; i < count; ++i) {
    const float value = mean + spread * static_cast<float>(2 * random.Uniform() - 1);
    if (tensor.dtype == DType::kF32) Put(target, i, value);
    if (tensor.dtype == DType::kF16) Put(target, i, ToF16(value));
    if (tensor.dtype == DType::kBF16) Put(target, i, ToBF16(value));
  }
}

void FillQ8(const TensorSpec& tensor, float spread, Rng& random, std::byte* target) {
  const size_t blocks = size_t{tensor.rows} * tensor.columns / kQ8BlockValues;
  for (size_t block = 0; block < blocks; ++block, target += kQ8BlockBytes) {
    Put(target, 0, ToF16(spread / 127));
    for (uint32_t i = 0; i < kQ8BlockValues; i += 8) {
      const uint64_t bits = random.Next();
      std::memcpy(target + 2 + i, &bits, 8);
    }
  }
}

void Fill(const TensorSpec& tensor, uint64_t seed, std::byte* target) {
  Rng random(seed ^ NameHash(tensor.name));
  if (tensor.rows == 1) return FillFloats(tensor, 1.0f, 0.1f, random, target);
  // The standard deviation of a uniform value is its spread / sqrt(3).
  const float spread = std::sqrt(3.0f / static_cast<float>(tensor.columns));
  if (tensor.dtype == DType::kQ8_0) return FillQ8(tensor, spread, random, target);
  FillFloats(tensor, 0.0f, spread, random, target);
}

}  // namespace

Result<std::unique_ptr<TensorSource>> OpenFiles(const ModelSpec& spec) {
  Result<WeightFiles> files = WeightFiles::Open(spec.files);
  if (!files.ok()) return files.status();
  return std::unique_ptr<TensorSource>(new FileSource(std::move(files).Take()));
}

Result<std::unique_ptr<TensorSource>> GenerateTensors(const ModelSpec& spec, uint64_t seed) {
  size_t bytes = 0;
  for (const TensorSpec& tensor : spec.tensors) bytes += tensor.byte_length;
  Result<Arena> arena = Arena::Create(bytes, "random weights");
  if (!arena.ok()) return arena.status();
  for (const TensorSpec& tensor : spec.tensors) {
    IC_CHECK(tensor.offset + tensor.byte_length <= bytes);
    Fill(tensor, seed, arena.value().data() + tensor.offset);
  }
  return std::unique_ptr<TensorSource>(new MemorySource(std::move(arena).Take()));
}

}  // namespace infercept
