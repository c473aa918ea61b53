/** Which layers share a block, as addon/device/layer_groups.cc decides it. */
import type { Hyperparameters } from './model-spec.js';

/** Layers are cut into groups of equal size; a block has the keys and values of one group's. */
export interface LayerGroups {
  /** All groups. */
  count: number;
  /** Those whose layers see everything; the others have a window. */
  full: number;
  /** Layers of each; the last ones may have fewer. */
  layers: number;
  /** How far back the layers of the others look; 0: there are none. */
  windowTokens: number;
}

/** So much of the blocks may stay empty, for fewer groups: larger copies and shorter tables. */
const emptyShare = 8;

/** Where layers of both kinds make groups, blocks behind the window of one kind are freed while the other keeps all. */
export function groupLayers({ layers, windows = [] }: Hyperparameters, contextTokens: number): LayerGroups {
  const full = windows.filter((tokens) => tokens === 0).length;
  const windowTokens = Math.max(0, ...windows);
  if (windowTokens === 0) return { count: 1, full: 1, layers, windowTokens: 0 };
  if (full === 0) return { count: 1, full: 0, layers, windowTokens };
  if (windowTokens >= contextTokens) return { count: 1, full: 1, layers, windowTokens: 0 };
  const size = groupSize(full, layers - full);
  const fullGroups = Math.ceil(full / size);
  return { count: fullGroups + Math.ceil((layers - full) / size), full: fullGroups, layers: size, windowTokens };
}

function groupSize(full: number, windowed: number): number {
  const layers = full + windowed;
  for (let size = Math.min(full, windowed); size > 1; size--) {
    const places = (Math.ceil(full / size) + Math.ceil(windowed / size)) * size;
    if ((places - layers) * emptyShare <= layers) return size;
  }
  return 1;
}
