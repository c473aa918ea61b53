// Tiles of keys and values in shared memory, as matrix instructions take them, and how they come
// there from the paged cache. A cache of 16-bit floats is copied as it is; bytes are copied beside
// the computation, too, and turned into F16 when their tile is next: F16 has all numbers of E4M3,
// and codes of Q8_0 times their scale are rounded to it.
#pragma once

#include <type_traits>

#include "base/dtype.h"
#include "base/types.h"
#include "kernels/cuda/device/copy_async.cuh"
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/vector.cuh"

namespace infercept::cuda {

inline constexpr uint32_t kTileTokens = 32;
// A block of the cache is a whole number of these.
inline constexpr uint32_t kRunTokens = 16;

// Keys and values of one KV head of one sequence (kernels/paged_kv.h).
struct PagedHead {
  const std::byte* keys;       // planes [blocks], of this head
  const std::byte* values;     // likewise
  size_t block_stride;         // bytes
  const BlockId* block_table;  // every `groups`-th entry
  uint32_t groups;
  uint32_t block_tokens;
  uint32_t begin;  // nobody sees the positions before; their blocks may be gone
  uint32_t end;    // positions from here on do not exist
  bool is_q8;      // where the cache is of bytes: Q8_0, else E4M3

  __device__ __forceinline__ bool RunExists(uint32_t position) const {
    return position < end && position + kRunTokens > begin;
  }
  // Where the block of a position lies behind `keys` and `values`.
  __device__ __forceinline__ size_t BlockAt(uint32_t position) const {
    return Index(block_table[size_t{position / block_tokens} * groups]) * block_stride;
  }
};

// Rows are 16 bytes longer than their values, so that the 8 rows of a matrix lie in 8 different
// groups of banks.
template <uint32_t head_dim>
struct alignas(16) KvTile {
  static constexpr uint32_t kKeyStride = kTileTokens + 8;
  static constexpr uint32_t kValueStride = head_dim + 8;
  uint16_t keys[head_dim * kKeyStride];         // [head_dim][positions]
  uint16_t values[kTileTokens * kValueStride];  // [positions][head_dim]
};

// Begins to copy the tile whose first position is `start`, by all `threads` threads of the block.
// Positions at the end and after it get zeros for values, and so do runs that nobody sees: their
// weights are zeros, but a NaN times zero would be one. Their keys may be anything.
template <uint32_t head_dim, uint32_t threads>
__device__ __forceinline__ void BeginTile(const PagedHead& head, uint32_t start,
                                          KvTile<head_dim>& tile) {
  using Tile = KvTile<head_dim>;
#pragma unroll
  for (uint32_t run = 0; run < kTileTokens; run += kRunTokens) {
    const uint32_t position = start + run;
    const bool exists = head.RunExists(position);
    // Of a run that does not exist nothing is read, from wherever.
    const size_t block = exists ? head.BlockAt(position) : 0;
    const uint32_t slot = exists ? position % head.block_tokens : 0;
    const std::byte* keys = head.keys + block + slot * 2;
    for (uint32_t i = threadIdx.x; i < head_dim * 2; i += threads) {
      const uint32_t d = i / 2;
      const uint32_t half = i % 2 * 8;
      CopyAsync16(tile.keys + d * Tile::kKeyStride + run + half,
                  keys + (size_t{d} * head.block_tokens + half) * 2, exists ? 16 : 0);
    }
    const std::byte* values = head.values + block + size_t{slot} * head_dim * 2;
    for (uint32_t i = threadIdx.x; i < kRunTokens * head_dim / 8; i += threads) {
      const uint32_t token = i / (head_dim / 8);
      const uint32_t d = i % (head_dim / 8) * 8;
      CopyAsync16(tile.values + (run + token) * Tile::kValueStride + d,
                  values + (size_t{token} * head_dim + d) * 2,
                  exists && position + token < head.end ? 16 : 0);
    }
  }
}

// A tile of a cache of bytes, E4M3 or the codes of Q8_0.
template <uint32_t head_dim>
struct alignas(16) KvBytes {
  static constexpr uint32_t kQ8Blocks = head_dim / kQ8BlockValues;  // of a key, or a value
  static constexpr uint32_t kQ8RowBytes = kQ8Blocks * kQ8BlockBytes;
  static constexpr uint32_t kRowBytes = kQ8RowBytes > head_dim ? kQ8RowBytes : head_dim;

  uint8_t keys[head_dim * kTileTokens];     // [runs][head_dim][positions of the run]
  uint8_t values[kTileTokens * kRowBytes];  // rows as the cache has them
  // Q8_0: [runs][kQ8Blocks][positions of the run]
  uint16_t key_scales[(kQ8Blocks + 1) * kTileTokens];
};

// The same of bytes, but for values at the end and after it: ExpandTile makes zeros of them.
template <uint32_t head_dim, uint32_t threads>
__device__ __forceinline__ void BeginTile(const PagedHead& head, uint32_t start,
                                          KvBytes<head_dim>& tile) {
  using Tile = KvBytes<head_dim>;
  const uint32_t row_bytes = head.is_q8 ? Tile::kQ8RowBytes : head_dim;
#pragma unroll
  for (uint32_t run = 0; run < kTileTokens; run += kRunTokens) {
    const uint32_t position = start + run;
    const bool exists = head.RunExists(position);
    const uint32_t bytes = exists ? 16 : 0;
    const size_t block = exists ? head.BlockAt(position) : 0;
    const uint32_t slot = exists ? position % head.block_tokens : 0;
    const std::byte* keys = head.keys + block;
    for (uint32_t d = threadIdx.x; d < head_dim; d += threads) {
      const uint32_t row = head.is_q8 ? d + d / kQ8BlockValues * 2 + 2 : d;
      CopyAsync16(tile.keys + run * head_dim + d * kRunTokens,
                  keys + size_t{row} * head.block_tokens + slot, bytes);
    }
    for (uint32_t i = threadIdx.x; head.is_q8 && i < Tile::kQ8Blocks * 2; i += threads) {
      CopyAsync16(tile.key_scales + run * Tile::kQ8Blocks + i * 8,
                  keys + i / 2 * kQ8BlockBytes * head.block_tokens + slot * 2 + i % 2 * 16, bytes);
    }
    const std::byte* values = head.values + block + size_t{slot} * row_bytes;
    for (uint32_t i = threadIdx.x; i < row_bytes; i += threads) {
      CopyAsync16(tile.values + run * row_bytes + i * 16, values + i * 16, bytes);
    }
  }
}

// Of 16 positions: value d of their keys.
template <uint32_t head_dim>
__device__ __forceinline__ void ExpandKeys(const KvBytes<head_dim>& from, bool is_q8, uint32_t run,
                                           uint32_t d, uint16_t* to) {
  using Tile = KvBytes<head_dim>;
  const auto bytes = LoadVector<Words>(from.keys + (run * head_dim + d) * kRunTokens);
  const uint16_t* scales =
      from.key_scales + (run * Tile::kQ8Blocks + d / kQ8BlockValues) * kRunTokens;
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
    Words scale = {};
    if (is_q8) scale = LoadVector<Words>(scales + half * 8);
    Words words;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t pair = bytes[2 * half + i / 2] >> (i % 2 * 16);
      words[i] = is_q8 ? HalvesOfCodes(pair, scale[i]) : HalvesOfE4M3(pair);
    }
    StoreVector(to + half * 8, words);
  }
}

// 8 values of one position, from value d on.
template <uint32_t head_dim>
__device__ __forceinline__ Words ExpandValues(const KvBytes<head_dim>& from, bool is_q8,
                                              uint32_t token, uint32_t d) {
  Words words;
  if (!is_q8) {
    const auto bytes = LoadVector<Vector<uint32_t, 2>>(from.values + token * head_dim + d);
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) words[i] = HalvesOfE4M3(bytes[i / 2] >> (i % 2 * 16));
    return words;
  }
  // Blocks lie at multiples of 2 bytes.
  const uint8_t* block =
      from.values + token * KvBytes<head_dim>::kQ8RowBytes + d / kQ8BlockValues * kQ8BlockBytes;
  const uint32_t scale = LoadVector<Vector<uint16_t, 1>>(block)[0];
  const uint8_t* codes = block + 2 + d % kQ8BlockValues;
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    words[i] =
        HalvesOfCodes(LoadVector<Vector<uint16_t, 1>>(codes + 2 * i)[0], scale | scale << 16);
  }
  return words;
}

// The values that 8 neighbouring threads of E4M3 load or store at a time lie in different banks: so
// a thread has 16 positions of a key's value, and 8 values of a position.
template <uint32_t head_dim, uint32_t threads>
__device__ __forceinline__ void ExpandTile(const PagedHead& head, uint32_t start,
                                           const KvBytes<head_dim>& from, KvTile<head_dim>& tile) {
  using Tile = KvTile<head_dim>;
  for (uint32_t i = threadIdx.x; i < kTileTokens / kRunTokens * head_dim; i += threads) {
    const uint32_t run = i / head_dim;
    const uint32_t d = i % head_dim;
    ExpandKeys(from, head.is_q8, run, d, tile.keys + d * Tile::kKeyStride + run * kRunTokens);
  }
  for (uint32_t i = threadIdx.x * 8; i < kTileTokens * head_dim; i += threads * 8) {
    const uint32_t token = i / head_dim;
    const uint32_t d = i % head_dim;
    Words words = {};
    if (start + token < head.end) words = ExpandValues(from, head.is_q8, token, d);
    StoreVector(tile.values + token * Tile::kValueStride + d, words);
  }
}

// Stands for both caches of bytes, which PagedHead tells apart: they share their kernels.
struct KvCodes {};

// What matrix instructions get of a cache of type T.
template <typename T>
using MatrixType = std::conditional_t<std::is_same_v<T, KvCodes>, F16, T>;

// The tile that is computed and the next one, which is on its way, in shared memory.
template <typename T, uint32_t head_dim, uint32_t threads>
struct KvStages {
  __device__ __forceinline__ void Begin(const PagedHead& head, uint32_t tile) {
    BeginTile<head_dim, threads>(head, tile * kTileTokens, tiles[tile % 2]);
  }
  // The next tile, whose copy all threads know to be done. REQUIRES: they all call.
  __device__ __forceinline__ const KvTile<head_dim>& Take(const PagedHead&, uint32_t tile) {
    return tiles[tile % 2];
  }

  KvTile<head_dim> tiles[2];
};

template <uint32_t head_dim, uint32_t threads>
struct KvStages<KvCodes, head_dim, threads> {
  __device__ __forceinline__ void Begin(const PagedHead& head, uint32_t tile) {
    BeginTile<head_dim, threads>(head, tile * kTileTokens, bytes[tile % 2]);
  }
  __device__ __forceinline__ const KvTile<head_dim>& Take(const PagedHead& head, uint32_t tile) {
    ExpandTile<head_dim, threads>(head, tile * kTileTokens, bytes[tile % 2], expanded);
    __syncthreads();
    return expanded;
  }

  KvBytes<head_dim> bytes[2];
  KvTile<head_dim> expanded;
};

}  // namespace infercept::cuda
