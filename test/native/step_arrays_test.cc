// What the host prepares arrives on the device: in pieces, at the same addresses every step, with
// block tables that point to each other there.
#include "device/step_arrays.h"

#include <cstring>
#include <vector>

#include "device/arena_writer.h"
#include "fake_device.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kBlockTokens = 4;
constexpr uint64_t kSeeds = 50;

// What lies on the device, through pinned memory.
template <typename T>
std::vector<T> Read(FakeDevice& device, Stream& stream, const T* data, size_t count) {
  const Arena pinned = device.AllocatePinned(count * sizeof(T), "a test").Take();
  stream.Copy(pinned.data(), data, count * sizeof(T));
  EXPECT_TRUE(stream.Synchronize().ok());
  std::vector<T> values(count);
  std::memcpy(values.data(), pinned.data(), count * sizeof(T));
  return values;
}

// Two sequences: one decode behind nine tokens, and a prompt of three.
struct Batch {
  explicit Batch(int32_t salt)
      : tokens({salt, salt + 1, salt + 2, salt + 3}),
        positions({9, 0, 1, 2}),
        first({BlockId{1}, BlockId{5}, BlockId{static_cast<uint32_t>(salt)}}),
        second({BlockId{7}}),
        slices({{0, 1, 9, first.data()}, {1, 3, 0, second.data()}}) {}

  std::vector<TokenId> tokens;
  std::vector<uint32_t> positions;
  std::vector<BlockId> first;
  std::vector<BlockId> second;
  std::vector<AttentionSlice> slices;
};

}  // namespace

TEST(StepArrays, ArriveAtTheSameAddressesEveryTime) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    FakeDevice device({.seed = seed});
    const auto stream = device.CreateStream(StreamUse::kCompute).Take();
    StepArrays arrays = StepArrays::Create(device, *stream, {8, 10, kBlockTokens}).Take();
    const AttentionSlice* where = nullptr;
    for (int32_t salt = 10; salt < 16; ++salt) {
      // Its own arrays are gone when the next one is bound, and may be before anything is copied.
      const Batch batch(salt);
      ASSERT_TRUE(arrays.Bind(batch.tokens, batch.positions, batch.slices).ok());
      const auto part = arrays.OnDevice(std::span(batch.tokens).subspan(1, 2));
      const auto slices = arrays.OnDevice(std::span<const AttentionSlice>(batch.slices));
      EXPECT_TRUE(where == nullptr || where == slices.data());
      where = slices.data();
      if (salt % 2 == 0) continue;
      EXPECT_TRUE(Read(device, *stream, part.data(), 2) ==
                  std::vector<TokenId>({salt + 1, salt + 2}));
      const auto there = Read(device, *stream, slices.data(), 2);
      EXPECT_EQ(there[0].first_position, 9u);
      EXPECT_EQ(there[1].rows, 3u);
      EXPECT_TRUE(Read(device, *stream, there[0].block_table, 3) == batch.first);
      EXPECT_TRUE(Read(device, *stream, there[1].block_table, 1) == batch.second);
    }
    ASSERT_TRUE(device.violations().empty()) << device.violations()[0];
    static_cast<void>(stream->Synchronize());
  }
}

TEST(StepArrays, ListsOfTheSameLengthsArriveAtTheSameAddresses) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    FakeDevice device({.seed = seed});
    const auto stream = device.CreateStream(StreamUse::kCompute).Take();
    StepArrays arrays = StepArrays::Create(device, *stream, {8, 10, kBlockTokens, 32}).Take();
    for (uint32_t salt = 10; salt < 14; ++salt) {
      const Batch batch(static_cast<int32_t>(salt));
      const std::vector<uint32_t> first = {salt, 2, 3};
      const std::vector<uint32_t> second = {salt + 1, 5, 6, 7, 8};
      const std::vector<StepArrays::List> lists = {
          std::as_bytes(std::span(first)), {}, std::as_bytes(std::span(second))};
      const std::byte* where = salt == 10 ? nullptr : arrays.list(2);
      ASSERT_TRUE(arrays.Bind(batch.tokens, batch.positions, batch.slices, lists).ok());
      EXPECT_TRUE(where == nullptr || where == arrays.list(2));
      const auto* there = reinterpret_cast<const uint32_t*>(arrays.list(0));
      EXPECT_TRUE(Read(device, *stream, there, 3) == first);
      there = reinterpret_cast<const uint32_t*>(arrays.list(2));
      EXPECT_TRUE(Read(device, *stream, there, 5) == second);
      const auto slices = arrays.OnDevice(std::span<const AttentionSlice>(batch.slices));
      const BlockId* table = Read(device, *stream, slices.data(), 1)[0].block_table;
      EXPECT_TRUE(Read(device, *stream, table, 3) == batch.first);
    }
    ASSERT_TRUE(device.violations().empty()) << device.violations()[0];
  }
}

TEST(StepArrays, RefuseWhatDoesNotFitAndWhatWasNotBound) {
  FakeDevice device;
  const auto stream = device.CreateStream(StreamUse::kCompute).Take();
  const Batch batch(10);
  StepArrays few_ids = StepArrays::Create(device, *stream, {8, 3, kBlockTokens}).Take();
  EXPECT_THROW(static_cast<void>(few_ids.Bind(batch.tokens, batch.positions, batch.slices)),
               InternalError);
  StepArrays few_rows = StepArrays::Create(device, *stream, {3, 10, kBlockTokens}).Take();
  EXPECT_THROW(static_cast<void>(few_rows.Bind(batch.tokens, batch.positions, batch.slices)),
               InternalError);
  StepArrays arrays = StepArrays::Create(device, *stream, {4, 4, kBlockTokens}).Take();
  const uint32_t word = 0;
  const StepArrays::List list = std::as_bytes(std::span(&word, 1));
  EXPECT_THROW(
      static_cast<void>(arrays.Bind(batch.tokens, batch.positions, batch.slices, {&list, 1})),
      InternalError);
  ASSERT_TRUE(arrays.Bind(batch.tokens, batch.positions, batch.slices).ok());
  const Batch other(10);
  EXPECT_THROW(arrays.OnDevice(std::span<const TokenId>(other.tokens)), InternalError);
  static_cast<void>(stream->Synchronize());
}

TEST(ArenaWriter, WritesPiecesOneBehindTheOther) {
  std::vector<std::byte> source(1000);
  for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 5 / 3);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    FakeDevice device({.seed = seed});
    const auto stream = device.CreateStream(StreamUse::kCompute).Take();
    ArenaWriter writer = ArenaWriter::Create(device, *stream, 1100, 64, "a test").Take();
    ASSERT_TRUE(writer.Write(std::span(source).first(500)).ok());
    writer.Align(64);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(writer.next()) % 64, 0u);
    const std::byte* second = writer.next();
    ASSERT_TRUE(writer.Write(std::span(source).subspan(500)).ok());
    const Arena arena = writer.Finish().Take();
    EXPECT_EQ(second - arena.data(), 512);
    EXPECT_EQ(std::memcmp(arena.data(), source.data(), 500), 0);
    EXPECT_EQ(std::memcmp(second, source.data() + 500, 500), 0);
    ASSERT_TRUE(device.violations().empty()) << device.violations()[0];
  }
}

}  // namespace infercept::test
