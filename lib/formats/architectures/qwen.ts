import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow, TensorFacts } from './index.js';
import { withRope } from './llama.js';
import { ggufRope } from './rope.js';
import { ggufBase, ggufExperts, huggingFaceBase, layerWindows, limits, requireString } from './shape.js';
import { tensorRows } from './tensors.js';

/** Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases to queries, keys and values. */
export const qwen2: ArchitectureRow = {
  name: 'qwen2',
  gguf: 'qwen2',
  huggingFace: ['Qwen2ForCausalLM'],
  fromGguf: (fields, facts) => ({ ...ggufQwen(fields, facts), queryKeyValueBias: true }),
  fromHuggingFace: (fields) => ({ ...huggingFaceQwen(fields), queryKeyValueBias: true }),
  tensors: tensorRows,
  ignored: /rotary_emb\.inv_freq$/,
};

/** Qwen 3 (Yang et al. 2025): Llama with normalized heads of queries and keys. */
export const qwen3: ArchitectureRow = {
  name: 'qwen3',
  gguf: 'qwen3',
  huggingFace: ['Qwen3ForCausalLM'],
  fromGguf: (fields, facts) => ({ ...ggufQwen(fields, facts), queryKeyNorm: true }),
  fromHuggingFace(fields) {
    const hasBias = fields.boolean('attention_bias', false);
    return {
      ...huggingFaceQwen(fields, 128),
      queryKeyNorm: true,
      queryKeyValueBias: hasBias,
      attentionOutputBias: hasBias,
    };
  },
  tensors: tensorRows,
  ignored: /rotary_emb\.inv_freq$/,
};

/** Qwen 3 with a choice of experts in every layer. */
export const qwen3Moe: ArchitectureRow = {
  name: 'qwen3moe',
  gguf: 'qwen3moe',
  huggingFace: ['Qwen3MoeForCausalLM'],
  fromGguf: (fields, facts) => ({ ...ggufQwen(fields, facts), ...ggufExperts(fields), queryKeyNorm: true }),
  fromHuggingFace(fields) {
    if (fields.count('decoder_sparse_step', limits.layers, 1) !== 1) {
      throw fields.unsupported('decoder_sparse_step', fields.count('decoder_sparse_step', limits.layers), '1');
    }
    const dense = fields.length('mlp_only_layers');
    if (dense !== 0) throw fields.unsupported('mlp_only_layers', dense, 'experts in every layer');
    const count = fields.has('num_experts') ? 'num_experts' : 'num_local_experts';
    return {
      ...qwen3.fromHuggingFace(fields),
      ffnWidth: fields.count('moe_intermediate_size', limits.ffnWidth),
      experts: {
        count: fields.count(count, limits.experts, 128),
        used: fields.count('num_experts_per_tok', limits.experts, 8),
        normalized: fields.boolean('norm_topk_prob', false),
      },
    };
  },
  tensors: tensorRows,
  ignored: /rotary_emb\.inv_freq$/,
};

export function ggufQwen(fields: Fields, facts: TensorFacts): Hyperparameters {
  const base = ggufBase(fields, facts);
  return { ...base, rope: ggufRope(fields, base, facts, 'half') };
}

export function huggingFaceQwen(fields: Fields, headDim?: number): Hyperparameters {
  requireString(fields, 'hidden_act', 'silu', 'silu');
  const base = huggingFaceBase(fields, headDim === undefined ? {} : { headDim });
  const hasWindow = fields.boolean('use_sliding_window', false);
  const windowTokens =
    hasWindow && !fields.isNull('sliding_window') ? fields.count('sliding_window', limits.context, 4096) : 0;
  const firstWindowed = fields.has('max_window_layers') ? fields.countOrNone('max_window_layers', limits.layers) : 28;
  return withRope(fields, {
    ...base,
    ...layerWindows(fields, base, windowTokens, (layer) => layer >= firstWindowed),
  });
}
