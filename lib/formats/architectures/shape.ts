import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { TensorFacts } from './index.js';

/** Far beyond any model; they keep products of two of them exact. */
export const limits = {
  layers: 1024,
  width: 1 << 18,
  heads: 4096,
  ffnWidth: 1 << 20,
  vocabulary: 1 << 24,
  context: 1 << 28,
  experts: 4096,
};

/** Sizes, and what every family has. The rotary positions are added by the family. */
export type Base = Omit<Hyperparameters, 'rope'>;

/** Which key of a format holds which size. */
type ShapeKeys = Record<'layers' | 'width' | 'heads' | 'kvHeads' | 'headDim' | 'ffnWidth' | 'contextTokens', string>;

const ggufKeys: ShapeKeys = {
  layers: 'block_count',
  width: 'embedding_length',
  heads: 'attention.head_count',
  kvHeads: 'attention.head_count_kv',
  headDim: 'attention.key_length',
  ffnWidth: 'feed_forward_length',
  contextTokens: 'context_length',
};

const huggingFaceKeys: ShapeKeys = {
  layers: 'num_hidden_layers',
  width: 'hidden_size',
  heads: 'num_attention_heads',
  kvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  ffnWidth: 'intermediate_size',
  contextTokens: 'max_position_embeddings',
};

/** What a config.json that leaves something out means; a family's own defaults. */
export interface HuggingFaceDefaults {
  headDim?: number;
  normEpsilon?: number;
  tiedEmbeddings?: boolean;
}

export function huggingFaceBase(fields: Fields, defaults: HuggingFaceDefaults = {}): Base {
  const shape = readShape(fields, huggingFaceKeys, defaults.headDim);
  return {
    ...shape,
    vocabularySize: fields.count('vocab_size', limits.vocabulary),
    normEpsilon: fields.positive('rms_norm_eps', defaults.normEpsilon ?? 1e-6),
    tiedEmbeddings: fields.boolean('tie_word_embeddings', defaults.tiedEmbeddings ?? false),
  };
}

export function ggufBase(fields: Fields, facts: TensorFacts): Base {
  const shape = readShape(fields, ggufKeys);
  const valueLength = fields.count('attention.value_length', limits.width, shape.headDim);
  if (valueLength !== shape.headDim)
    throw fields.unsupported('attention.value_length', valueLength, `${shape.headDim}`);
  return {
    ...shape,
    vocabularySize: facts.embeddingRows,
    normEpsilon: fields.positive(
      fields.has('attention.layer_norm_epsilon') ? 'attention.layer_norm_epsilon' : 'attention.layer_norm_rms_epsilon',
    ),
    tiedEmbeddings: !facts.has('output.weight'),
  };
}

export function readShape(fields: Fields, keys: ShapeKeys, headDim?: number) {
  const width = fields.count(keys.width, limits.width);
  const heads = fields.count(keys.heads, limits.heads);
  const kvHeads = fields.count(keys.kvHeads, limits.heads, heads);
  if (heads % kvHeads !== 0) throw fields.unsupported(keys.kvHeads, kvHeads, `divisors of ${keys.heads}, ${heads}`);
  if (headDim === undefined && !fields.has(keys.headDim) && width % heads !== 0) {
    throw fields.unsupported(keys.heads, heads, `divisors of ${keys.width}, ${width}, unless ${keys.headDim} is given`);
  }
  return {
    layers: fields.count(keys.layers, limits.layers),
    width,
    heads,
    kvHeads,
    headDim: fields.count(keys.headDim, limits.width, headDim ?? Math.floor(width / heads)),
    ffnWidth: fields.count(keys.ffnWidth, limits.ffnWidth, keys.ffnWidth === 'n_inner' ? 4 * width : undefined),
    contextTokens: fields.count(keys.contextTokens, limits.context),
  };
}

/** Refuses all but these values of a setting that changes what is computed. */
export function requireString(fields: Fields, key: string, fallback: string, ...supported: string[]): void {
  const value = fields.string(key, fallback);
  if (!supported.includes(value)) throw fields.unsupported(key, value, supported.join(', '));
}

export function requireFalse(fields: Fields, ...keys: string[]): void {
  for (const key of keys) if (fields.boolean(key, false)) throw fields.unsupported(key, true, 'false');
}

/** Every `period`-th layer sees all, the others a window. */
export function ggufWindows(
  fields: Fields,
  { layers }: Base,
  period: number,
  windowTokens: number,
): { windows: number[] } {
  const window = fields.count('attention.sliding_window', limits.context, windowTokens);
  return { windows: Array.from({ length: layers }, (_, layer) => ((layer + 1) % period === 0 ? 0 : window)) };
}

/** Experts, all of them of the width that files give apart. */
export function ggufExperts(fields: Fields): Pick<Hyperparameters, 'experts' | 'ffnWidth'> {
  return {
    ffnWidth: fields.count(
      fields.has('expert_feed_forward_length') ? 'expert_feed_forward_length' : 'feed_forward_length',
      limits.ffnWidth,
    ),
    experts: {
      count: fields.count('expert_count', limits.experts),
      used: fields.count('expert_used_count', limits.experts),
      normalized: true,
    },
  };
}

/**
 * Windows of the layers that Hugging Face's `layer_types` lists.
 * @param isWindowed for configurations without such a list
 */
export function layerWindows(
  fields: Fields,
  { layers }: Base,
  windowTokens: number,
  isWindowed: (layer: number) => boolean,
): { windows?: number[] } {
  const types = fields.strings('layer_types');
  if (types !== undefined && types.length !== layers) {
    throw fields.unsupported('layer_types', types.length, `one for each of the ${layers} layers`);
  }
  const known = ['full_attention', 'sliding_attention'];
  const unknown = types?.find((type) => !known.includes(type));
  if (unknown !== undefined) throw fields.unsupported('layer_types', unknown, known.join(', '));
  const windowed = (layer: number) => (types ? types[layer] === 'sliding_attention' : isWindowed(layer));
  const windows = Array.from({ length: layers }, (_, layer) => (windowed(layer) ? windowTokens : 0));
  return windows.some((tokens) => tokens > 0) ? { windows } : {};
}
