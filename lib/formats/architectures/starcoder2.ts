import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow } from './index.js';
import { withRope } from './llama.js';
import { ggufRope } from './rope.js';
import { ggufBase, huggingFaceBase, layerWindows, limits, requireString } from './shape.js';
import { tensorRows } from './tensors.js';

/** What every StarCoder 2 has. */
const traits = { norm: 'layer', gated: false, activation: 'gelu' } as const;

const biases = (present: boolean) => ({
  queryKeyValueBias: present,
  attentionOutputBias: present,
  feedForwardBias: present,
});

/** StarCoder 2 (Lozhkov et al. 2024): Llama with layer norms, biases and a feed-forward network without a gate. */
export const starcoder2: ArchitectureRow = {
  name: 'starcoder2',
  gguf: 'starcoder2',
  huggingFace: ['Starcoder2ForCausalLM'],
  fromGguf(fields, facts) {
    const base = ggufBase(fields, facts);
    const windowTokens = fields.countOrNone('attention.sliding_window', limits.context);
    return {
      ...base,
      ...traits,
      ...biases(facts.has('blk.0.attn_q.bias')),
      ...(windowTokens > 0 && { windows: Array<number>(base.layers).fill(windowTokens) }),
      rope: ggufRope(fields, base, facts, 'half'),
    };
  },
  fromHuggingFace,
  tensors: (hyperparameters) =>
    tensorRows(hyperparameters, {
      'feedForward.up': { gguf: 'ffn_up', huggingFace: 'mlp.c_fc' },
      'feedForward.down': { gguf: 'ffn_down', huggingFace: 'mlp.c_proj' },
    }),
  ignored: /rotary_emb\.inv_freq$/,
};

function fromHuggingFace(fields: Fields): Hyperparameters {
  requireString(fields, 'hidden_act', 'gelu_pytorch_tanh', 'gelu_pytorch_tanh', 'gelu_new');
  const base = huggingFaceBase(fields, { tiedEmbeddings: true });
  const windowTokens = fields.countOrNone('sliding_window', limits.context);
  return withRope(fields, {
    ...base,
    ...traits,
    ...biases(fields.boolean('use_bias', true)),
    ...layerWindows(fields, base, windowTokens, () => true),
    normEpsilon: fields.positive('norm_epsilon', 1e-5),
  });
}
