// A small KV storage whose blocks can be filled with recognizable bytes.
#pragma once

#include <cstring>
#include <memory>

#include "device/kv_storage.h"

namespace infercept::test {

inline const KvShape kShape = {
    .layers = 3, .kv_heads = 2, .head_dim = 8, .block_tokens = 4, .dtype = DType::kF32};

inline std::unique_ptr<KvStorage> MakeStorage(uint32_t device_blocks = 4,
                                              uint32_t host_blocks = 5) {
  return KvStorage::Create(kShape, device_blocks, host_blocks).Take();
}

// Every plane of the block holds its own number.
inline void Fill(const KvStorage& storage, uint32_t block, int salt) {
  for (uint32_t layer = 0; layer < kShape.layers; ++layer) {
    const PagedKv view = storage.Layer(layer);
    std::memset(view.keys + block * view.block_stride, salt + static_cast<int>(2 * layer),
                kShape.plane_bytes());
    std::memset(view.values + block * view.block_stride, salt + static_cast<int>(2 * layer + 1),
                kShape.plane_bytes());
  }
}

inline bool Holds(const KvStorage& storage, uint32_t block, int salt) {
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

inline BlockCopy Copy(uint32_t source, uint32_t target) {
  return {BlockId{source}, BlockId{target}};
}

}  // namespace infercept::test
