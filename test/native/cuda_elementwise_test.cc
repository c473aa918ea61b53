// Goal: the CUDA kernels that work row by row or element by element are right, whatever the width
// and the alignment. Method: in emulation, in every order of threads, against formulas in double.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "cuda_support.h"
#include "kernels/cuda/kernels.h"
#include "kernels/half.h"
#include "test.h"

namespace infercept::test {
namespace {

// One thread, one warp and a bit, several vectors per thread, odd tails.
constexpr uint32_t kWidths[] = {1, 4, 7, 64, 100, 257, 1028, 2049, 4096, 5000, 16384};

struct NormCase {
  uint32_t tokens;
  uint32_t width;
  bool layer_norm;
  bool adds;
  DType out_dtype;
};

struct Rows {
  std::vector<float> residual;
  std::vector<float> out;
  std::vector<double> tolerance;
};

// Also how far float arithmetic may be from it.
Rows ReferenceNorm(const NormCase& c, const std::vector<float>& added, std::vector<float> residual,
                   const std::vector<float>& weight, const std::vector<float>& bias) {
  Rows rows{std::move(residual), {}, {}};
  for (size_t t = 0; t < c.tokens; ++t) {
    float* row = rows.residual.data() + t * c.width;
    double sum = 0;
    for (size_t i = 0; i < c.width; ++i) {
      if (c.adds) row[i] += added[t * c.width + i];
      sum += double{row[i]};
    }
    const double mean = c.layer_norm ? sum / c.width : 0.0;
    double squares = 0;
    double largest = 0;
    for (size_t i = 0; i < c.width; ++i) {
      squares += (row[i] - mean) * (row[i] - mean);
      largest = std::max(largest, std::abs(double{row[i]}));
    }
    const double factor = 1.0 / std::sqrt(squares / c.width + 1e-5);
    for (size_t i = 0; i < c.width; ++i) {
      const double value = (row[i] - mean) * factor * weight[i] + double{bias[i]};
      rows.out.push_back(static_cast<float>(value));
      // Sums are trees over threads of at most 4 vectors each: 30 roundings at most, of the mean
      // relative to the largest value. BF16 has 8 bits.
      const double mean_error = c.layer_norm ? 30 * largest * kEpsilon * factor : 0.0;
      const double rounding = c.out_dtype == DType::kBF16 ? 0x1p-8 : 0.0;
      rows.tolerance.push_back(std::abs(value) * rounding + std::abs(double{bias[i]}) * kEpsilon +
                               (std::abs(value - double{bias[i]}) * 40 * kEpsilon +
                                mean_error * std::abs(double{weight[i]}) * 2));
    }
  }
  return rows;
}

std::vector<float> ReadNumbers(DType dtype, const DeviceArray<float>& array, size_t count) {
  std::vector<float> numbers = array.Read();
  if (dtype == DType::kF32) return numbers;
  std::vector<float> halves(count);
  const auto* from = reinterpret_cast<const BF16*>(numbers.data());
  std::transform(from, from + count, halves.begin(), [](BF16 half) { return ToFloat(half); });
  return halves;
}

void CheckNorm(Random& random, const NormCase& c, const std::string& what) {
  const size_t count = size_t{c.tokens} * c.width;
  const std::vector<float> added = random.Activations(count);
  const std::vector<float> x = random.Activations(count);
  const std::vector<float> weight = random.Activations(c.width);
  const std::vector<float> bias =
      c.layer_norm ? random.Activations(c.width) : std::vector<float>(c.width);
  const Rows expected = ReferenceNorm(c, added, x, weight, bias);
  const DeviceArray<float> device_added(added);
  DeviceArray<float> residual(x);
  const DeviceArray<float> device_weight(weight);
  const DeviceArray<float> device_bias(bias);
  DeviceArray<float> out(count, NAN);
  const cuda::Norm norm{c.adds ? device_added.data() : nullptr,
                        residual.data(),
                        device_weight.data(),
                        c.layer_norm ? device_bias.data() : nullptr,
                        1e-5f,
                        out.data(),
                        c.out_dtype};
  (c.layer_norm ? cuda::LayerNorm : cuda::RmsNorm)(norm, c.tokens, c.width, kNullStream);
  ExpectClose(expected.out, ReadNumbers(c.out_dtype, out, count), expected.tolerance, what);
  ExpectSameBits(expected.residual, residual.Read(), what + ", residual");
}

TEST(CudaNorm, AgreesWithTheFormula) {
  ForEachOrder([](const std::string& order) {
    Random random(31);
    for (const uint32_t width : kWidths) {
      for (const bool layer_norm : {false, true}) {
        const std::string what = order + " width " + std::to_string(width);
        CheckNorm(random, {3, width, layer_norm, true, DType::kF32}, what);
        CheckNorm(random, {2, width, layer_norm, false, DType::kBF16}, what + " BF16");
      }
    }
  });
}

TEST(CudaNorm, MayWriteOverWhatItAdds) {
  Random random(32);
  const std::vector<float> added = random.Activations(2 * 64);
  const std::vector<float> x = random.Activations(2 * 64);
  const DeviceArray<float> weight(random.Activations(64));
  std::vector<float> results[2];
  for (const bool in_place : {false, true}) {
    DeviceArray<float> device_added(added);
    DeviceArray<float> residual(x);
    DeviceArray<float> out(added.size(), NAN);
    DeviceArray<float>& target = in_place ? device_added : out;
    cuda::RmsNorm({device_added.data(), residual.data(), weight.data(), nullptr, 1e-5f,
                   target.data(), DType::kF32},
                  2, 64, kNullStream);
    results[in_place] = target.Read();
  }
  ExpectSameBits(results[0], results[1], "in place");
}

TEST(CudaNorm, NoTokensAreNoLaunch) { cuda::RmsNorm({}, 0, 64, kNullStream); }

TEST(CudaNorm, WrongShapesThrow) {
  DeviceArray<float> row(20000, 1.0f);
  const cuda::Norm norm{nullptr, row.data(), row.data(), nullptr, 1e-5f, row.data(), DType::kF32};
  EXPECT_THROW(cuda::RmsNorm(norm, 1, 0, kNullStream), InternalError);
  EXPECT_THROW(cuda::RmsNorm(norm, 1, cuda::kNormWidthMax + 4, kNullStream), InternalError);
  cuda::Norm wrong = norm;
  wrong.out_dtype = DType::kF16;
  EXPECT_THROW(cuda::RmsNorm(wrong, 1, 64, kNullStream), InternalError);
}

TEST(CudaRope, AgreesWithTheReferenceInBothLayouts) {
  const std::vector<uint32_t> positions = {0, 1, 2, 9, 4};
  constexpr uint32_t kHeads = 3;
  ForEachOrder([&](const std::string& order) {
    Random random(33);
    for (const uint32_t head_dim : {2u, 8u, 20u, 64u, 256u}) {
      for (const uint32_t rope_dim : {head_dim, head_dim / 4 * 2}) {
        for (const bool interleaved : {false, true}) {
          std::vector<float> cosine;
          std::vector<float> sine;
          for (uint32_t i = 0; i < 10 * (rope_dim / 2); ++i) {
            cosine.push_back(std::cos(static_cast<float>(i)));
            sine.push_back(std::sin(static_cast<float>(i)));
          }
          const size_t stride = kHeads * head_dim + 5;
          const std::vector<float> x = random.Activations(positions.size() * stride);
          std::vector<float> expected = x;
          ReferenceOps().Rope(expected.data(), stride, positions, kHeads, head_dim,
                              {cosine.data(), sine.data(), rope_dim, interleaved});
          DeviceArray<float> rotated(x);
          const DeviceArray<uint32_t> device_positions(positions);
          const DeviceArray<float> device_cosine(cosine);
          const DeviceArray<float> device_sine(sine);
          cuda::Rope({rotated.data(), stride, device_positions.data(), device_cosine.data(),
                      device_sine.data(), kHeads, head_dim, rope_dim, interleaved},
                     static_cast<uint32_t>(positions.size()), kNullStream);
          // Two products and a sum of values below 60.
          const std::vector<double> tolerance(x.size(), 3 * 60.0 * kEpsilon);
          ExpectClose(expected, rotated.Read(), tolerance,
                      order + " head_dim " + std::to_string(head_dim));
        }
      }
    }
  });
}

double Exact(cuda::Activation activation, double x) {
  switch (activation) {
    case cuda::Activation::kSilu:
      return x / (1 + std::exp(-x));
    case cuda::Activation::kGeluTanh:
      // 1 + tanh(y) without cancellation where y is very negative.
      return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case cuda::Activation::kRelu:
      return std::max(x, 0.0);
    case cuda::Activation::kClampedSwiglu:
      break;  // has a formula of its own below
  }
  return NAN;
}

TEST(CudaActivate, AgreesWithTheFormula) {
  ForEachOrder([](const std::string& order) {
    Random random(34);
    for (const uint32_t count : kWidths) {
      std::vector<float> gate = random.Activations(count);
      const std::vector<float> up = random.Activations(count);
      if (count > 6) gate[3] = -87.0f, gate[4] = -1000.0f, gate[5] = 1000.0f;
      const DeviceArray<float> device_gate(gate);
      const DeviceArray<float> device_up(up);
      for (const auto activation :
           {cuda::Activation::kSilu, cuda::Activation::kGeluTanh, cuda::Activation::kRelu}) {
        for (const bool gated : {true, false}) {
          for (const DType dtype : {DType::kF32, DType::kBF16}) {
            std::vector<float> expected;
            std::vector<double> tolerance;
            for (size_t i = 0; i < count; ++i) {
              const double factor = gated ? double{up[i]} : 1.0;
              const double value = Exact(activation, double{gate[i]}) * factor;
              expected.push_back(static_cast<float>(value));
              // exp of y: relative error of y's rounding, |y| <= 88, and two of its own.
              const double rounding = 200 * kEpsilon + (dtype == DType::kBF16 ? 0x1p-8 : 0.0);
              tolerance.push_back(std::abs(value) * rounding + 1e-30 * std::abs(factor));
            }
            DeviceArray<float> out(count, NAN);
            cuda::Activate(
                activation,
                {device_gate.data(), gated ? device_up.data() : nullptr, out.data(), dtype}, count,
                kNullStream);
            ExpectClose(expected, ReadNumbers(dtype, out, count), tolerance,
                        order + " count " + std::to_string(count));
          }
        }
      }
    }
  });
}

// On both sides of the limits, and far beyond them.
TEST(CudaActivate, ClampsSwiglu) {
  constexpr float kAlpha = 1.702f;
  constexpr float kLimit = 7;
  ForEachOrder([&](const std::string& order) {
    Random random(36);
    for (const uint32_t count : kWidths) {
      std::vector<float> gate = random.Activations(count);
      std::vector<float> up = random.Activations(count);
      for (float& value : up) value *= 3;
      if (count > 6) gate[3] = 1000.0f, gate[4] = -1000.0f, up[5] = -7.5f, up[6] = 8.0f;
      const DeviceArray<float> device_gate(gate);
      const DeviceArray<float> device_up(up);
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        std::vector<float> expected;
        std::vector<double> tolerance;
        for (size_t i = 0; i < count; ++i) {
          const double x = std::min(gate[i], kLimit);
          const double factor = double{std::clamp(up[i], -kLimit, kLimit)} + 1;
          const double value = x / (1 + std::exp(-double{kAlpha} * x)) * factor;
          expected.push_back(static_cast<float>(value));
          // As above; the factor is a sum, rounded once, of values up to the limit.
          const double rounding = 200 * kEpsilon + (dtype == DType::kBF16 ? 0x1p-8 : 0.0);
          tolerance.push_back(std::abs(value) * rounding + 64 * kEpsilon * std::abs(x) + 1e-30);
        }
        DeviceArray<float> out(count, NAN);
        cuda::Activate(cuda::Activation::kClampedSwiglu,
                       {.gate = device_gate.data(),
                        .up = device_up.data(),
                        .out = out.data(),
                        .out_dtype = dtype,
                        .alpha = kAlpha,
                        .limit = kLimit},
                       count, kNullStream);
        ExpectClose(expected, ReadNumbers(dtype, out, count), tolerance,
                    order + " count " + std::to_string(count));
      }
    }
  });
}

TEST(CudaInPlace, AddsScalesAndCaps) {
  ForEachOrder([](const std::string& order) {
    Random random(35);
    for (const uint32_t count : kWidths) {
      const std::vector<float> x = random.Activations(count);
      const std::vector<float> b = random.Activations(count);
      const DeviceArray<float> added(b);
      DeviceArray<float> sum(x);
      cuda::AddTo(sum.data(), added.data(), count, kNullStream);
      DeviceArray<float> product(x);
      cuda::Scale(-1.7f, count, product.data(), kNullStream);
      DeviceArray<float> capped(x);
      cuda::SoftCap(5.0f, count, capped.data(), kNullStream);
      std::vector<float> sums;
      std::vector<float> products;
      std::vector<float> caps;
      for (size_t i = 0; i < count; ++i) {
        sums.push_back(x[i] + b[i]);
        products.push_back(x[i] * -1.7f);
        caps.push_back(static_cast<float>(5.0 * std::tanh(double{x[i]} / 5.0)));
      }
      ExpectSameBits(sums, sum.Read(), order);
      ExpectSameBits(products, product.Read(), order);
      // tanh within two units in the last place, and roundings before and after.
      ExpectClose(caps, capped.Read(), std::vector<double>(count, 5 * 6 * kEpsilon), order);
    }
  });
}

TEST(CudaAddBias, AddsToEveryToken) {
  ForEachOrder([](const std::string& order) {
    Random random(36);
    for (const uint32_t width : {1u, 33u, 300u}) {
      const size_t stride = width + 3;
      const std::vector<float> x = random.Activations(4 * stride);
      const std::vector<float> bias = random.Activations(width);
      std::vector<float> expected = x;
      for (size_t t = 0; t < 4; ++t) {
        for (size_t i = 0; i < width; ++i) expected[t * stride + i] += bias[i];
      }
      DeviceArray<float> sum(x);
      const DeviceArray<float> device_bias(bias);
      cuda::AddBias(device_bias.data(), width, 4, sum.data(), stride, kNullStream);
      ExpectSameBits(expected, sum.Read(), order);
    }
  });
}

TEST(CudaRmsNormVectors, AgreesWithTheReference) {
  ForEachOrder([](const std::string& order) {
    Random random(37);
    for (const uint32_t width : {1u, 20u, 64u, 128u, 257u}) {
      for (const uint32_t vectors : {1u, 11u}) {
        const size_t stride = size_t{vectors} * width + 5;
        const std::vector<float> x = random.Activations(3 * stride);
        const std::vector<float> weight = random.Activations(width);
        std::vector<float> expected = x;
        ReferenceOps().RmsNorm({expected.data(), stride, vectors, width, weight.data(), 1e-6f}, 3);
        DeviceArray<float> normed(x);
        const DeviceArray<float> device_weight(weight);
        cuda::RmsNormVectors({normed.data(), stride, vectors, width, device_weight.data(), 1e-6f},
                             3, kNullStream);
        std::vector<double> tolerance;
        for (const float value : expected) {
          tolerance.push_back(std::abs(double{value}) * (width / 32.0 + 12) * kEpsilon);
        }
        ExpectClose(expected, normed.Read(), tolerance, order + " width " + std::to_string(width));
      }
    }
  });
}

}  // namespace
}  // namespace infercept::test
