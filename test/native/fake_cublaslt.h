// cuBLASLt's functions over a library of our own, which multiplies column-major BF16 matrices in
// double and checks how it is asked. Emulation only: its memory is the host's.
#pragma once

#include "kernels/cuda/cublaslt.h"

namespace infercept::test {

// The library's state: its functions are plain ones.
struct FakeCublasLt {
  int objects = 0;  // alive
  int choices = 0;
  int products = 0;
  bool knows_a_way = true;
  bool transposes_a = false;
  size_t workspace_bytes = 0;
};
extern FakeCublasLt fake_cublaslt;

cuda::CublasLtFunctions FakeCublasLtFunctions();

}  // namespace infercept::test
