import type { ArchitectureRow } from './index.js';
import { llama, withRope } from './llama.js';
import { huggingFaceBase, layerWindows, limits, requireString } from './shape.js';

/** Mistral (Jiang et al. 2023): Llama whose tokens see a window of those before them, in all layers. */
export const mistral: ArchitectureRow = {
  name: 'mistral',
  huggingFace: ['MistralForCausalLM'],
  fromGguf: llama.fromGguf,
  fromHuggingFace(fields) {
    requireString(fields, 'hidden_act', 'silu', 'silu');
    const base = huggingFaceBase(fields);
    const windowTokens = fields.isNull('sliding_window') ? 0 : fields.count('sliding_window', limits.context, 4096);
    return withRope(fields, { ...base, ...layerWindows(fields, base, windowTokens, () => true) });
  },
  tensors: llama.tensors,
  ignored: llama.ignored,
};
