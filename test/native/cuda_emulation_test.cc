// Goal: the emulation of CUDA's execution model computes what a device would, and finds out kernels
// that a device does not define. Method: small kernels, half of them wrong on purpose.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/cuda/device/copy_async.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/half.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

using namespace infercept::cuda;

// What a KernelError says, or "" if there is none.
std::string ErrorOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const emulation::KernelError& error) {
    return error.what();
  }
  return "";
}

void ExpectContains(const std::string& text, const std::string& part) {
  EXPECT_TRUE(text.find(part) != std::string::npos)
      << "\"" << text << "\" lacks \"" << part << "\"";
}

// The orders in which the body does not hold.
int OrdersThatFail(const std::function<bool()>& holds) {
  int failing = 0;
  for (const emulation::Order order : emulation::kOrders) {
    emulation::SetOrder(order);
    if (!holds()) ++failing;
  }
  emulation::SetOrder(emulation::Order::kAscending);
  return failing;
}

void NumberThreads(uint32_t* out) {
  const uint32_t block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const uint32_t thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const auto threads = static_cast<uint32_t>(blockDim.count());
  out[block * threads + thread] = block * threads + thread + 1;
}

TEST(CudaEmulation, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<uint32_t> out(2 * 3 * 2 * 5 * 7 * 3);
  Launch(&NumberThreads, dim3{2, 3, 2}, dim3{5, 7, 3}, 0, nullptr, out.data());
  for (uint32_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], i + 1);
}

struct Row {
  uint32_t values[256];
};

// Reverses by shared memory; wrong without its barrier.
template <bool barrier>
void Reverse(const uint32_t* in, uint32_t* out) {
  Row& row = StaticShared<Row>();
  row.values[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
  if (barrier) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = row.values[blockDim.x - 1 - threadIdx.x];
}

bool Reverses(void (*kernel)(const uint32_t*, uint32_t*)) {
  std::vector<uint32_t> in(4 * 96);
  std::iota(in.begin(), in.end(), 0u);
  std::vector<uint32_t> out(in.size());
  Launch(kernel, dim3{4}, dim3{96}, 0, nullptr, in.data(), out.data());
  for (auto row = in.begin(); row != in.end(); row += 96) std::reverse(row, row + 96);
  return in == out;
}

TEST(CudaEmulation, BarriersOrderSharedMemory) {
  EXPECT_EQ(OrdersThatFail([] { return Reverses(&Reverse<true>); }), 0);
}

TEST(CudaEmulation, AMissingBarrierGivesAWrongResult) {
  EXPECT_EQ(OrdersThatFail([] { return Reverses(&Reverse<false>); }), 3);
}

// Hands values to the next lane, again and again; wrong without the second barrier, but only if
// writers run before readers.
template <bool second_barrier>
void PassOn(uint32_t* values) {
  Row& row = StaticShared<Row>();
  uint32_t value = values[threadIdx.x];
  for (int i = 0; i < 3; ++i) {
    row.values[threadIdx.x] = value;
    __syncwarp();
    value = row.values[(threadIdx.x + 31) % 32];
    if (second_barrier) __syncwarp();
  }
  values[threadIdx.x] = value;
}

bool PassesOn(void (*kernel)(uint32_t*)) {
  std::vector<uint32_t> values(32);
  std::iota(values.begin(), values.end(), 0u);
  Launch(kernel, dim3{1}, dim3{32}, 0, nullptr, values.data());
  for (uint32_t i = 0; i < 32; ++i) {
    if (values[i] != (i + 29) % 32) return false;
  }
  return true;
}

TEST(CudaEmulation, AMissingBarrierBeforeOverwritingGivesAWrongResult) {
  EXPECT_EQ(OrdersThatFail([] { return PassesOn(&PassOn<true>); }), 0);
  EXPECT_GT(OrdersThatFail([] { return PassesOn(&PassOn<false>); }), 0);
}

void HalfMeet() {
  if (threadIdx.x < 40) __syncthreads();
}
void MeetApart() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
void ExchangeAfterLeaving() {
  if (threadIdx.x == 5) return;
  __syncwarp();
}
void ExchangeApart() {
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __syncwarp();
  }
}
void ExchangeWithoutItself() { __syncwarp(0xFFFFu); }
void LeaveOneBehind() {
  if (threadIdx.x != 7) __ballot_sync(kAllLanes, true);
  __syncthreads();
}
void TakeFromOutside() { __shfl_sync(threadIdx.x < 16 ? 0xFFFFu : 0xFFFF0000u, 1, 20); }

std::string ErrorOfKernel(void (*kernel)(), uint32_t threads = 64) {
  return ErrorOf([&] { Launch(kernel, dim3{1}, dim3{threads}, 0, nullptr); });
}

TEST(CudaEmulation, DivergenceIsReported) {
  const std::string here = "cuda_emulation_test.cc:";
  ExpectContains(ErrorOfKernel(&HalfMeet), "40 threads wait at the barrier " + here);
  ExpectContains(ErrorOfKernel(&HalfMeet), "24 threads have left");
  ExpectContains(ErrorOfKernel(&MeetApart), "barrier divergence: the thread is at " + here);
  ExpectContains(ErrorOfKernel(&ExchangeAfterLeaving), "lane 5 has left");
  ExpectContains(ErrorOfKernel(&ExchangeApart), "warp divergence: the thread exchanges at " + here);
  ExpectContains(ErrorOfKernel(&ExchangeWithoutItself), "not in its own mask");
  ExpectContains(ErrorOfKernel(&LeaveOneBehind), "33 threads wait at the barrier");
  ExpectContains(ErrorOfKernel(&TakeFromOutside), "outside the mask");
  ExpectContains(ErrorOfKernel(&ExchangeApart, 20), "has left");  // the mask names 32 lanes
}

TEST(CudaEmulation, RunsOnAfterAnError) {
  EXPECT_NE(ErrorOfKernel(&HalfMeet), "");
  EXPECT_TRUE(Reverses(&Reverse<true>));
}

TEST(CudaEmulation, WrongLaunchesAreReported) {
  const auto error = [](dim3 grid, dim3 block, size_t shared) {
    return ErrorOf([&] { Launch(&HalfMeet, grid, block, shared, nullptr); });
  };
  ExpectContains(error({0}, {32}, 0), "is empty");
  ExpectContains(error({1, 70000}, {32}, 0), "too large");
  ExpectContains(error({1}, {1025}, 0), "too many threads");
  ExpectContains(error({1}, {32}, 300 << 10), "shared memory");
}

void Shuffles(uint32_t* out) {
  const uint32_t lane = threadIdx.x;
  uint32_t* row = out + lane * 8;
  row[0] = __shfl_sync(kAllLanes, lane, 9);
  row[1] = __shfl_sync(kAllLanes, lane, 9, 8);
  row[2] = __shfl_xor_sync(kAllLanes, lane, 5);
  row[3] = __shfl_up_sync(kAllLanes, lane, 3);
  row[4] = __shfl_down_sync(kAllLanes, lane, 3, 8);
  row[5] = __ballot_sync(kAllLanes, lane % 3 == 0);
  row[6] = __any_sync(kAllLanes, lane == 4) && !__all_sync(kAllLanes, lane == 4);
  // Two halves that never meet.
  row[7] = lane < 16 ? __shfl_xor_sync(0xFFFFu, lane, 1) : __shfl_xor_sync(0xFFFF0000u, lane, 2);
}

// The definitions of the CUDA C++ programming guide, "Warp shuffle functions" and "vote".
TEST(CudaEmulation, ExchangesFollowTheirDefinitions) {
  std::vector<uint32_t> out(32 * 8);
  Launch(&Shuffles, dim3{1}, dim3{32}, 0, nullptr, out.data());
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t* row = out.data() + lane * 8;
    EXPECT_EQ(row[0], 9u);
    EXPECT_EQ(row[1], lane / 8 * 8 + 1);
    EXPECT_EQ(row[2], lane ^ 5);
    EXPECT_EQ(row[3], lane < 3 ? lane : lane - 3);
    EXPECT_EQ(row[4], lane % 8 < 5 ? lane + 3 : lane);
    EXPECT_EQ(row[5], 0x49249249u);
    EXPECT_EQ(row[6], 1u);
    EXPECT_EQ(row[7], lane < 16 ? lane ^ 1 : lane ^ 2);
  }
}

void SumBlock(const uint32_t* in, uint32_t* sum, uint32_t* largest) {
  const uint32_t value = in[blockIdx.x * blockDim.x + threadIdx.x];
  const uint32_t total = BlockReduce(value, Add());
  const uint32_t most = BlockReduce(value, Larger());
  if (threadIdx.x == blockDim.x / 2) {
    atomicAdd(sum, total);
    atomicMax(largest, most);
  }
}

TEST(CudaEmulation, ReductionsAndAtomicsAddUp) {
  for (const uint32_t threads : {32u, 96u, 1024u}) {
    std::vector<uint32_t> in(3 * threads);
    std::iota(in.begin(), in.end(), 0u);
    const int failing = OrdersThatFail([&] {
      uint32_t sum = 0;
      uint32_t largest = 0;
      Launch(&SumBlock, dim3{3}, dim3{threads}, 0, nullptr, in.data(), &sum, &largest);
      return sum == 3 * threads * (3 * threads - 1) / 2 && largest == 3 * threads - 1;
    });
    EXPECT_EQ(failing, 0) << threads << " threads";
  }
}

void ReadUnwritten(float* out) {
  const float* dynamic = reinterpret_cast<const float*>(DynamicShared());
  out[0] = dynamic[3];
  out[1] = __uint_as_float(StaticShared<Row>().values[3]);
}

TEST(CudaEmulation, SharedMemoryBeginsAsNaN) {
  float out[2] = {};
  Launch(&ReadUnwritten, dim3{1}, dim3{1}, 64, nullptr, out);
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
}

void LoadUnaligned(const float* from, float* to) {
  *to = LoadVector<Vector<float, 4>>(from + 1)[0];
}

TEST(CudaEmulation, UnalignedVectorsAreReported) {
  alignas(16) float values[8] = {};
  ExpectContains(
      ErrorOf([&] { Launch(&LoadUnaligned, dim3{1}, dim3{1}, 0, nullptr, values, values); }),
      "not a multiple of 16");
}

// Two stages; wrong if it does not wait for the first.
template <bool waits>
void CopyTwice(const float* from, float* to) {
  float* stage = reinterpret_cast<float*>(DynamicShared());
  const uint32_t i = threadIdx.x * 4;
  CopyAsync16(stage + i, from + i);
  CommitCopies();
  CopyAsync16(stage + 128 + i, from + 128 + i, 4);  // one float, and three zeros
  CommitCopies();
  if (waits) WaitForCopies<1>();
  __syncthreads();
  for (uint32_t k = 0; k < 4; ++k) to[i + k] = stage[127 - i - k];
  WaitForCopies<0>();
  __syncthreads();
  for (uint32_t k = 0; k < 4; ++k) to[128 + i + k] = stage[128 + i + k];
}

TEST(CudaEmulation, CopiesArriveWhenTheyAreWaitedFor) {
  alignas(16) float from[256];
  std::iota(from, from + 256, 1.0f);
  float to[256];
  Launch(&CopyTwice<true>, dim3{1}, dim3{32}, 1024, nullptr, from, to);
  for (uint32_t i = 0; i < 128; ++i) {
    EXPECT_EQ(to[i], from[127 - i]);
    EXPECT_EQ(to[128 + i], i % 4 == 0 ? from[128 + i] : 0.0f);
  }
  Launch(&CopyTwice<false>, dim3{1}, dim3{32}, 1024, nullptr, from, to);
  EXPECT_TRUE(std::any_of(to, to + 128, [](float value) { return std::isnan(value); }));
}

void LeaveCopies(const float* from) { CopyAsync16(DynamicShared(), from); }

TEST(CudaEmulation, CopiesInFlightAtTheEndAreReported) {
  alignas(16) float from[4] = {};
  ExpectContains(ErrorOf([&] { Launch(&LeaveCopies, dim3{1}, dim3{1}, 64, nullptr, from); }),
                 "in flight");
}

// c += a b, 16x16 by 16x8, row-major.
template <typename T>
void MultiplyTile(const T* a, const T* b, float* c) {
  const uint32_t group = threadIdx.x / 4;
  const uint32_t pair = threadIdx.x % 4 * 2;
  const auto two = [](T low, T high) {
    return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
  };
  uint32_t a_part[4];
  for (uint32_t i = 0; i < 4; ++i) {
    const T* at = a + (group + i % 2 * 8) * 16 + pair + i / 2 * 8;
    a_part[i] = two(at[0], at[1]);
  }
  uint32_t b_part[2];
  for (uint32_t i = 0; i < 2; ++i) {
    const T* at = b + (pair + i * 8) * 8 + group;
    b_part[i] = two(at[0], at[8]);
  }
  float sums[4];
  for (uint32_t i = 0; i < 4; ++i) sums[i] = c[(group + i / 2 * 8) * 8 + pair + i % 2];
  MultiplyAddOf<T>(sums, a_part, b_part);
  for (uint32_t i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + pair + i % 2] = sums[i];
}

template <typename T>
void CheckMultiply(T (*round)(float)) {
  Random random(41);
  std::vector<T> a(16 * 16);
  std::vector<T> b(16 * 8);
  for (T& value : a) value = round(random.Bell());
  for (T& value : b) value = round(random.Bell());
  std::vector<float> c = random.Activations(16 * 8);
  std::vector<float> expected = c;
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 8; ++j) {
      double sum = double{c[i * 8 + j]};
      for (size_t k = 0; k < 16; ++k) sum += double{ToFloat(a[i * 16 + k])} * ToFloat(b[k * 8 + j]);
      expected[i * 8 + j] = static_cast<float>(sum);
    }
  }
  Launch(&MultiplyTile<T>, dim3{1}, dim3{32}, 0, nullptr, a.data(), b.data(), c.data());
  ExpectClose(expected, c, std::vector<double>(c.size(), 1e-4), "tile");
}

// The fragment layout of mma.m16n8k16 in the PTX manual.
TEST(CudaEmulation, MatrixInstructionsMultiply) {
  CheckMultiply<BF16>(&ToBF16);
  CheckMultiply<F16>(&ToF16);
}

struct FourMatrices {
  alignas(16) uint16_t values[4][8][8];
};

void LoadTransposed(uint32_t* out) {
  FourMatrices& matrices = StaticShared<FourMatrices>();
  const uint32_t lane = threadIdx.x;
  for (uint16_t column = 0; column < 8; ++column) {
    matrices.values[lane / 8][lane % 8][column] = static_cast<uint16_t>(lane * 8 + column);
  }
  __syncwarp();
  uint32_t loaded[4];
  LoadMatricesTransposed(loaded, matrices.values[lane / 8][lane % 8]);
  for (uint32_t i = 0; i < 4; ++i) out[lane * 4 + i] = loaded[i];
}

// The fragment layout of ldmatrix.trans in the PTX manual: value (row, column) of matrix i is
// 64 i + 8 row + column.
TEST(CudaEmulation, MatrixLoadsTranspose) {
  std::vector<uint32_t> out(32 * 4);
  Launch(&LoadTransposed, dim3{1}, dim3{32}, 0, nullptr, out.data());
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t first = 64 * i + 8 * (lane % 4 * 2) + lane / 4;
      EXPECT_EQ(out[lane * 4 + i], first | (first + 8) << 16);
    }
  }
}

}  // namespace
}  // namespace infercept::test
