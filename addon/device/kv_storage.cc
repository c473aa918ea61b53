#include "device/kv_storage.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace infercept {
namespace {

// kOutOfMemory when the product is no size at all.
Result<size_t> TierBytes(const KvShape& shape, uint32_t blocks, std::string_view tier) {
  const size_t block_bytes = shape.block_bytes();
  if (blocks > std::numeric_limits<ptrdiff_t>::max() / block_bytes) {
    return Status(StatusCode::kOutOfMemory, "cannot reserve " + std::to_string(blocks) +
                                                " blocks of " + std::to_string(block_bytes) +
                                                " bytes for the " + std::string(tier));
  }
  return blocks * block_bytes;
}

// A CPU's memory is committed where it is touched; another device's is taken at once.
Status CheckFits(size_t bytes, size_t padding_bytes, const Device& device) {
  if (device.properties().is_host) return Status();
  const Result<MemoryInfo> memory = device.Memory();
  if (!memory.ok()) return memory.status();
  const size_t room = memory.value().free - std::min(memory.value().free, padding_bytes);
  if (bytes <= room) return Status();
  return Status(StatusCode::kOutOfMemory,
                "a KV cache of " + std::to_string(bytes) + " bytes does not fit on " +
                    device.properties().id + ", which has " + std::to_string(room) + " of " +
                    std::to_string(memory.value().total) +
                    " bytes left beside the weights. Set kvCache.bytes to no more than that, or "
                    "quantize the weights");
}

}  // namespace

Result<std::unique_ptr<KvStorage>> KvStorage::Create(const KvShape& shape, uint32_t device_blocks,
                                                     uint32_t host_blocks, Device& device) {
  IC_CHECK(shape.block_bytes() > 0 && IsKvDType(shape.dtype));
  IC_CHECK(shape.head_dim % BlockValues(shape.dtype) == 0);
  IC_CHECK(shape.groups.places.empty() || shape.groups.places.size() == shape.layers);
  constexpr std::string_view kDeviceTier = "KV cache (device tier)";
  constexpr std::string_view kHostTier = "KV cache (host tier)";
  const Result<size_t> block_bytes = TierBytes(shape, device_blocks, kDeviceTier);
  if (!block_bytes.ok()) return block_bytes.status();
  const size_t padding_bytes = device.properties().graphs ? shape.block_bytes() : 0;
  const Result<size_t> host_bytes = TierBytes(shape, host_blocks, kHostTier);
  if (!host_bytes.ok()) return host_bytes.status();
  if (Status fits = CheckFits(block_bytes.value(), padding_bytes, device); !fits.ok()) return fits;
  Result<Arena> blocks = device.Allocate(block_bytes.value() + padding_bytes, kDeviceTier);
  if (!blocks.ok()) return blocks.status();
  Result<Arena> host = device.AllocatePinned(host_bytes.value(), kHostTier);
  if (!host.ok()) return host.status();
  return std::unique_ptr<KvStorage>(new KvStorage(shape, std::move(blocks).Take(), device_blocks,
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
  const LayerGroups& groups = shape_.groups;
  const LayerGroups::Place place =
      groups.places.empty() ? LayerGroups::Place{0, layer} : groups.places[layer];
  std::byte* keys = device_.data() + 2 * place.layer * plane_bytes;
  return {.dtype = shape_.dtype,
          .keys = keys,
          .values = keys + plane_bytes,
          .block_stride = shape_.block_bytes(),
          .block_tokens = shape_.block_tokens,
          .kv_heads = shape_.kv_heads,
          .head_dim = shape_.head_dim,
          .groups = groups.count,
          .group = place.group};
}

void KvStorage::Copy(const Tier& source, const Tier& target, std::span<const BlockCopy> copies,
                     Stream& stream) const {
  for (const BlockCopy& copy : copies) {
    IC_CHECK(Index(copy.source) < source.blocks && Index(copy.target) < target.blocks);
  }
  const size_t bytes = shape_.block_bytes();
  for (const BlockCopy& copy : copies) {
    stream.Copy(target.data + Index(copy.target) * bytes, source.data + Index(copy.source) * bytes,
                bytes);
  }
}

void KvStorage::CopyWithin(std::span<const BlockCopy> copies, Stream& stream) const {
  for (const BlockCopy& copy : copies) IC_CHECK(copy.source != copy.target);
  Copy(device(), device(), copies, stream);
}

void KvStorage::CopyOut(std::span<const BlockCopy> copies, Stream& stream) const {
  Copy(device(), host(), copies, stream);
}

void KvStorage::CopyIn(std::span<const BlockCopy> copies, Stream& stream) const {
  Copy(host(), device(), copies, stream);
}

}  // namespace infercept
