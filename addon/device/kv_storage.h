// The bytes of the KV cache: memory of the device and pinned memory of the host, of equal blocks.
// Which block belongs to whom is known in kv/. On a CPU both tiers are memory of the process; host
// blocks are those that steps never compute with.
//
//   block:  [layers][2: keys, values][kv_heads] planes of block_tokens keys or values
//
// The layers are all, or those of a group. All of a block lies together, so that one copy moves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "base/types.h"
#include "device/cpu_device.h"
#include "device/layer_groups.h"
#include "kernels/tensor_view.h"

namespace infercept {

struct KvShape {
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t block_tokens = 16;
  DType dtype = DType::kF16;  // IsKvDType
  LayerGroups groups = {};

  // Bytes of one layer's keys (or values) in one block.
  size_t plane_bytes() const {
    return static_cast<size_t>(kv_heads) * block_tokens * RowBytes(dtype, head_dim);
  }
  size_t block_bytes() const {
    return plane_bytes() * 2 * (groups.layers == 0 ? layers : groups.layers);
  }
  // Of all groups; of a context whose layers keep everything.
  size_t token_bytes() const { return block_bytes() * groups.count / block_tokens; }
};

class KvStorage {
 public:
  // Memory is reserved at once; on a CPU the system commits it as blocks are first written.
  // kOutOfMemory, saying what would fit, when it cannot be. `device` outlives the storage.
  static Result<std::unique_ptr<KvStorage>> Create(const KvShape& shape, uint32_t device_blocks,
                                                   uint32_t host_blocks,
                                                   Device& device = CpuDevice());

  const KvShape& shape() const { return shape_; }
  uint32_t device_blocks() const { return device_blocks_; }
  uint32_t host_blocks() const { return host_blocks_; }
  // One more block of the device, where it has graphs: belongs to nobody, and takes what is
  // computed for nobody.
  BlockId padding_block() const { return BlockId{device_blocks_}; }

  // One layer of the device tier, for kernels.
  PagedKv Layer(uint32_t layer) const;

  // Enqueue copies. An id that is not a block: InternalError, and nothing is enqueued.
  void CopyWithin(std::span<const BlockCopy> copies, Stream& stream) const;  // device -> device
  void CopyOut(std::span<const BlockCopy> copies, Stream& stream) const;     // device -> host
  void CopyIn(std::span<const BlockCopy> copies, Stream& stream) const;      // host -> device

 private:
  KvStorage(const KvShape& shape, Arena device, uint32_t device_blocks, Arena host,
            uint32_t host_blocks);
  // The blocks of one tier.
  struct Tier {
    std::byte* data;
    uint32_t blocks;
  };
  Tier device() const { return {device_.data(), device_blocks_}; }
  Tier host() const { return {host_.data(), host_blocks_}; }
  void Copy(const Tier& source, const Tier& target, std::span<const BlockCopy> copies,
            Stream& stream) const;

  // Constant after construction.
  KvShape shape_;
  Arena device_;
  Arena host_;
  uint32_t device_blocks_;
  uint32_t host_blocks_;
};

}  // namespace infercept
