// Goal: random weights of every dtype are as wide as they should be, and a function of seed, name
// and shape only. Method: their deviation; bits of one thread against those of three.
#include "model/tensor_source.h"

#include <algorithm>
#include <numeric>

#include "kernels/dequantize.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kRows = 24;
constexpr uint32_t kColumns = 1024;

ModelSpec SpecOf(DType dtype, const std::string& name = "output") {
  const uint64_t bytes = kRows * RowBytes(dtype, kColumns);
  ModelSpec spec;
  spec.tensors = {{name, dtype, kRows, kColumns, 0, 0, bytes}};
  spec.tensors.push_back({"norm", DType::kF32, 1, kColumns, 0, bytes, kColumns * sizeof(float)});
  return spec;
}

std::vector<float> Generated(const ModelSpec& spec, uint64_t seed, uint32_t threads,
                             size_t index = 0) {
  ThreadPool pool(threads);
  const TensorSpec& tensor = spec.tensors[index];
  std::vector<float> values(size_t{tensor.rows} * kColumns);
  const auto source = GenerateTensors(seed, RandomPlace::kHost, pool);
  const auto bytes = source->Read(tensor).value();
  DequantizeRow(tensor.dtype, bytes.data(), static_cast<uint32_t>(values.size()), values.data());
  return values;
}

double MeanSquare(const std::vector<float>& values, double around) {
  double sum = 0;
  for (const float value : values) sum += (double{value} - around) * (double{value} - around);
  return sum / static_cast<double>(values.size());
}

TEST(GenerateTensors, MatricesHaveUnitGain) {
  for (const DType dtype : kWeightDTypes) {
    const std::vector<float> values = Generated(SpecOf(dtype), 1, 1);
    const double gain = std::sqrt(MeanSquare(values, 0) * kColumns);
    // An MXFP4 block's scale is a power of two: up to sqrt(2) off.
    const double tolerance = dtype == DType::kMXFP4 ? 0.42 : 0.05;
    EXPECT_NEAR(gain, 1.0, tolerance) << DTypeName(dtype);
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / (kRows * kColumns);
    EXPECT_NEAR(mean * std::sqrt(kColumns), 0.0, 0.15) << DTypeName(dtype);
    EXPECT_NEAR(std::sqrt(MeanSquare(Generated(SpecOf(dtype), 1, 1, 1), 1)), 0.06, 0.01);
  }
}

TEST(GenerateTensors, ThreadsDoNotMatterSeedsAndNamesDo) {
  for (const DType dtype : kWeightDTypes) {
    const std::vector<float> values = Generated(SpecOf(dtype), 1, 1);
    ExpectSameBits(values, Generated(SpecOf(dtype), 1, 3), std::string(DTypeName(dtype)));
    EXPECT_TRUE(values != Generated(SpecOf(dtype), 2, 1)) << DTypeName(dtype);
    EXPECT_TRUE(values != Generated(SpecOf(dtype, "embedding"), 1, 1)) << DTypeName(dtype);
    EXPECT_FALSE(std::equal(values.begin(), values.begin() + kColumns, values.begin() + kColumns))
        << DTypeName(dtype) << ": rows repeat";
  }
}

}  // namespace
}  // namespace infercept::test
