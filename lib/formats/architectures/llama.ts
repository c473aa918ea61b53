import type { Hyperparameters, RopeScaling } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow, TensorFacts, TensorRow } from './index.js';

/** Far beyond any model; they keep products of two of them exact. */
const limits = { layers: 1024, width: 1 << 18, heads: 4096, ffnWidth: 1 << 20, vocabulary: 1 << 24, context: 1 << 28 };

/** RMS norm before each block, grouped-query attention with rotary positions, SwiGLU; no biases anywhere. */
export const llama: ArchitectureRow = {
  name: 'llama',
  gguf: 'llama',
  huggingFace: ['LlamaForCausalLM'],
  fromGguf,
  fromHuggingFace,
  tensors,
  ignored: /rotary_emb\.inv_freq$/,
};

function fromGguf(fields: Fields, facts: TensorFacts): Hyperparameters {
  if (fields.has('expert_count')) throw fields.unsupported('expert_count', 'present', 'models without experts');
  const shape = readShape(fields, {
    layers: 'block_count',
    width: 'embedding_length',
    heads: 'attention.head_count',
    kvHeads: 'attention.head_count_kv',
    headDim: 'attention.key_length',
    ffnWidth: 'feed_forward_length',
    contextTokens: 'context_length',
  });
  const valueLength = fields.count('attention.value_length', limits.width, shape.headDim);
  if (valueLength !== shape.headDim)
    throw fields.unsupported('attention.value_length', valueLength, `${shape.headDim}`);
  return {
    ...shape,
    vocabularySize: facts.embeddingRows,
    normEpsilon: fields.positive('attention.layer_norm_rms_epsilon'),
    rope: {
      dimension: readRopeDimension(fields, shape.headDim),
      base: fields.positive('rope.freq_base', 10_000),
      scaling: facts.hasRopeFactors ? { kind: 'factors' } : ggufScaling(fields),
      layout: 'interleaved',
    },
    tiedEmbeddings: !facts.hasOutput,
  };
}

function ggufScaling(fields: Fields): RopeScaling {
  // `rope.scale_linear` is the older spelling of a linear factor.
  const legacyFactor = fields.positive('rope.scale_linear', 1);
  const kind = fields.string('rope.scaling.type', legacyFactor === 1 ? 'none' : 'linear');
  if (kind === 'none') return { kind };
  if (kind === 'linear') return { kind, factor: fields.positive('rope.scaling.factor', legacyFactor) };
  throw fields.unsupported('rope.scaling.type', kind, 'none, linear, and Llama 3 factors (rope_freqs.weight)');
}

function fromHuggingFace(fields: Fields): Hyperparameters {
  for (const key of ['attention_bias', 'mlp_bias']) {
    if (fields.boolean(key, false)) throw fields.unsupported(key, true, 'false');
  }
  const activation = fields.string('hidden_act', 'silu');
  if (activation !== 'silu') throw fields.unsupported('hidden_act', activation, 'silu');
  const shape = readShape(fields, {
    layers: 'num_hidden_layers',
    width: 'hidden_size',
    heads: 'num_attention_heads',
    kvHeads: 'num_key_value_heads',
    headDim: 'head_dim',
    ffnWidth: 'intermediate_size',
    contextTokens: 'max_position_embeddings',
  });
  if (shape.headDim % 2 !== 0) throw fields.unsupported('head_dim', shape.headDim, 'even sizes');
  // Newer configurations gather everything about rotary positions in `rope_parameters`.
  const base = fields.positive('rope_parameters.rope_theta', fields.positive('rope_theta', 10_000));
  return {
    ...shape,
    vocabularySize: fields.count('vocab_size', limits.vocabulary),
    normEpsilon: fields.positive('rms_norm_eps', 1e-6),
    rope: {
      dimension: shape.headDim,
      base,
      scaling: huggingFaceScaling(fields, fields.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling'),
      layout: 'half',
    },
    tiedEmbeddings: fields.boolean('tie_word_embeddings', false),
  };
}

function huggingFaceScaling(fields: Fields, parent: string): RopeScaling {
  const kind = fields.string(`${parent}.rope_type`, fields.string(`${parent}.type`, 'default'));
  switch (kind) {
    case 'default':
      return { kind: 'none' };
    case 'linear':
      return { kind, factor: fields.positive(`${parent}.factor`) };
    case 'llama3': {
      const scaling = {
        kind: 'llama3' as const,
        factor: fields.positive(`${parent}.factor`),
        lowFrequencyFactor: fields.positive(`${parent}.low_freq_factor`),
        highFrequencyFactor: fields.positive(`${parent}.high_freq_factor`),
        originalContextTokens: fields.count(`${parent}.original_max_position_embeddings`, limits.context),
      };
      if (scaling.highFrequencyFactor <= scaling.lowFrequencyFactor) {
        throw fields.unsupported(`${parent}.high_freq_factor`, scaling.highFrequencyFactor, 'above low_freq_factor');
      }
      return scaling;
    }
    default:
      throw fields.unsupported(`${parent}.rope_type`, kind, 'default, linear, llama3');
  }
}

/** Which key of a format holds which size. */
type ShapeKeys = Record<'layers' | 'width' | 'heads' | 'kvHeads' | 'headDim' | 'ffnWidth' | 'contextTokens', string>;

function readShape(fields: Fields, keys: ShapeKeys) {
  const width = fields.count(keys.width, limits.width);
  const heads = fields.count(keys.heads, limits.heads);
  const kvHeads = fields.count(keys.kvHeads, limits.heads, heads);
  if (heads % kvHeads !== 0) throw fields.unsupported(keys.kvHeads, kvHeads, `divisors of ${keys.heads}, ${heads}`);
  if (!fields.has(keys.headDim) && width % heads !== 0) {
    throw fields.unsupported(keys.heads, heads, `divisors of ${keys.width}, ${width}, unless ${keys.headDim} is given`);
  }
  return {
    layers: fields.count(keys.layers, limits.layers),
    width,
    heads,
    kvHeads,
    headDim: fields.count(keys.headDim, limits.width, Math.floor(width / heads)),
    ffnWidth: fields.count(keys.ffnWidth, limits.ffnWidth),
    contextTokens: fields.count(keys.contextTokens, limits.context),
  };
}

function readRopeDimension(fields: Fields, headDim: number): number {
  const dimension = fields.count('rope.dimension_count', limits.width, headDim);
  if (dimension % 2 === 0 && dimension <= headDim) return dimension;
  throw fields.unsupported('rope.dimension_count', dimension, `even numbers up to the head's ${headDim} elements`);
}

function tensors(hyperparameters: Hyperparameters): TensorRow[] {
  const { layers, width, vocabularySize, rope, tiedEmbeddings } = hyperparameters;
  const rows: TensorRow[] = [
    {
      name: 'embedding',
      gguf: 'token_embd.weight',
      huggingFace: 'model.embed_tokens.weight',
      shape: [vocabularySize, width],
    },
  ];
  if (rope.scaling.kind === 'factors') {
    rows.push({ name: 'ropeFactors', gguf: 'rope_freqs.weight', shape: [1, rope.dimension / 2] });
  }
  for (let layer = 0; layer < layers; layer++) rows.push(...layerTensors(hyperparameters, layer));
  rows.push({ name: 'outputNorm', gguf: 'output_norm.weight', huggingFace: 'model.norm.weight', shape: [1, width] });
  if (!tiedEmbeddings) {
    rows.push({ name: 'output', gguf: 'output.weight', huggingFace: 'lm_head.weight', shape: [vocabularySize, width] });
  }
  return rows;
}

function layerTensors({ width, heads, kvHeads, headDim, ffnWidth }: Hyperparameters, layer: number): TensorRow[] {
  const row = (name: string, gguf: string, huggingFace: string, shape: [number, number]): TensorRow => ({
    name: `layers.${layer}.${name}`,
    gguf: `blk.${layer}.${gguf}.weight`,
    huggingFace: `model.layers.${layer}.${huggingFace}.weight`,
    shape,
  });
  return [
    row('attentionNorm', 'attn_norm', 'input_layernorm', [1, width]),
    row('attention.query', 'attn_q', 'self_attn.q_proj', [heads * headDim, width]),
    row('attention.key', 'attn_k', 'self_attn.k_proj', [kvHeads * headDim, width]),
    row('attention.value', 'attn_v', 'self_attn.v_proj', [kvHeads * headDim, width]),
    row('attention.output', 'attn_output', 'self_attn.o_proj', [width, heads * headDim]),
    row('feedForwardNorm', 'ffn_norm', 'post_attention_layernorm', [1, width]),
    row('feedForward.gate', 'ffn_gate', 'mlp.gate_proj', [ffnWidth, width]),
    row('feedForward.up', 'ffn_up', 'mlp.up_proj', [ffnWidth, width]),
    row('feedForward.down', 'ffn_down', 'mlp.down_proj', [width, ffnWidth]),
  ];
}
