#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include <utility>

namespace infercept::cuda {
namespace {

// Values of enumerations in cublasLt.h, cublas_api.h and library_types.h.
constexpr int kComputeInFloat = 68;     // CUBLAS_COMPUTE_32F
constexpr int kFloat = 0;               // CUDA_R_32F
constexpr int kBrainFloat = 14;         // CUDA_R_16BF
constexpr int kTransposeA = 3;          // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int32_t kTranspose = 1;       // CUBLAS_OP_T
constexpr int kPreferredWorkspace = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
constexpr size_t kPlansMax = 1024;      // shapes of prefills vary; then all are chosen anew

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, CublasLtFunctions& f) {
  return Find(library, "cublasLtGetVersion", f.get_version) &&
         Find(library, "cublasLtCreate", f.create) && Find(library, "cublasLtDestroy", f.destroy) &&
         Find(library, "cublasLtMatmulDescCreate", f.create_operation) &&
         Find(library, "cublasLtMatmulDescDestroy", f.destroy_operation) &&
         Find(library, "cublasLtMatmulDescSetAttribute", f.set_operation) &&
         Find(library, "cublasLtMatrixLayoutCreate", f.create_layout) &&
         Find(library, "cublasLtMatrixLayoutDestroy", f.destroy_layout) &&
         Find(library, "cublasLtMatmulPreferenceCreate", f.create_preference) &&
         Find(library, "cublasLtMatmulPreferenceDestroy", f.destroy_preference) &&
         Find(library, "cublasLtMatmulPreferenceSetAttribute", f.set_preference) &&
         Find(library, "cublasLtMatmulAlgoGetHeuristic", f.choose) &&
         Find(library, "cublasLtMatmul", f.multiply);
}

}  // namespace

std::optional<CublasLtFunctions> FindCublasLt(std::span<const char* const> names) {
  for (const char* name : names) {
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    CublasLtFunctions functions = {};
    if (FindAll(library, functions)) return functions;
    dlclose(library);
  }
  return std::nullopt;
}

std::string DescribeCublasLt(const CublasLtFunctions& functions) {
  const size_t version = functions.get_version();
  return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
         "." + std::to_string(version % 100);
}

std::unique_ptr<CublasLt> CublasLt::Create(const CublasLtFunctions& f) {
  void* made = nullptr;
  if (f.create(&made) != 0) return nullptr;
  Object handle(made, f.destroy);
  if (f.create_operation(&made, kComputeInFloat, kFloat) != 0) return nullptr;
  Object operation(made, f.destroy_operation);
  if (f.create_preference(&made) != 0) return nullptr;
  Object preference(made, f.destroy_preference);
  const uint64_t bytes = kWorkspaceBytes;
  if (f.set_operation(operation.get(), kTransposeA, &kTranspose, sizeof(kTranspose)) != 0 ||
      f.set_preference(preference.get(), kPreferredWorkspace, &bytes, sizeof(bytes)) != 0) {
    return nullptr;
  }
  return std::unique_ptr<CublasLt>(
      new CublasLt(f, std::move(handle), std::move(operation), std::move(preference)));
}

CublasLt::CublasLt(const CublasLtFunctions& functions, Object handle, Object operation,
                   Object preference)
    : functions_(functions),
      handle_(std::move(handle)),
      operation_(std::move(operation)),
      preference_(std::move(preference)) {}

CublasLt::~CublasLt() = default;

// Null if the library refuses it.
CublasLt::Object CublasLt::Layout(int type, uint32_t rows, uint32_t columns, size_t stride) const {
  void* layout = nullptr;
  if (functions_.create_layout(&layout, type, rows, columns, static_cast<int64_t>(stride)) != 0) {
    layout = nullptr;
  }
  return Object(layout, functions_.destroy_layout);
}

// The library's matrices are column-major: a row of ours is a column of its. So weights are its A,
// transposed, inputs its B, outputs its D.
CublasLt::Plan CublasLt::MakePlan(const BF16Product& product) const {
  Plan plan = {.weights = Layout(kBrainFloat, product.columns, product.rows, product.weight_stride),
               .x = Layout(kBrainFloat, product.columns, product.tokens, product.x_stride),
               .out = Layout(kFloat, product.rows, product.tokens, product.out_stride),
               .algorithm = {},
               .found = false};
  if (plan.weights == nullptr || plan.x == nullptr || plan.out == nullptr) return plan;
  CublasLtChoice choice = {};
  int found = 0;
  const int status =
      functions_.choose(handle_.get(), operation_.get(), plan.weights.get(), plan.x.get(),
                        plan.out.get(), plan.out.get(), preference_.get(), 1, &choice, &found);
  plan.algorithm = choice.algorithm;
  plan.found =
      status == 0 && found > 0 && choice.status == 0 && choice.workspace_bytes <= kWorkspaceBytes;
  return plan;
}

bool CublasLt::Multiply(const BF16Product& product, void* workspace, Stream stream) {
  if (plans_.size() >= kPlansMax) plans_.clear();
  const Shape shape(product.rows, product.columns, product.tokens, product.weight_stride,
                    product.x_stride, product.out_stride);
  auto place = plans_.find(shape);
  if (place == plans_.end()) place = plans_.emplace(shape, MakePlan(product)).first;
  const Plan& plan = place->second;
  if (!plan.found) return false;
  const float one = 1;
  const float zero = 0;
  return functions_.multiply(handle_.get(), operation_.get(), &one, product.weights,
                             plan.weights.get(), product.x, plan.x.get(), &zero, product.out,
                             plan.out.get(), product.out, plan.out.get(), &plan.algorithm,
                             workspace, kWorkspaceBytes, stream) == 0;
}

}  // namespace infercept::cuda
