// The stream that a launcher puts its kernels into. This is the type that the CUDA runtime calls
// cudaStream_t and the driver CUstream, named without their headers. Emulated kernels run at once
// and look at no stream.
#pragma once

struct CUstream_st;

namespace infercept::cuda {

using Stream = CUstream_st*;

}  // namespace infercept::cuda
