// The files of one model, and the window of each tensor in them. Trusts no number: every window
// lies inside its file and is as long as its shape says.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/mapped_file.h"
#include "io/tensor_spec.h"

namespace infercept {

class WeightFiles {
 public:
  static Result<WeightFiles> Open(std::span<const std::string> paths);

  // The bytes of one tensor: RowBytes(dtype, columns) * rows of them, aligned for its dtype.
  // kModelFormat: no such file, empty shape, wrong length, out of the file's bounds, misaligned.
  Result<std::span<const std::byte>> Window(const TensorSpec& tensor) const;

  // Some bytes of a file for a tensor that is not one window. kModelFormat: no such file, out of
  // its bounds.
  Result<std::span<const std::byte>> Bytes(const TensorSpec& tensor, uint32_t file, uint64_t offset,
                                           uint64_t length) const;

  // Tells the system that these bytes of a window need no memory any more (they were packed). Who
  // reads them all the same gets them from the file.
  static void Forget(std::span<const std::byte> window);

 private:
  explicit WeightFiles(std::vector<std::string> paths, std::vector<MappedFile> files)
      : paths_(std::move(paths)), files_(std::move(files)) {}

  std::vector<std::string> paths_;
  std::vector<MappedFile> files_;
};

}  // namespace infercept
