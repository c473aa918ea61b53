// Tensors that a file holds in another order than kernels take them: gpt-oss's own safetensors,
// where gates and ups alternate, and where blocks of MXFP4 and their scales are two tensors.
#pragma once

#include "base/status.h"
#include "device/arena.h"
#include "io/tensor_spec.h"
#include "io/weight_file.h"

namespace infercept {

bool IsRepacked(const TensorSpec& tensor);

// The tensor as GGUF has it: rows one after the other; in a block of MXFP4 the scale first, then
// elements i and i + 16 in a byte, where the file has 2i and 2i + 1. Forgets what it read.
// kModelFormat, kOutOfMemory.
Result<Arena> RepackTensor(const TensorSpec& tensor, const WeightFiles& files);

}  // namespace infercept
