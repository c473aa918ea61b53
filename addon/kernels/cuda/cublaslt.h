// Products of BF16 matrices by cuBLASLt, NVIDIA's own library, on machines that have it. It is
// looked for at run time: nothing links it, and none of its headers is needed to build.
//
// How it cuts a product depends on the product's whole shape, so what a token gets may depend, in
// the last bits, on how many others are multiplied with it.
// Thread: whoever enqueues on the stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>

#include "kernels/cuda/stream.h"

namespace infercept::cuda {

// As the library lays them out.
struct CublasLtAlgorithm {
  uint64_t data[8];
};
struct CublasLtChoice {
  CublasLtAlgorithm algorithm;
  size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(CublasLtChoice) == 96);

// What is used of the library, versions 12 and 13. Results are statuses, 0 is success; objects of
// its own are pointers.
struct CublasLtFunctions {
  size_t (*get_version)();  // major * 10000 + minor * 100 + patch
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  int (*create_operation)(void** operation, int compute_type, int scale_type);
  int (*destroy_operation)(void* operation);
  int (*set_operation)(void* operation, int attribute, const void* value, size_t bytes);
  int (*create_layout)(void** layout, int type, uint64_t rows, uint64_t columns, int64_t stride);
  int (*destroy_layout)(void* layout);
  int (*create_preference)(void** preference);
  int (*destroy_preference)(void* preference);
  int (*set_preference)(void* preference, int attribute, const void* value, size_t bytes);
  int (*choose)(void* handle, void* operation, void* a, void* b, void* c, void* d, void* preference,
                int wanted, CublasLtChoice* choices, int* found);
  int (*multiply)(void* handle, void* operation, const void* alpha, const void* a, void* a_layout,
                  const void* b, void* b_layout, const void* beta, const void* c, void* c_layout,
                  void* d, void* d_layout, const CublasLtAlgorithm* algorithm, void* workspace,
                  size_t workspace_bytes, Stream stream);
};

inline constexpr const char* kCublasLtNames[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
// Of the first library that is there and has all of them. It stays loaded.
std::optional<CublasLtFunctions> FindCublasLt(
    std::span<const char* const> names = std::span(kCublasLtNames));
// "cuBLASLt 13.0.2".
std::string DescribeCublasLt(const CublasLtFunctions& functions);

// Row-major matrices: out[t][r] = sum over c of weights[r][c] * x[t][c], added up in float.
struct BF16Product {
  const void* weights = nullptr;  // [rows], weight_stride values apart
  size_t weight_stride = 0;
  const void* x = nullptr;  // [tokens], x_stride values apart
  size_t x_stride = 0;
  float* out = nullptr;  // [tokens], out_stride floats apart
  size_t out_stride = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t tokens = 0;
};

class CublasLt {
 public:
  // What NVIDIA recommends for Hopper.
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  // Null if it cannot be used. The handle is for the device that is in use.
  static std::unique_ptr<CublasLt> Create(const CublasLtFunctions& functions);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // False, and nothing is done, if the library has no way to do it. `workspace` is device memory of
  // kWorkspaceBytes.
  bool Multiply(const BF16Product& product, void* workspace, Stream stream);

 private:
  // One of the library's objects.
  using Object = std::unique_ptr<void, int (*)(void*)>;
  struct Plan {
    Object weights;
    Object x;
    Object out;
    CublasLtAlgorithm algorithm;
    bool found;
  };
  // Rows, columns, tokens, strides of weights, x and out.
  using Shape = std::tuple<uint32_t, uint32_t, uint32_t, size_t, size_t, size_t>;

  CublasLt(const CublasLtFunctions& functions, Object handle, Object operation, Object preference);
  Object Layout(int type, uint32_t rows, uint32_t columns, size_t stride) const;
  Plan MakePlan(const BF16Product& product) const;

  const CublasLtFunctions functions_;
  const Object handle_;
  const Object operation_;
  const Object preference_;
  std::map<Shape, Plan> plans_;  // choosing takes tens of microseconds
};

}  // namespace infercept::cuda
