// Where the bytes of tensors come from: a model's files, or a random generator for tests and
// benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/arena.h"
#include "io/weight_file.h"
#include "model/model_spec.h"

namespace infercept {

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // The bytes of one tensor; they live as long as the source.
  virtual Result<std::span<const std::byte>> Read(const TensorSpec& tensor) = 0;
  // These bytes were copied: they need no memory until somebody reads them again.
  virtual void Forget(std::span<const std::byte> bytes) = 0;
};

// kModelFormat when a file cannot be mapped.
Result<std::unique_ptr<TensorSource>> OpenFiles(const ModelSpec& spec);

// Fills every tensor of the spec (which must lie in file 0) with values that are a function of
// seed, name and shape: vectors near one, matrices with standard deviation 1 / sqrt(columns),
// quantized ones of random codes. kOutOfMemory.
Result<std::unique_ptr<TensorSource>> GenerateTensors(const ModelSpec& spec, uint64_t seed,
                                                      ThreadPool& pool);

}  // namespace infercept
