// Where one tensor lies in a model's files: the C++ twin of TensorSpec in lib/model-spec.ts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace infercept {

struct ScalesPlace {
  uint32_t file = 0;
  uint64_t offset = 0;
};

struct TensorSpec {
  std::string name;  // canonical, e.g. "layers.0.attention.query"
  DType dtype = DType::kF32;
  uint32_t rows = 0;  // vectors have one row
  uint32_t columns = 0;
  uint32_t file = 0;         // index into ModelSpec::files
  uint64_t offset = 0;       // bytes from the start of the file
  uint64_t byte_length = 0;  // of the tensor, all of it in a row

  // What makes a tensor one that has to be repacked (model/repacked_tensor.h).

  // Row r is the file's row r * row_step from the offset on; of a vector, the element.
  uint32_t row_step = 1;
  // MXFP4 whose scales lie apart, row by row like the blocks.
  std::optional<ScalesPlace> scales = std::nullopt;
};

}  // namespace infercept
