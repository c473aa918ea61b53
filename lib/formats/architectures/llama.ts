import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow, TensorFacts } from './index.js';
import { ggufRope, huggingFaceRope, stretchedContext } from './rope.js';
import { type Base, ggufBase, ggufExperts, huggingFaceBase, limits, requireString } from './shape.js';
import { tensorRows } from './tensors.js';

/**
 * Llama 1, 2 and 3 (Touvron et al. 2023; Grattafiori et al. 2024) and what has their form: RMS norm before each block,
 * grouped-query attention with rotary positions, SwiGLU. GGUF counts Mistral among them.
 */
export const llama: ArchitectureRow = {
  name: 'llama',
  gguf: 'llama',
  huggingFace: ['LlamaForCausalLM'],
  fromGguf,
  fromHuggingFace(fields) {
    requireString(fields, 'hidden_act', 'silu', 'silu');
    const hasBias = fields.boolean('attention_bias', false);
    return withRope(fields, {
      ...huggingFaceBase(fields),
      queryKeyValueBias: hasBias,
      attentionOutputBias: hasBias,
      feedForwardBias: fields.boolean('mlp_bias', false),
    });
  },
  tensors: tensorRows,
  ignored: /rotary_emb\.inv_freq$/,
};

/** Adds rotary positions of the common form. */
export function withRope(fields: Fields, base: Base): Hyperparameters {
  const rope = huggingFaceRope(fields, base);
  return { ...base, rope, contextTokens: stretchedContext(rope, base.contextTokens) };
}

function fromGguf(fields: Fields, facts: TensorFacts): Hyperparameters {
  const base = ggufBase(fields, facts);
  const windowTokens = fields.countOrNone('attention.sliding_window', limits.context);
  return {
    ...base,
    // Mixtral.
    ...(fields.countOrNone('expert_count', limits.experts) > 0 && ggufExperts(fields)),
    ...(windowTokens > 0 && { windows: Array<number>(base.layers).fill(windowTokens) }),
    queryKeyValueBias: facts.has('blk.0.attn_q.bias'),
    attentionOutputBias: facts.has('blk.0.attn_output.bias'),
    feedForwardBias: facts.has('blk.0.ffn_up.bias'),
    rope: ggufRope(fields, base, facts, 'interleaved'),
  };
}
