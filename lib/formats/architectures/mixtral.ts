import type { ArchitectureRow } from './index.js';
import { llama, withRope } from './llama.js';
import { huggingFaceBase, layerWindows, limits, requireString } from './shape.js';
import { tensorRows } from './tensors.js';

/** Mixtral (Jiang et al. 2024): Mistral with a choice of feed-forward networks for each token. GGUF counts it as Llama. */
export const mixtral: ArchitectureRow = {
  name: 'mixtral',
  huggingFace: ['MixtralForCausalLM'],
  fromGguf: llama.fromGguf,
  fromHuggingFace(fields) {
    requireString(fields, 'hidden_act', 'silu', 'silu');
    const base = huggingFaceBase(fields, { normEpsilon: 1e-5 });
    const windowTokens = fields.countOrNone('sliding_window', limits.context);
    return withRope(fields, {
      ...base,
      ...layerWindows(fields, base, windowTokens, () => true),
      experts: {
        count: fields.count('num_local_experts', limits.experts, 8),
        used: fields.count('num_experts_per_tok', limits.experts, 2),
        normalized: true,
      },
    });
  },
  tensors: (hyperparameters) =>
    tensorRows(hyperparameters, {
      router: { huggingFace: 'block_sparse_moe.gate' },
      'experts.gate': { huggingFace: 'block_sparse_moe.experts.N.w1' },
      'experts.up': { huggingFace: 'block_sparse_moe.experts.N.w3' },
      'experts.down': { huggingFace: 'block_sparse_moe.experts.N.w2' },
    }),
  ignored: llama.ignored,
};
