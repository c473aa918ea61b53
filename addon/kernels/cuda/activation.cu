// Element by element: gated activations, additions, factors and caps.
//
// Roofline, per element: 8 bytes read, 4 (BF16: 2) written, about 10 operations of which one is an
// exponential: bound by memory. A thread has 4 values of each input in flight.
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;

template <Activation activation>
__device__ __forceinline__ float Apply(const Gated& gated, float x) {
  if constexpr (activation == Activation::kSilu) {
    return x * Sigmoid(x);
  } else if constexpr (activation == Activation::kClampedSwiglu) {
    x = fminf(x, gated.limit);
    return x * Sigmoid(gated.alpha * x);
  } else if constexpr (activation == Activation::kGeluTanh) {
    // 0.5 x (1 + tanh(y)) = x sigmoid(2y), y = sqrt(2 / pi) (x + 0.044715 x^3)
    return x * Sigmoid(1.5957691216f * (x + 0.044715f * x * x * x));
  } else {
    return x > 0 ? x : 0.0f;
  }
}

// What the gate's activation is multiplied with.
template <Activation activation>
__device__ __forceinline__ float Factor(const Gated& gated, float up) {
  if constexpr (activation == Activation::kClampedSwiglu) {
    return fmaxf(fminf(up, gated.limit), -gated.limit) + 1.0f;
  } else {
    return up;
  }
}

template <Activation activation, typename Out, uint32_t wide>
__global__ void __launch_bounds__(kThreads) ActivateKernel(Gated gated, size_t count) {
  using V = Vector<float, wide>;
  const size_t i = (size_t{blockIdx.x} * kThreads + threadIdx.x) * wide;
  if (i >= count) return;
  const V gate = LoadVector<V>(gated.gate + i);
  V up;
#pragma unroll
  for (uint32_t k = 0; k < wide; ++k) up[k] = 1.0f;
  if (gated.up != nullptr) up = LoadVector<V>(gated.up + i);
  Vector<Out, wide> out;
#pragma unroll
  for (uint32_t k = 0; k < wide; ++k) {
    out[k] = FromFloat<Out>(Apply<activation>(gated, gate[k]) * Factor<activation>(gated, up[k]));
  }
  StoreVector(static_cast<Out*>(gated.out) + i, out);
}

// What happens to elements in place.
struct AddArray {
  const float* added;

  template <uint32_t wide>
  __device__ __forceinline__ void Apply(size_t i, Vector<float, wide>& x) const {
    const auto more = LoadVector<Vector<float, wide>>(added + i);
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) x[k] += more[k];
  }
};
struct Multiply {
  float factor;

  template <uint32_t wide>
  __device__ __forceinline__ void Apply(size_t, Vector<float, wide>& x) const {
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) x[k] *= factor;
  }
};
struct Cap {
  float cap;

  template <uint32_t wide>
  __device__ __forceinline__ void Apply(size_t, Vector<float, wide>& x) const {
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) x[k] = cap * tanhf(x[k] / cap);
  }
};

template <typename Change, uint32_t wide>
__global__ void __launch_bounds__(kThreads) ChangeKernel(float* x, size_t count, Change change) {
  using V = Vector<float, wide>;
  const size_t i = (size_t{blockIdx.x} * kThreads + threadIdx.x) * wide;
  if (i >= count) return;
  V values = LoadVector<V>(x + i);
  change.Apply(i, values);
  StoreVector(x + i, values);
}

__global__ void __launch_bounds__(kThreads)
    AddBiasKernel(const float* bias, uint32_t width, float* x, size_t stride) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i < width) x[blockIdx.y * stride + i] += bias[i];
}

// One thread for each `wide` elements.
template <typename... Parameters>
void LaunchElements(void (*kernel)(Parameters...), uint32_t wide, size_t count, Stream stream,
                    std::type_identity_t<Parameters>... arguments) {
  const size_t blocks = DivCeil(count, size_t{kThreads} * wide);
  IC_CHECK(blocks <= kGridColumnsMax);
  Launch(kernel, dim3{static_cast<uint32_t>(blocks)}, dim3{kThreads}, 0, stream, arguments...);
}

template <Activation activation, typename Out>
void ActivateAs(const Gated& gated, size_t count, Stream stream) {
  if (count % 4 == 0 && AllAligned(gated.gate, gated.up, gated.out)) {
    LaunchElements(&ActivateKernel<activation, Out, 4>, 4, count, stream, gated, count);
  } else {
    LaunchElements(&ActivateKernel<activation, Out, 1>, 1, count, stream, gated, count);
  }
}

template <Activation activation>
void ActivateTo(const Gated& gated, size_t count, Stream stream) {
  if (gated.out_dtype == DType::kF32) return ActivateAs<activation, float>(gated, count, stream);
  ActivateAs<activation, BF16>(gated, count, stream);
}

template <typename Change>
void ChangeAll(float* x, size_t count, bool aligned, const Change& change, Stream stream) {
  if (count == 0) return;
  IC_CHECK(x != nullptr);
  if (aligned && count % 4 == 0 && AllAligned(x)) {
    LaunchElements(&ChangeKernel<Change, 4>, 4, count, stream, x, count, change);
  } else {
    LaunchElements(&ChangeKernel<Change, 1>, 1, count, stream, x, count, change);
  }
}

}  // namespace

void Activate(Activation activation, const Gated& gated, size_t count, Stream stream) {
  if (count == 0) return;
  IC_CHECK(gated.gate != nullptr && gated.out != nullptr);
  IC_CHECK(gated.out_dtype == DType::kF32 || gated.out_dtype == DType::kBF16);
  switch (activation) {
    case Activation::kSilu:
      return ActivateTo<Activation::kSilu>(gated, count, stream);
    case Activation::kGeluTanh:
      return ActivateTo<Activation::kGeluTanh>(gated, count, stream);
    case Activation::kRelu:
      return ActivateTo<Activation::kRelu>(gated, count, stream);
    case Activation::kClampedSwiglu:
      IC_CHECK(gated.up != nullptr);
      return ActivateTo<Activation::kClampedSwiglu>(gated, count, stream);
  }
}

void AddTo(float* x, const float* added, size_t count, Stream stream) {
  IC_CHECK(count == 0 || added != nullptr);
  ChangeAll(x, count, AllAligned(added), AddArray{added}, stream);
}

void Scale(float factor, size_t count, float* x, Stream stream) {
  ChangeAll(x, count, true, Multiply{factor}, stream);
}

void SoftCap(float cap, size_t count, float* x, Stream stream) {
  IC_CHECK(cap > 0);
  ChangeAll(x, count, true, Cap{cap}, stream);
}

void AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x, size_t stride,
             Stream stream) {
  IC_CHECK(stride >= width);
  if (width == 0 || tokens == 0) return;
  IC_CHECK(bias != nullptr && x != nullptr);
  for (uint32_t first = 0; first < tokens; first += kGridRowsMax) {
    const uint32_t rows = std::min(tokens - first, kGridRowsMax);
    Launch(&AddBiasKernel, dim3{DivCeil(width, kThreads), rows}, dim3{kThreads}, 0, stream, bias,
           width, x + first * stride, stride);
  }
}

}  // namespace infercept::cuda
