#include "kernels/cuda/emulation/matrix.h"

#include <cstring>

#include "kernels/half.h"

namespace infercept::emulation {
namespace {

struct Fragments {
  uint32_t a[4];
  uint32_t b[2];
  float c[4];
};

template <typename T>
float Low(uint32_t pair) {
  return ToFloat(static_cast<T>(pair & 0xFFFFu));
}
template <typename T>
float High(uint32_t pair) {
  return ToFloat(static_cast<T>(pair >> 16));
}

template <typename T>
void Multiply(uint32_t mask, const void* const* inputs, void* const* outputs) {
  if (mask != 0xFFFFFFFFu) Fail("a matrix instruction is for whole warps", Site::current());
  float a[16][16];
  float b[16][8];
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const auto& from = *static_cast<const Fragments*>(inputs[lane]);
    const uint32_t group = lane / 4;
    const uint32_t pair = lane % 4 * 2;
    for (uint32_t i = 0; i < 4; ++i) {
      a[group + i % 2 * 8][pair + i / 2 * 8] = Low<T>(from.a[i]);
      a[group + i % 2 * 8][pair + i / 2 * 8 + 1] = High<T>(from.a[i]);
    }
    for (uint32_t i = 0; i < 2; ++i) {
      b[pair + i * 8][group] = Low<T>(from.b[i]);
      b[pair + i * 8 + 1][group] = High<T>(from.b[i]);
    }
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    float* c = static_cast<float*>(outputs[lane]);
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = lane / 4 + i / 2 * 8;
      const uint32_t column = lane % 4 * 2 + i % 2;
      float sum = static_cast<const Fragments*>(inputs[lane])->c[i];
      for (uint32_t k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      c[i] = sum;
    }
  }
}

void TransposeMatrices(uint32_t mask, const void* const* inputs, void* const* outputs) {
  if (mask != 0xFFFFFFFFu) Fail("a matrix load is for whole warps", Site::current());
  for (uint32_t i = 0; i < 4; ++i) {
    uint16_t matrix[8][8];
    for (uint32_t r = 0; r < 8; ++r) {
      std::memcpy(matrix[r], *static_cast<const void* const*>(inputs[8 * i + r]), 16);
    }
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const uint32_t row = lane % 4 * 2;
      const uint32_t column = lane / 4;
      static_cast<uint32_t*>(outputs[lane])[i] =
          matrix[row][column] | uint32_t{matrix[row + 1][column]} << 16;
    }
  }
}

template <typename T>
void MultiplyAddOf(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                   const Site& site) {
  const Fragments fragments{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {c[0], c[1], c[2], c[3]}};
  Exchange(0xFFFFFFFFu, &Multiply<T>, &fragments, c, site);
}

}  // namespace

void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Site& site) {
  MultiplyAddOf<BF16>(c, a, b, site);
}

void MultiplyAddF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    const Site& site) {
  MultiplyAddOf<F16>(c, a, b, site);
}

void LoadMatricesTransposed(uint32_t (&m)[4], const void* row, const Site& site) {
  Exchange(0xFFFFFFFFu, &TransposeMatrices, &row, m, site);
}

}  // namespace infercept::emulation
