// Goal: FP8 is rounded to the nearest number. Method: all of its numbers, and floats around the
// middle of every two neighbours.
#include "kernels/half.h"

#include <cmath>

#include "test.h"

namespace infercept {
namespace {

float Number(uint32_t code) { return ToFloat(static_cast<E4M3>(code)); }
uint32_t Code(float value) { return static_cast<uint32_t>(ToE4M3(value)); }

}  // namespace

TEST(E4M3, NumbersAreThoseOfTheFormat) {
  EXPECT_EQ(Number(0x00), 0.0f);
  EXPECT_EQ(Number(0x01), 0x1p-9f);
  EXPECT_EQ(Number(0x08), 0x1p-6f);
  EXPECT_EQ(Number(0x38), 1.0f);
  EXPECT_EQ(Number(0x3B), 1.375f);
  EXPECT_EQ(Number(0x7E), kE4M3Max);
  EXPECT_TRUE(std::isnan(Number(0x7F)));
  for (uint32_t code = 0; code < 0x7F; ++code) {
    EXPECT_EQ(Number(code | 0x80), -Number(code));
    EXPECT_EQ(Code(Number(code)), code);
    EXPECT_EQ(Code(-Number(code)), code | 0x80);
  }
}

TEST(E4M3, RoundsToTheNearestAndTiesToEven) {
  for (uint32_t code = 0; code < 0x7E; ++code) {
    const float middle = (Number(code) + Number(code + 1)) / 2;
    EXPECT_EQ(Code(std::nextafter(middle, 0.0f)), code);
    EXPECT_EQ(Code(middle), code % 2 == 0 ? code : code + 1);
    EXPECT_EQ(Code(std::nextafter(middle, 1000.0f)), code + 1);
    EXPECT_EQ(Code(-middle), Code(middle) | 0x80);
  }
}

TEST(E4M3, WhatIsTooLargeBecomesTheLargest) {
  for (const float large : {449.0f, 464.0f, 480.0f, 1e30f, INFINITY}) {
    EXPECT_EQ(Code(large), 0x7Eu);
    EXPECT_EQ(Code(-large), 0xFEu);
  }
  EXPECT_TRUE(std::isnan(Number(Code(NAN))));
}

}  // namespace infercept
