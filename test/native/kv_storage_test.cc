// The bytes of the KV cache: blocks do not overlap, copies move whole blocks between the right
// tiers, and what cannot be reserved is an error.
#include "device/kv_storage.h"

#include <cstring>

#include "engine/copy_engine.h"
#include "test.h"

namespace infercept {
namespace {

constexpr KvShape kShape = {
    .layers = 3, .kv_heads = 2, .head_dim = 8, .block_tokens = 4, .dtype = DType::kF32};

std::unique_ptr<KvStorage> MakeStorage(uint32_t device_blocks = 4, uint32_t host_blocks = 5) {
  return KvStorage::Create(kShape, device_blocks, host_blocks).Take();
}

// Every plane of the block holds its own number.
void Fill(const KvStorage& storage, uint32_t block, int salt) {
  for (uint32_t layer = 0; layer < kShape.layers; ++layer) {
    const PagedKv view = storage.Layer(layer);
    std::memset(view.keys + block * view.block_stride, salt + static_cast<int>(2 * layer),
                kShape.plane_bytes());
    std::memset(view.values + block * view.block_stride, salt + static_cast<int>(2 * layer + 1),
                kShape.plane_bytes());
  }
}

bool Holds(const KvStorage& storage, uint32_t block, int salt) {
  for (uint32_t layer = 0; layer < kShape.layers; ++layer) {
    const PagedKv view = storage.Layer(layer);
    for (size_t i = 0; i < kShape.plane_bytes(); ++i) {
      if (static_cast<int>(view.keys[block * view.block_stride + i]) !=
              salt + static_cast<int>(2 * layer) ||
          static_cast<int>(view.values[block * view.block_stride + i]) !=
              salt + static_cast<int>(2 * layer + 1)) {
        return false;
      }
    }
  }
  return true;
}

BlockCopy Copy(uint32_t source, uint32_t target) { return {BlockId{source}, BlockId{target}}; }

}  // namespace

TEST(KvStorage, BlocksAndLayersDoNotOverlap) {
  const auto storage = MakeStorage();
  for (uint32_t block = 0; block < 4; ++block) Fill(*storage, block, static_cast<int>(10 * block));
  for (uint32_t block = 0; block < 4; ++block) {
    EXPECT_TRUE(Holds(*storage, block, static_cast<int>(10 * block))) << "block " << block;
  }
}

TEST(KvStorage, CopiesWithinAndBetweenTiers) {
  const auto storage = MakeStorage();
  Fill(*storage, 1, 20);
  storage->CopyWithin(std::vector{Copy(1, 3)});
  EXPECT_TRUE(Holds(*storage, 3, 20));
  storage->CopyOut(std::vector{Copy(1, 4)});
  Fill(*storage, 1, 90);
  storage->CopyIn(std::vector{Copy(4, 0)});
  EXPECT_TRUE(Holds(*storage, 0, 20));
  EXPECT_TRUE(Holds(*storage, 1, 90));
}

TEST(KvStorage, RefusesBlocksThatDoNotExist) {
  const auto storage = MakeStorage();
  EXPECT_THROW(storage->CopyOut(std::vector{Copy(4, 0)}), InternalError);
  EXPECT_THROW(storage->CopyIn(std::vector{Copy(5, 0)}), InternalError);
  EXPECT_THROW(storage->CopyWithin(std::vector{Copy(0, 4)}), InternalError);
}

TEST(KvStorage, SaysHowMuchMemoryWasRefused) {
  const KvShape huge = {.layers = 1u << 20,
                        .kv_heads = 1u << 10,
                        .head_dim = 1u << 10,
                        .block_tokens = 16,
                        .dtype = DType::kF32};
  const auto storage = KvStorage::Create(huge, UINT32_MAX, 0);
  ASSERT_TRUE(!storage.ok());
  EXPECT_EQ(storage.status().code(), StatusCode::kOutOfMemory);
  EXPECT_NE(storage.status().message().find("4294967295"), std::string::npos);
}

TEST(CopyEngine, MovesBothDirectionsAndReportsTheirTimes) {
  const auto storage = MakeStorage();
  CopyEngine engine(*storage);
  for (int round = 0; round < 50; ++round) {
    Fill(*storage, 0, round);
    storage->CopyOut(std::vector{Copy(0, 1)});
    Fill(*storage, 2, round + 100);
    const std::vector out = {Copy(2, 3)};
    const std::vector in = {Copy(1, 3)};
    engine.Start(out, in);
    const CopyTimes times = engine.Wait();
    ASSERT_TRUE(Holds(*storage, 3, round));
    storage->CopyIn(std::vector{Copy(3, 1)});
    ASSERT_TRUE(Holds(*storage, 1, round + 100));
    EXPECT_GT(times.swap_out, 0);
    EXPECT_GT(times.swap_in, 0);
  }
  engine.Start({}, {});
  EXPECT_EQ(engine.Wait().swap_out, 0);
}

TEST(CopyEngine, HandsAFailedCopyToTheWaitingThread) {
  const auto storage = MakeStorage();
  CopyEngine engine(*storage);
  const std::vector wrong = {Copy(9, 9)};
  engine.Start({}, wrong);
  EXPECT_THROW(engine.Wait(), InternalError);
  engine.Start({}, {});
  engine.Wait();
}

}  // namespace infercept
