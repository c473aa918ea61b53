// The bytes of the KV cache: blocks do not overlap, copies move whole blocks between the right
// tiers, and what cannot be reserved is an error.
#include "device/kv_storage.h"

#include <algorithm>
#include <span>
#include <vector>

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

// Every layer of every group has planes of its own in the blocks of its group.
TEST(KvStorage, LayersOfGroupsDoNotOverlap) {
  constexpr uint32_t kWindows[] = {6, 6, 0, 6, 6, 0, 6, 6, 6};
  KvShape shape = kShape;
  shape.layers = 9;
  shape.groups = GroupLayers(kWindows, 100);
  // 1 of the 2 layers that see everything, 4 of the 7 with a window; one place stays empty.
  ASSERT_EQ(shape.groups.count, 5u);
  EXPECT_EQ(shape.groups.full, 1u);
  EXPECT_EQ(shape.block_bytes(), 2 * 2 * shape.plane_bytes());
  const auto storage = KvStorage::Create(shape, shape.groups.count, 0).Take();
  const auto plane = [&](const PagedKv& view, std::byte* tier) {
    return std::span(tier + view.group * view.block_stride, shape.plane_bytes());
  };
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const PagedKv view = storage->Layer(layer);
    EXPECT_EQ(view.groups, 5u);
    EXPECT_EQ(view.group == 0, kWindows[layer] == 0);
    std::ranges::fill(plane(view, view.keys), std::byte(2 * layer));
    std::ranges::fill(plane(view, view.values), std::byte(2 * layer + 1));
  }
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const PagedKv view = storage->Layer(layer);
    const auto holds = [](std::span<std::byte> bytes, uint32_t value) {
      return static_cast<size_t>(std::ranges::count(bytes, std::byte(value))) == bytes.size();
    };
    EXPECT_TRUE(holds(plane(view, view.keys), 2 * layer)) << layer;
    EXPECT_TRUE(holds(plane(view, view.values), 2 * layer + 1)) << layer;
  }
}

TEST(KvStorage, LayersOfOneKindMakeNoGroups) {
  EXPECT_EQ(GroupLayers({}, 100).count, 1u);
  EXPECT_EQ(GroupLayers(std::vector<uint32_t>{0, 0}, 100).count, 1u);
  EXPECT_EQ(GroupLayers(std::vector<uint32_t>{8, 6}, 100).count, 1u);
  EXPECT_EQ(GroupLayers(std::vector<uint32_t>{8, 0}, 8).count, 1u);  // no context is longer
  EXPECT_EQ(GroupLayers(std::vector<uint32_t>{8, 0}, 9).count, 2u);
  // 13 and 14 layers: groups of 13 would leave 12 of 39 places empty.
  std::vector<uint32_t> windows(27, 0);
  std::fill_n(windows.begin(), 14, 8);
  const LayerGroups groups = GroupLayers(windows, 100);
  EXPECT_EQ(groups.layers, 7u);
  EXPECT_EQ(groups.count, 4u);
  EXPECT_EQ(groups.full, 2u);
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
