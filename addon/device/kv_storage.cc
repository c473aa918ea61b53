#include "device/kv_storage.h"

#include <cstring>
#include <limits>
#include <utility>

namespace infercept {
namespace {

Result<Arena> CreateTier(const KvShape& shape, uint32_t blocks, std::string_view tier) {
  const size_t block_bytes = shape.block_bytes();
  if (blocks > std::numeric_limits<ptrdiff_t>::max() / block_bytes) {
    return Status(StatusCode::kOutOfMemory, "cannot reserve " + std::to_string(blocks) +
                                                " blocks of " + std::to_string(block_bytes) +
                                                " bytes for the " + std::string(tier));
  }
  return Arena::Create(blocks * block_bytes, tier);
}

}  // namespace

Result<std::unique_ptr<KvStorage>> KvStorage::Create(const KvShape& shape, uint32_t device_blocks,
                                                     uint32_t host_blocks) {
  IC_CHECK(shape.block_bytes() > 0 && IsKvDType(shape.dtype));
  IC_CHECK(shape.head_dim % BlockValues(shape.dtype) == 0);
  Result<Arena> device = CreateTier(shape, device_blocks, "KV cache (device tier)");
  if (!device.ok()) return device.status();
  Result<Arena> host = CreateTier(shape, host_blocks, "KV cache (host tier)");
  if (!host.ok()) return host.status();
  return std::unique_ptr<KvStorage>(new KvStorage(shape, std::move(device).Take(), device_blocks,
                                                  std::move(host).Take(), host_blocks));
}

KvStorage::KvStorage(const KvShape& shape, Arena device, uint32_t device_blocks, Arena host,
                     uint32_t host_blocks)
    : shape_(shape),
      device_(std::move(device)),
      host_(std::move(host)),
      device_blocks_(device_blocks),
      host_blocks_(host_blocks) {}

PagedKv KvStorage::Layer(uint32_t layer) const {
  IC_CHECK(layer < shape_.layers);
  const size_t plane_bytes = shape_.plane_bytes();
  std::byte* keys = device_.data() + 2 * layer * plane_bytes;
  return {.dtype = shape_.dtype,
          .keys = keys,
          .values = keys + plane_bytes,
          .block_stride = shape_.block_bytes(),
          .block_tokens = shape_.block_tokens,
          .kv_heads = shape_.kv_heads,
          .head_dim = shape_.head_dim};
}

std::byte* KvStorage::DeviceBlock(BlockId block) const {
  IC_CHECK(Index(block) < device_blocks_);
  return device_.data() + Index(block) * shape_.block_bytes();
}

std::byte* KvStorage::HostBlock(BlockId block) const {
  IC_CHECK(Index(block) < host_blocks_);
  return host_.data() + Index(block) * shape_.block_bytes();
}

void KvStorage::CopyWithin(std::span<const BlockCopy> copies) const {
  for (const BlockCopy& copy : copies) {
    IC_CHECK(copy.source != copy.target);
    std::memcpy(DeviceBlock(copy.target), DeviceBlock(copy.source), shape_.block_bytes());
  }
}

void KvStorage::CopyOut(std::span<const BlockCopy> copies) const {
  for (const BlockCopy& copy : copies) {
    std::memcpy(HostBlock(copy.target), DeviceBlock(copy.source), shape_.block_bytes());
  }
}

void KvStorage::CopyIn(std::span<const BlockCopy> copies) const {
  for (const BlockCopy& copy : copies) {
    std::memcpy(DeviceBlock(copy.target), HostBlock(copy.source), shape_.block_bytes());
  }
}

}  // namespace infercept
