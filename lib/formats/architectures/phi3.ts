import type { Hyperparameters } from '../../model-spec.js';
import type { ArchitectureRow } from './index.js';
import { ggufRope, huggingFaceRope } from './rope.js';
import { ggufBase, huggingFaceBase, layerWindows, limits, requireString } from './shape.js';
import { tensorRows } from './tensors.js';

/**
 * Phi-3 and Phi-4 (Abdin et al. 2024): Llama with rotary positions of a part of each head, stretched by LongRoPE in some
 * sizes. Queries, keys and values lie in one tensor, gate and up projections in another.
 */
export const phi3: ArchitectureRow = {
  name: 'phi3',
  gguf: 'phi3',
  huggingFace: ['Phi3ForCausalLM'],
  fromGguf(fields, facts) {
    const base = ggufBase(fields, facts);
    const windowTokens = fields.countOrNone('attention.sliding_window', limits.context);
    return {
      ...base,
      ...(windowTokens > 0 && { windows: Array<number>(base.layers).fill(windowTokens) }),
      rope: ggufRope(fields, base, facts, 'half'),
    };
  },
  fromHuggingFace(fields) {
    requireString(fields, 'hidden_act', 'silu', 'silu');
    const base = huggingFaceBase(fields, { normEpsilon: 1e-5 });
    const windowTokens = fields.countOrNone('sliding_window', limits.context);
    const share = fields.positive(
      'rope_parameters.partial_rotary_factor',
      fields.positive('rope_scaling.partial_rotary_factor', fields.positive('partial_rotary_factor', 1)),
    );
    return {
      ...base,
      ...layerWindows(fields, base, windowTokens, () => true),
      rope: huggingFaceRope(fields, base, { dimension: Math.floor(base.headDim * share) }),
    };
  },
  tensors,
  ignored: /rotary_emb\.inv_freq$|^rope_factors_(long|short)\.weight$/,
};

function tensors(hyperparameters: Hyperparameters) {
  const { heads, kvHeads, headDim, ffnWidth } = hyperparameters;
  const queryRows = heads * headDim;
  const keyRows = kvHeads * headDim;
  const attention = (firstRow: number) => ({
    gguf: 'attn_qkv',
    huggingFace: 'self_attn.qkv_proj',
    part: { firstRow, ofRows: queryRows + 2 * keyRows },
  });
  const feedForward = (firstRow: number) => ({
    gguf: 'ffn_up',
    huggingFace: 'mlp.gate_up_proj',
    part: { firstRow, ofRows: 2 * ffnWidth },
  });
  return tensorRows(hyperparameters, {
    'attention.query': attention(0),
    'attention.key': attention(queryRows),
    'attention.value': attention(queryRows + keyRows),
    'feedForward.gate': feedForward(0),
    'feedForward.up': feedForward(ffnWidth),
  });
}
