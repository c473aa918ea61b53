// The counter-based generator: its published vectors, and draws that are uniform.
#include "model/philox.h"

#include "test.h"

namespace infercept {

using Words = std::array<uint32_t, 4>;

// Vectors of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, GivesThePublishedVectors) {
  EXPECT_TRUE(
      (Philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_TRUE((Philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
               Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_TRUE((Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
               Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DrawsAreUniform) {
  constexpr int kDraws = 20000;
  double sum = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double draw = UniformDraw(7, i);
    ASSERT_TRUE(draw >= 0 && draw < 1);
    sum += draw;
  }
  // The mean's standard deviation is 1 / sqrt(12 kDraws) = 0.002: five of them.
  EXPECT_NEAR(sum / kDraws, 0.5, 0.0102);
}

}  // namespace infercept
