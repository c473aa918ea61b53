// Which block has which layer. Where some layers have a window and others see everything, their
// blocks are given up at different times: so the layers are cut into groups of one kind and of
// equally many layers, and a block has the layers of one group. All blocks are of one size then.
//
//   Gemma 3, 26 layers     S S S S S F S S S S S F ...    4 see everything (F), 22 a window (S)
//   groups of 4            0: all F   1: S S S S   2: S S S S   ...   6: S S - -
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace infercept {

struct LayerGroups {
  struct Place {
    uint32_t group = 0;
    uint32_t layer = 0;  // of the block
  };

  uint32_t count = 1;
  // Groups of layers that see everything; they are the first ones. Without groups: none.
  uint32_t full = 0;
  uint32_t layers = 0;  // of a block; 0: all
  // How far back the layers of the other groups see; 0: to the beginning, as all layers do.
  uint32_t window_tokens = 0;
  std::vector<Place> places = {};  // [layers of the model]; empty without groups

  double full_share() const { return static_cast<double>(full) / count; }
};

// `windows`: of each layer, 0 where it sees everything; empty: all do. Layers of both kinds make
// groups, unless contexts are no longer than a window.
LayerGroups GroupLayers(std::span<const uint32_t> windows, uint32_t context_tokens);

}  // namespace infercept
