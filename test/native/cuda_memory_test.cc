// Goal: the CUDA kernels that only move or unpack bytes move the right ones. Method: in emulation,
// in every order of threads, bit by bit against the host.
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "cuda_support.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weight_pack.h"
#include "kernels/half.h"
#include "test.h"

namespace infercept::test {
namespace {

TEST(CudaEmbed, ReadsRowsOfEveryDType) {
  ForEachOrder([](const std::string& order) {
    Random random(61);
    const std::vector<TokenId> tokens = {18, 0, 8, 17, 8};
    for (const DType dtype : kWeightDTypes) {
      for (const uint32_t columns : {WholeBlocks(dtype, 96), WholeBlocks(dtype, 300)}) {
        const Matrix table = MakeMatrix(random, dtype, 19, columns);
        std::vector<std::byte> packed(cuda::PackedBytes(dtype, 19, columns));
        cuda::Pack(table.view(), packed);
        const DeviceArray<std::byte> device_table(packed);
        const DeviceArray<TokenId> device_tokens(tokens);
        DeviceArray<float> out(tokens.size() * columns, NAN);
        cuda::Embed({dtype, device_table.data(), 19, columns}, device_tokens.data(), 5, out.data(),
                    kNullStream);
        const std::vector<float> rows = out.Read();
        for (size_t i = 0; i < tokens.size(); ++i) {
          ExpectSameBits(table.Row(static_cast<uint32_t>(tokens[i])),
                         std::span(rows).subspan(i * columns, columns),
                         order + " " + std::string(DTypeName(dtype)));
        }
      }
    }
  });
}

TEST(CudaEmbed, TokensOutsideGiveNaN) {
  Random random(62);
  const Matrix table = MakeMatrix(random, DType::kF32, 4, 32);
  const DeviceArray<std::byte> device_table(table.bytes);
  const DeviceArray<TokenId> tokens(std::vector<TokenId>{4, -1});
  DeviceArray<float> out(64, 0.0f);
  cuda::Embed({DType::kF32, device_table.data(), 4, 32}, tokens.data(), 2, out.data(), kNullStream);
  for (const float value : out.Read()) EXPECT_TRUE(std::isnan(value));
}

TEST(CudaDequantize, RoundsToBF16) {
  ForEachOrder([](const std::string& order) {
    Random random(64);
    for (const DType dtype : kWeightDTypes) {
      for (const uint32_t wanted : {96u, 300u, 768u}) {
        const uint32_t columns = WholeBlocks(dtype, wanted);
        const size_t stride = DivCeil(columns, 8u) * 8 + 8;
        const Matrix matrix = MakeMatrix(random, dtype, 27, columns);
        std::vector<std::byte> packed(cuda::PackedBytes(dtype, 27, columns));
        cuda::Pack(matrix.view(), packed);
        const DeviceArray<std::byte> weights(packed);
        DeviceArray<BF16> out(27 * stride, ToBF16(7.0f));
        cuda::DequantizeToBF16({dtype, weights.data(), 27, columns}, out.data(), stride,
                               kNullStream);
        const std::vector<BF16> values = out.Read();
        const std::string what = order + " " + std::string(DTypeName(dtype));
        for (uint32_t r = 0; r < 27; ++r) {
          std::vector<float> expected = matrix.Row(r);
          std::vector<float> actual;
          std::vector<double> tolerance;
          float largest = 0;
          for (const float value : expected) largest = std::max(largest, std::abs(value));
          expected.resize(stride, 7.0f);
          for (size_t c = 0; c < stride; ++c) {
            actual.push_back(ToFloat(values[r * stride + c]));
            // Half a unit in the last place of 8 bits, and what a fused multiplication and
            // subtraction of parts up to 64 times as large keeps.
            tolerance.push_back(c < columns ? std::abs(expected[c]) * 0x1p-8 + largest * 0x1p-17
                                            : 0.0);
          }
          ExpectClose(expected, actual, tolerance, what);
        }
      }
    }
  });
}

// What a random matrix stands for, by the kernel that other tests compare with the host.
std::vector<double> MadeUp(DType dtype, uint32_t rows, uint32_t columns, float deviation,
                           uint64_t seed) {
  DeviceArray<std::byte> weights(cuda::PackedBytes(dtype, rows, columns), std::byte{0xFF});
  cuda::FillRandom({dtype, weights.data(), rows, columns, deviation, seed}, kNullStream);
  DeviceArray<BF16> out(size_t{rows} * columns, ToBF16(NAN));
  cuda::DequantizeToBF16({dtype, weights.data(), rows, columns}, out.data(), columns, kNullStream);
  std::vector<double> values;
  for (const BF16 value : out.Read()) values.push_back(ToFloat(value));
  return values;
}

// All of it is written, and no row is another one again.
TEST(CudaFillRandom, MakesWeightsAroundZeroOfTheDeviation) {
  constexpr uint32_t kRows = 48;
  constexpr uint32_t kColumns = 768;
  uint32_t made = 0;
  for (const DType dtype : kWeightDTypes) {
    if (!cuda::CanFillRandom({.dtype = dtype, .rows = kRows, .columns = kColumns})) continue;
    ++made;
    const std::vector<double> values = MadeUp(dtype, kRows, kColumns, 0.02f, 3);
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / (kRows * kColumns);
    double square = 0;
    for (const double value : values) square += (value - mean) * (value - mean);
    const std::string name(DTypeName(dtype));
    EXPECT_NEAR(std::sqrt(square / (kRows * kColumns)), 0.02, 0.002) << name;
    EXPECT_NEAR(mean, 0, 0.003) << name;
    for (uint32_t r = 1; r < kRows; ++r) {
      EXPECT_FALSE(
          std::equal(values.begin(), values.begin() + kColumns, values.begin() + r * kColumns))
          << name << ": row " << r << " is row 0";
    }
    EXPECT_TRUE(values == MadeUp(dtype, kRows, kColumns, 0.02f, 3)) << name;
    EXPECT_TRUE(values != MadeUp(dtype, kRows, kColumns, 0.02f, 4)) << name;
  }
  EXPECT_EQ(made, std::size(kWeightDTypes) - 3);
}

TEST(CudaFillRandom, RefusesPartsOfTilesAndChunks) {
  EXPECT_FALSE(cuda::CanFillRandom({.dtype = DType::kQ4_K, .rows = 17, .columns = 256}));
  EXPECT_FALSE(cuda::CanFillRandom({.dtype = DType::kQ8_0, .rows = 16, .columns = 288}));
  EXPECT_FALSE(cuda::CanFillRandom({.dtype = DType::kBF16, .rows = 16, .columns = 40}));
  DeviceArray<std::byte> weights(cuda::PackedBytes(DType::kQ8_0, 16, 288), std::byte{0});
  EXPECT_THROW(cuda::FillRandom({DType::kQ8_0, weights.data(), 16, 288, 1, 1}, kNullStream),
               InternalError);
}

// More pieces than blocks of threads, and fewer.
TEST(CudaCopyBlocks, MovesWhatTheListSays) {
  ForEachOrder([](const std::string& order) {
    Random random(63);
    const std::vector<BlockCopy> copies = {
        {BlockId{4}, BlockId{1}}, {BlockId{0}, BlockId{6}}, {BlockId{4}, BlockId{0}}};
    for (const size_t block_bytes : {size_t{16}, size_t{4096}, size_t{3 * 16384 + 48}}) {
      std::vector<std::byte> source(5 * block_bytes);
      for (std::byte& byte : source) byte = static_cast<std::byte>(random.Below(256));
      std::vector<std::byte> expected(7 * block_bytes, std::byte{0xAB});
      DeviceArray<std::byte> target(expected);
      for (const BlockCopy& copy : copies) {
        std::copy_n(source.data() + Index(copy.source) * block_bytes, block_bytes,
                    expected.data() + Index(copy.target) * block_bytes);
      }
      const DeviceArray<std::byte> device_source(source);
      const DeviceArray<BlockCopy> device_copies(copies);
      cuda::CopyBlocks({device_copies.data(), device_source.data(), target.data(), block_bytes}, 3,
                       4, kNullStream);
      EXPECT_TRUE(target.Read() == expected) << order << ", blocks of " << block_bytes << " bytes";
    }
  });
}

TEST(CudaCopyBlocks, WrongShapesThrow) {
  DeviceArray<std::byte> bytes(64, std::byte{0});
  const DeviceArray<BlockCopy> copies(1, BlockCopy{});
  const auto copy = [&](size_t block_bytes, size_t offset, uint32_t thread_blocks) {
    cuda::CopyBlocks({copies.data(), bytes.data() + offset, bytes.data(), block_bytes}, 1,
                     thread_blocks, kNullStream);
  };
  EXPECT_THROW(copy(24, 0, 1), InternalError);
  EXPECT_THROW(copy(32, 8, 1), InternalError);
  EXPECT_THROW(copy(32, 32, 0), InternalError);
}

}  // namespace
}  // namespace infercept::test
