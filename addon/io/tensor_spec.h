// Where one tensor lies in a model's files: the C++ twin of TensorSpec in lib/model-spec.ts.
#pragma once

#include <cstdint>
#include <string>

#include "base/dtype.h"

namespace infercept {

struct TensorSpec {
  std::string name;  // canonical, e.g. "layers.0.attention.query"
  DType dtype = DType::kF32;
  uint32_t rows = 0;  // vectors have one row
  uint32_t columns = 0;
  uint32_t file = 0;    // index into ModelSpec::files
  uint64_t offset = 0;  // bytes from the start of the file
  uint64_t byte_length = 0;
};

}  // namespace infercept
