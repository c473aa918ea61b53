// The bytes of the KV cache: blocks do not overlap, copies move whole blocks between the right
// tiers, and what cannot be reserved is an error.
#include "device/kv_storage.h"

#include "test.h"
#include "tiny_storage.h"

namespace infercept {

using namespace test;  // NOLINT: the helpers are the vocabulary of this file

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
  storage->CopyWithin(std::vector{Copy(1, 3)}, CpuStream());
  EXPECT_TRUE(Holds(*storage, 3, 20));
  storage->CopyOut(std::vector{Copy(1, 4)}, CpuStream());
  Fill(*storage, 1, 90);
  storage->CopyIn(std::vector{Copy(4, 0)}, CpuStream());
  EXPECT_TRUE(Holds(*storage, 0, 20));
  EXPECT_TRUE(Holds(*storage, 1, 90));
}

TEST(KvStorage, RefusesBlocksThatDoNotExist) {
  const auto storage = MakeStorage();
  EXPECT_THROW(storage->CopyOut(std::vector{Copy(4, 0)}, CpuStream()), InternalError);
  EXPECT_THROW(storage->CopyIn(std::vector{Copy(5, 0)}, CpuStream()), InternalError);
  EXPECT_THROW(storage->CopyWithin(std::vector{Copy(0, 4)}, CpuStream()), InternalError);
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

}  // namespace infercept
