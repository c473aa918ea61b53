// Quantizes matrices of floats while a model is loaded.
#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "model/tensor_source.h"

namespace infercept {

// What a tensor is stored as when matrices are to become `wanted`: vectors and what is quantized
// already stay; so do matrices whose rows are no whole number of blocks, unless they are of Q8_0's,
// which they then become.
DType QuantizedDType(const TensorSpec& tensor, DType wanted);

// A source of the same tensors with the dtypes above, which spec is changed to. A matrix is
// quantized when it is read, by rows on all threads; of the source beneath, no more than a few
// megabytes are needed at a time. Forgotten bytes are gone, but those of the embedding, which
// stays. `pool` outlives the source.
std::unique_ptr<TensorSource> QuantizeTensors(std::unique_ptr<TensorSource> source, DType wanted,
                                              ThreadPool& pool, ModelSpec& spec);

}  // namespace infercept
