// Goal: normalization, rotation, activation and addition are right on every ISA, tails included.
// Method: against the reference in double; each tolerance counts the roundings of the formula.
#include <algorithm>
#include <cmath>

#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kWidths[] = {1, 2, 7, 8, 15, 16, 17, 33, 64, 100, 257};

struct Normed {
  std::vector<float> residual;
  std::vector<float> out;
};

Normed AddRmsNorm(const Ops& ops, const std::vector<float>& added, const std::vector<float>& x,
                  const std::vector<float>& weight) {
  Normed normed{x, std::vector<float>(x.size(), 1.0f)};
  const auto width = static_cast<uint32_t>(weight.size());
  ops.AddRmsNorm({added.data(), normed.residual.data(), weight.data(), 1e-5f, normed.out.data()},
                 static_cast<uint32_t>(x.size()) / width, width);
  return normed;
}

TEST(OpsAddRmsNorm, AgreesWithTheReference) {
  Random random(11);
  for (const uint32_t width : kWidths) {
    const std::vector<float> added = random.Activations(3 * width);
    const std::vector<float> x = random.Activations(3 * width);
    const std::vector<float> weight = random.Activations(width);
    const Normed expected = AddRmsNorm(ReferenceOps(), added, x, weight);
    // The sum of squares has only positive terms: relative error below width roundings, halved by
    // the root.
    std::vector<double> tolerance;
    for (const float value : expected.out) {
      tolerance.push_back(std::abs(double{value}) * (width / 2.0 + 6) * kEpsilon);
    }
    for (const Ops* ops : SupportedOps()) {
      const std::string what = std::string(ops->isa()) + " width " + std::to_string(width);
      const Normed normed = AddRmsNorm(*ops, added, x, weight);
      ExpectClose(expected.out, normed.out, tolerance, what);
      ExpectSameBits(expected.residual, normed.residual, what + ", residual");
    }
  }
}

TEST(OpsAddRmsNorm, MayWriteOverWhatItAdds) {
  Random random(15);
  const std::vector<float> added = random.Activations(2 * 33);
  const std::vector<float> x = random.Activations(2 * 33);
  const std::vector<float> weight = random.Activations(33);
  for (const Ops* ops : SupportedOps()) {
    const Normed expected = AddRmsNorm(*ops, added, x, weight);
    std::vector<float> residual = x;
    std::vector<float> out = added;
    ops->AddRmsNorm({out.data(), residual.data(), weight.data(), 1e-5f, out.data()}, 2, 33);
    ExpectSameBits(expected.out, out, std::string(ops->isa()));
  }
}

TEST(OpsAddRmsNorm, ZerosStayZeros) {
  const std::vector<float> zeros(20);
  const std::vector<float> weight(20, 1.0f);
  for (const Ops* ops : SupportedOps()) {
    for (const float value : AddRmsNorm(*ops, zeros, zeros, weight).out) EXPECT_EQ(value, 0.0f);
  }
}

Normed AddLayerNorm(const Ops& ops, const std::vector<float>& added, const std::vector<float>& x,
                    const std::vector<float>& weight, const std::vector<float>& bias) {
  Normed normed{x, std::vector<float>(x.size(), 1.0f)};
  const auto width = static_cast<uint32_t>(weight.size());
  ops.AddLayerNorm(
      {added.data(), normed.residual.data(), weight.data(), 1e-5f, normed.out.data(), bias.data()},
      static_cast<uint32_t>(x.size()) / width, width);
  return normed;
}

TEST(OpsAddLayerNorm, AgreesWithTheReference) {
  Random random(16);
  for (const uint32_t width : kWidths) {
    const std::vector<float> added = random.Activations(3 * width);
    std::vector<float> x = random.Activations(3 * width);
    for (float& value : x) value += 1;  // A mean of zero would hide that it is subtracted.
    const std::vector<float> weight = random.Activations(width);
    const std::vector<float> bias = random.Activations(width);
    const Normed expected = AddLayerNorm(ReferenceOps(), added, x, weight, bias);
    // As of AddRmsNorm, and the mean's error: width roundings of values below 32, over a deviation
    // of which epsilon is the least. One value is its own mean, to the bit.
    std::vector<double> tolerance;
    for (size_t i = 0; i < expected.out.size(); ++i) {
      const double scaled = std::abs(double{expected.out[i]} - bias[i % width]) +
                            (width > 1 ? 40 * std::abs(double{weight[i % width]}) : 0);
      tolerance.push_back((scaled * (width / 2.0 + 6) + std::abs(double{bias[i % width]})) *
                          kEpsilon);
    }
    for (const Ops* ops : SupportedOps()) {
      const std::string what = std::string(ops->isa()) + " width " + std::to_string(width);
      const Normed normed = AddLayerNorm(*ops, added, x, weight, bias);
      ExpectClose(expected.out, normed.out, tolerance, what);
      ExpectSameBits(expected.residual, normed.residual, what + ", residual");
    }
  }
}

TEST(OpsRmsNorm, AgreesWithTheReferenceAndKeepsWhatIsBetween) {
  Random random(17);
  for (const uint32_t width : kWidths) {
    const size_t stride = 3 * width + 5;
    const std::vector<float> x = random.Activations(2 * stride);
    const std::vector<float> weight = random.Activations(width);
    const auto normed = [&](const Ops& ops) {
      std::vector<float> y = x;
      ops.RmsNorm({y.data(), stride, 3, width, weight.data(), 1e-5f}, 2);
      return y;
    };
    const std::vector<float> expected = normed(ReferenceOps());
    ExpectSameBits(std::span(x).subspan(3 * width, 5), std::span(expected).subspan(3 * width, 5),
                   "between two tokens");
    std::vector<double> tolerance;
    for (const float value : expected) {
      tolerance.push_back(std::abs(double{value}) * (width / 2.0 + 6) * kEpsilon);
    }
    for (const Ops* ops : SupportedOps()) {
      ExpectClose(expected, normed(*ops), tolerance,
                  std::string(ops->isa()) + " width " + std::to_string(width));
    }
  }
}

// One rounding each: all instruction sets give the same bits.
TEST(OpsAdd, SumsAndProductsAreTheReferences) {
  Random random(18);
  const std::vector<float> x = random.Activations(3 * 40);
  const std::vector<float> y = random.Activations(3 * 40);
  const auto all = [&](const Ops& ops) {
    std::vector<float> z = x;
    ops.Add(y.data(), z.size(), z.data());
    ops.AddBias(y.data(), 37, 3, z.data(), 40);
    ops.Scale(1.7f, z.size() - 1, z.data());
    return z;
  };
  const std::vector<float> expected = all(ReferenceOps());
  EXPECT_EQ(expected[39], (x[39] + y[39]) * 1.7f);
  EXPECT_EQ(expected[119], x[119] + y[119]);
  EXPECT_EQ(expected[41], ((x[41] + y[41]) + y[1]) * 1.7f);
  for (const Ops* ops : SupportedOps())
    ExpectSameBits(expected, all(*ops), std::string(ops->isa()));
}

TEST(OpsSoftCap, AgreesWithTheReferenceAndNeverExceedsTheCap) {
  Random random(19);
  std::vector<float> x = random.Activations(257);
  x.insert(x.end(), {0.0f, 1e-6f, 29.0f, 31.0f, -30.0f, 1e4f, -1e4f, 3e38f, -3e38f});
  std::vector<float> expected = x;
  ReferenceOps().SoftCap(30.0f, expected.size(), expected.data());
  EXPECT_EQ(expected[262], 30.0f);
  // A power and a quotient, relative to the cap.
  const std::vector<double> tolerance(x.size(), 30.0 * 8 * kEpsilon);
  for (const Ops* ops : SupportedOps()) {
    std::vector<float> capped = x;
    ops->SoftCap(30.0f, capped.size(), capped.data());
    ExpectClose(expected, capped, tolerance, std::string(ops->isa()));
    for (const float value : capped) EXPECT_LE(std::abs(value), 30.0f);
  }
}

TEST(OpsGelu, AgreesWithTheReference) {
  Random random(20);
  for (const uint32_t count : kWidths) {
    std::vector<float> gate = random.Activations(count);
    const float extremes[] = {0.0f, 40.0f, -40.0f, 1e10f, -1e10f};
    if (count > 16) std::ranges::copy(extremes, gate.begin());
    const std::vector<float> up = random.Activations(count);
    std::vector<float> expected(count);
    std::vector<double> tolerance;
    ReferenceOps().GeluMultiply(gate.data(), up.data(), count, expected.data());
    // The exponent has some roundings, and the power that relative error; what is left of a very
    // negative value is at most it times e^-88.37.
    for (uint32_t i = 0; i < count; ++i) {
      const double x = std::abs(double{gate[i]});
      const double exponent = std::min(90.0, 1.6 * x + 0.08 * x * x * x);
      tolerance.push_back(std::abs(double{expected[i]}) * (8 + 4 * exponent) * kEpsilon +
                          x * std::abs(double{up[i]}) * 5e-39);
    }
    for (const Ops* ops : SupportedOps()) {
      const std::string what = std::string(ops->isa()) + " count " + std::to_string(count);
      std::vector<float> out(count);
      ops->GeluMultiply(gate.data(), up.data(), count, out.data());
      ExpectClose(expected, out, tolerance, what);
      std::vector<float> plain = gate;
      ops->Gelu(count, plain.data());
      for (uint32_t i = 0; i < count; ++i) plain[i] *= up[i];
      ExpectSameBits(out, plain, what + ", without a gate");
    }
  }
}

TEST(OpsClampedSwiglu, AgreesWithTheReference) {
  Random random(21);
  for (const uint32_t count : kWidths) {
    const std::vector<float> gate = random.Activations(count);
    const std::vector<float> up = random.Activations(count);
    std::vector<float> expected(count);
    ReferenceOps().ClampedSwigluMultiply({1.702f, 7}, gate.data(), up.data(), count,
                                         expected.data());
    std::vector<double> tolerance;
    for (uint32_t i = 0; i < count; ++i) {
      const double x = std::min(7.0, double{gate[i]});
      // The exponent's roundings, relative; the sum with one cancels where `up` is near -1.
      tolerance.push_back(std::abs(x) * (std::abs(double{up[i]}) + 1) *
                          (8 + 4 * std::min(90.0, 1.702 * std::abs(x))) * kEpsilon);
    }
    for (const Ops* ops : SupportedOps()) {
      std::vector<float> out(count);
      ops->ClampedSwigluMultiply({1.702f, 7}, gate.data(), up.data(), count, out.data());
      ExpectClose(expected, out, tolerance, std::string(ops->isa()));
    }
  }
}

TEST(OpsSiluMultiply, AgreesWithTheReference) {
  Random random(12);
  for (const uint32_t count : kWidths) {
    std::vector<float> gate = random.Activations(count);
    const std::vector<float> up = random.Activations(count);
    if (count > 16) gate[3] = -87.0f, gate[4] = -1000.0f, gate[5] = 1000.0f, gate[16] = 88.0f;
    std::vector<float> expected(count);
    ReferenceOps().SiluMultiply(gate.data(), up.data(), count, expected.data());
    std::vector<double> tolerance;
    // exp within 1.3e-7 (body/common.inc), then five roundings. Below e^-88 the sigmoid stops
    // shrinking.
    for (size_t i = 0; i < count; ++i) {
      const double floor = std::abs(double{gate[i]} * double{up[i]}) * 5e-39;
      tolerance.push_back(std::abs(double{expected[i]}) * (1.3e-7 + 5 * kEpsilon) + floor);
    }
    for (const Ops* ops : SupportedOps()) {
      std::vector<float> out(count);
      ops->SiluMultiply(gate.data(), up.data(), count, out.data());
      ExpectClose(expected, out, tolerance,
                  std::string(ops->isa()) + " count " + std::to_string(count));
    }
  }
}

// x / (1 + e^-x) = x e^x where x is very negative: the error bound that body/common.inc states for
// exp, over its range.
TEST(OpsSiluMultiply, ExpKeepsItsErrorBound) {
  std::vector<float> gate;
  for (float x = -87.0f; x < 87.0f; x += 0.00317f) gate.push_back(x);
  const std::vector<float> up(gate.size(), 1.0f);
  for (const Ops* ops : SupportedOps()) {
    std::vector<float> out(gate.size());
    ops->SiluMultiply(gate.data(), up.data(), gate.size(), out.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double expected = double{gate[i]} / (1 + std::exp(-double{gate[i]}));
      const double error = std::abs(double{out[i]} - expected);
      EXPECT_TRUE(error <= std::abs(expected) * (1.3e-7 + 4 * kEpsilon))
          << ops->isa() << " at " << gate[i] << " expected " << expected << " actual " << out[i];
    }
  }
}

struct Rotation {
  std::vector<float> cosine;
  std::vector<float> sine;
  RopeView view;
};

Rotation MakeRotation(uint32_t positions, uint32_t rope_dim, bool interleaved) {
  Rotation rotation;
  for (uint32_t p = 0; p < positions; ++p) {
    for (uint32_t i = 0; i < rope_dim / 2; ++i) {
      const double angle = p * std::pow(10000.0, -2.0 * i / rope_dim);
      rotation.cosine.push_back(static_cast<float>(std::cos(angle)));
      rotation.sine.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  rotation.view = {rotation.cosine.data(), rotation.sine.data(), rope_dim, interleaved};
  return rotation;
}

TEST(OpsRope, AgreesWithTheReferenceInBothLayouts) {
  Random random(14);
  const uint32_t positions[] = {0, 1, 2, 9, 4};
  constexpr uint32_t kHeads = 3;
  for (const uint32_t head_dim : {2u, 8u, 20u, 64u}) {
    for (const uint32_t rope_dim : {head_dim, head_dim / 4 * 2}) {
      for (const bool interleaved : {false, true}) {
        const Rotation rotation = MakeRotation(10, rope_dim, interleaved);
        const size_t stride = kHeads * head_dim + 5;
        const std::vector<float> x = random.Activations(5 * stride);
        std::vector<float> expected = x;
        ReferenceOps().Rope(expected.data(), stride, positions, kHeads, head_dim, rotation.view);
        const float largest = *std::max_element(x.begin(), x.end());
        // Two products and a sum of values of at most the largest input.
        const std::vector<double> tolerance(x.size(), 6.0 * std::max(20.0f, largest) * kEpsilon);
        for (const Ops* ops : SupportedOps()) {
          std::vector<float> rotated = x;
          ops->Rope(rotated.data(), stride, positions, kHeads, head_dim, rotation.view);
          ExpectClose(expected, rotated, tolerance,
                      std::string(ops->isa()) + " head_dim " + std::to_string(head_dim));
        }
      }
    }
  }
}

// A pair (1, 0) at position p turns into (cos, sin) of the pair's angle, wherever the layout puts
// its halves.
TEST(OpsRope, TurnsThePairsThatTheLayoutNames) {
  for (const bool interleaved : {false, true}) {
    const Rotation rotation = MakeRotation(4, 8, interleaved);
    const uint32_t position[] = {3};
    const uint32_t first = interleaved ? 2 : 1;
    const uint32_t second = interleaved ? 3 : 5;
    for (const Ops* ops : SupportedOps()) {
      std::vector<float> head(8);
      head[first] = 1.0f;
      ops->Rope(head.data(), 8, position, 1, 8, rotation.view);
      EXPECT_EQ(head[first], rotation.cosine[3 * 4 + 1]);
      EXPECT_EQ(head[second], rotation.sine[3 * 4 + 1]);
    }
  }
}

TEST(OpsDispatch, ListsScalarLastAndFindsByName) {
  const std::vector<const Ops*> supported = SupportedOps();
  EXPECT_EQ(supported.back()->isa(), "scalar");
  for (const Ops* ops : supported) EXPECT_EQ(FindOps(ops->isa()), ops);
  EXPECT_EQ(FindOps("ref"), &ReferenceOps());
  EXPECT_TRUE(FindOps("no such set") == nullptr);
}

}  // namespace
}  // namespace infercept::test
