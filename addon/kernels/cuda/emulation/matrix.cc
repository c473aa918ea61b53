#include "kernels/cuda/emulation/matrix.h"

#include "kernels/half.h"

namespace infercept::emulation {
namespace {

struct Fragments {
  uint32_t a[4];
  uint32_t b[2];
  float c[4];
};

float Low(uint32_t pair) { return ToFloat(static_cast<BF16>(pair & 0xFFFFu)); }
float High(uint32_t pair) { return ToFloat(static_cast<BF16>(pair >> 16)); }

void Multiply(uint32_t mask, const void* const* inputs, void* const* outputs) {
  if (mask != 0xFFFFFFFFu) Fail("a matrix instruction is for whole warps", Site::current());
  float a[16][16];
  float b[16][8];
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const auto& from = *static_cast<const Fragments*>(inputs[lane]);
    const uint32_t group = lane / 4;
    const uint32_t pair = lane % 4 * 2;
    for (uint32_t i = 0; i < 4; ++i) {
      a[group + i % 2 * 8][pair + i / 2 * 8] = Low(from.a[i]);
      a[group + i % 2 * 8][pair + i / 2 * 8 + 1] = High(from.a[i]);
    }
    for (uint32_t i = 0; i < 2; ++i) {
      b[pair + i * 8][group] = Low(from.b[i]);
      b[pair + i * 8 + 1][group] = High(from.b[i]);
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

}  // namespace

void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Site& site) {
  const Fragments fragments{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {c[0], c[1], c[2], c[3]}};
  Exchange(0xFFFFFFFFu, &Multiply, &fragments, c, site);
}

}  // namespace infercept::emulation
