import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow } from './index.js';
import { ggufRope } from './rope.js';
import { type Base, ggufBase, limits, readShape, requireString } from './shape.js';
import { tensorRows } from './tensors.js';

/** What every GPT-J has. */
const traits = {
  norm: 'layer',
  parallelBlocks: true,
  gated: false,
  activation: 'gelu',
  feedForwardBias: true,
  outputBias: true,
  tiedEmbeddings: false,
} as const;

/**
 * GPT-J (Wang and Komatsuzaki 2021): attention and feed-forward network side by side after one layer norm, rotary
 * positions in neighbouring pairs of a part of each head, biases everywhere but in attention.
 */
export const gptj: ArchitectureRow = {
  name: 'gptj',
  gguf: 'gptj',
  huggingFace: ['GPTJForCausalLM'],
  fromGguf(fields, facts) {
    const base: Base = { ...ggufBase(fields, facts), ...traits };
    return { ...base, rope: ggufRope(fields, base, facts, 'interleaved') };
  },
  fromHuggingFace,
  tensors: (hyperparameters) =>
    tensorRows(
      hyperparameters,
      {
        embedding: { gguf: 'token_embd', huggingFace: 'transformer.wte' },
        outputNorm: { gguf: 'output_norm', huggingFace: 'transformer.ln_f' },
        attentionNorm: { gguf: 'attn_norm', huggingFace: 'ln_1' },
        'attention.query': { gguf: 'attn_q', huggingFace: 'attn.q_proj' },
        'attention.key': { gguf: 'attn_k', huggingFace: 'attn.k_proj' },
        'attention.value': { gguf: 'attn_v', huggingFace: 'attn.v_proj' },
        'attention.output': { gguf: 'attn_output', huggingFace: 'attn.out_proj' },
        'feedForward.up': { gguf: 'ffn_up', huggingFace: 'mlp.fc_in' },
        'feedForward.down': { gguf: 'ffn_down', huggingFace: 'mlp.fc_out' },
      },
      'transformer.h',
    ),
  // Masks and tables that older files carry.
  ignored: /\.attn\.(bias|masked_bias|embed_positions)$/,
};

function fromHuggingFace(fields: Fields): Hyperparameters {
  // gelu_new is the approximation with tanh.
  requireString(fields, 'activation_function', 'gelu_new', 'gelu_new', 'gelu_pytorch_tanh');
  const shape = readShape(fields, {
    layers: 'n_layer',
    width: 'n_embd',
    heads: 'n_head',
    kvHeads: 'n_head',
    headDim: 'head_dim',
    ffnWidth: 'n_inner',
    contextTokens: 'n_positions',
  });
  if (fields.boolean('tie_word_embeddings', false)) throw fields.unsupported('tie_word_embeddings', true, 'false');
  const dimension = fields.count('rotary_dim', shape.headDim, 64);
  if (dimension % 2 !== 0) throw fields.unsupported('rotary_dim', dimension, 'even numbers');
  return {
    ...shape,
    ...traits,
    vocabularySize: fields.count('vocab_size', limits.vocabulary),
    normEpsilon: fields.positive('layer_norm_epsilon', 1e-5),
    rope: { dimension, base: 10_000, scaling: { kind: 'none' }, layout: 'interleaved' },
  };
}
