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
#include "kernels/ops.h"
#include "model/model_spec.h"

namespace infercept {

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // The bytes of one tensor; they live as long as the source.
  virtual Result<std::span<const std::byte>> Read(const TensorSpec& tensor) = 0;
  // Lets the ops write the packed matrix where it will be, instead of Read and Pack. False: not
  // this one.
  virtual bool Make(const TensorSpec& /*tensor*/, std::byte* /*target*/, const Ops& /*ops*/) {
    return false;
  }
  // These bytes were copied: they need no memory until somebody reads them again.
  virtual void Forget(std::span<const std::byte> bytes) = 0;
};

// kModelFormat when a file cannot be mapped.
Result<std::unique_ptr<TensorSource>> OpenFiles(const ModelSpec& spec);

// Where random matrices are made.
enum class RandomPlace : uint8_t {
  kHost,    // the same on every device
  kDevice,  // where the ops can, in memory's time and with other values: for benchmarks
};

// Tensors whose values are a function of seed, name and shape: vectors near one, matrices with
// standard deviation 1 / sqrt(columns), quantized ones of random codes. They are made when they are
// read (kOutOfMemory), by the threads of `pool`: it outlives all reading.
std::unique_ptr<TensorSource> GenerateTensors(uint64_t seed, RandomPlace place, ThreadPool& pool);

}  // namespace infercept
