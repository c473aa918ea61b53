// Rotary embedding in place, one thread per pair.
//
// Roofline, per rotated value: 4 bytes read, 4 written, 3 operations (the tables come from the
// caches, heads share them): bound by memory, in a decode step by latency.
#include "kernels/cuda/device/platform.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;

__global__ void __launch_bounds__(kThreads) RopeKernel(Rotation rotation, uint32_t first_token) {
  const uint32_t half = rotation.rope_dim / 2;
  const uint32_t pair = blockIdx.x * kThreads + threadIdx.x;
  if (pair >= rotation.heads * half) return;
  const uint32_t token = first_token + blockIdx.y;
  const uint32_t i = pair % half;
  float* head = rotation.x + token * rotation.stride + size_t{pair / half} * rotation.head_dim;
  const size_t angle = size_t{rotation.positions[token]} * half + i;
  const float cosine = rotation.cosine[angle];
  const float sine = rotation.sine[angle];
  float& a = head[rotation.interleaved ? 2 * i : i];
  float& b = head[rotation.interleaved ? 2 * i + 1 : i + half];
  const float before = a;
  a = before * cosine - b * sine;
  b = before * sine + b * cosine;
}

}  // namespace

void Rope(const Rotation& rotation, uint32_t tokens, Stream stream) {
  IC_CHECK(rotation.rope_dim <= rotation.head_dim && rotation.rope_dim % 2 == 0);
  IC_CHECK(rotation.stride >= size_t{rotation.heads} * rotation.head_dim);
  const uint32_t pairs = rotation.heads * (rotation.rope_dim / 2);
  if (pairs == 0 || tokens == 0) return;
  IC_CHECK(rotation.x != nullptr && rotation.positions != nullptr);
  IC_CHECK(rotation.cosine != nullptr && rotation.sine != nullptr);
  for (uint32_t first = 0; first < tokens; first += kGridRowsMax) {
    const uint32_t rows = std::min(tokens - first, kGridRowsMax);
    Launch(&RopeKernel, dim3{DivCeil(pairs, kThreads), rows}, dim3{kThreads}, 0, stream, rotation,
           first);
  }
}

}  // namespace infercept::cuda
