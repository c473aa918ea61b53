#include "device/layer_groups.h"

#include <algorithm>

#include "base/types.h"

namespace infercept {
namespace {

// So much of a block may stay empty in the last groups of both kinds: fewer groups are larger
// copies and shorter tables. lib/layer-groups.ts has the same number.
constexpr uint32_t kEmptyShare = 8;

// Layers of a group: as many as possible.
uint32_t GroupSize(uint32_t full, uint32_t windowed) {
  const uint32_t layers = full + windowed;
  for (uint32_t size = std::min(full, windowed); size > 1; --size) {
    const uint32_t places = (DivCeil(full, size) + DivCeil(windowed, size)) * size;
    if ((places - layers) * kEmptyShare <= layers) return size;
  }
  return 1;
}

}  // namespace

LayerGroups GroupLayers(std::span<const uint32_t> windows, uint32_t context_tokens) {
  const auto full = static_cast<uint32_t>(std::ranges::count(windows, 0u));
  const auto windowed = static_cast<uint32_t>(windows.size()) - full;
  if (windowed == 0) return {};
  LayerGroups groups;
  groups.window_tokens = std::ranges::max(windows);
  if (full == 0) return groups;
  if (groups.window_tokens >= context_tokens) return {};
  groups.layers = GroupSize(full, windowed);
  groups.full = DivCeil(full, groups.layers);
  groups.count = groups.full + DivCeil(windowed, groups.layers);
  uint32_t next_full = 0;
  uint32_t next_windowed = groups.full * groups.layers;
  for (const uint32_t window : windows) {
    const uint32_t place = window == 0 ? next_full++ : next_windowed++;
    groups.places.push_back({place / groups.layers, place % groups.layers});
  }
  return groups;
}

}  // namespace infercept
