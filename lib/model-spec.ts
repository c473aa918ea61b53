/**
 * What the native side needs to map a model's files and run it: hyperparameters, and where each tensor lies. Readers in
 * `formats/` produce it from untrusted headers; the native side maps the files and checks every offset once more.
 */

/** Architectures that can be run. `formats/architectures/` has one file for each. */
export type Architecture = 'llama';

/**
 * Element types of tensors, by GGUF's names. The quantized ones store blocks of elements that share scales;
 * `addon/kernels/blocks.h` has their layouts.
 */
export type TensorType = keyof typeof tensorTypes;

/** Elements per block and bytes per block of each {@link TensorType}. */
export const tensorTypes = {
  f32: { blockElements: 1, blockBytes: 4 },
  f16: { blockElements: 1, blockBytes: 2 },
  bf16: { blockElements: 1, blockBytes: 2 },
  q8_0: { blockElements: 32, blockBytes: 34 },
  q4_0: { blockElements: 32, blockBytes: 18 },
  q4_1: { blockElements: 32, blockBytes: 20 },
  q5_0: { blockElements: 32, blockBytes: 22 },
  q5_1: { blockElements: 32, blockBytes: 24 },
  q2_k: { blockElements: 256, blockBytes: 84 },
  q3_k: { blockElements: 256, blockBytes: 110 },
  q4_k: { blockElements: 256, blockBytes: 144 },
  q5_k: { blockElements: 256, blockBytes: 176 },
  q6_k: { blockElements: 256, blockBytes: 210 },
  iq4_nl: { blockElements: 32, blockBytes: 18 },
  iq4_xs: { blockElements: 256, blockBytes: 136 },
  mxfp4: { blockElements: 32, blockBytes: 17 },
} as const;

/** The types whose elements share scales. */
export type QuantizedType = Exclude<TensorType, 'f32' | 'f16' | 'bf16'>;

const typeNames = Object.keys(tensorTypes) as TensorType[];

export function isQuantized(type: TensorType): type is QuantizedType {
  return tensorTypes[type].blockElements > 1;
}

export const quantizedTypes: readonly QuantizedType[] = typeNames.filter(isQuantized);

/** How rotary frequencies are stretched beyond the context the model was first trained on. */
export type RopeScaling =
  | { kind: 'none' }
  /** Every frequency is divided by `factor`. */
  | { kind: 'linear'; factor: number }
  /**
   * Llama 3: wavelengths longer than `originalContextTokens / lowFrequencyFactor` are stretched by `factor`, those
   * shorter than `originalContextTokens / highFrequencyFactor` stay, those between are interpolated.
   */
  | {
      kind: 'llama3';
      factor: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
      originalContextTokens: number;
    }
  /** Frequency i is divided by element i of the tensor `ropeFactors`, [dimension / 2] of f32 (GGUF). */
  | { kind: 'factors' };

export interface RopeSpec {
  /** Leading elements of each head that are rotated. At most `headDim`, even. */
  dimension: number;
  /** Frequency i is `base ** (-2 i / dimension)`. */
  base: number;
  scaling: RopeScaling;
  /**
   * Which elements form a pair: `interleaved` pairs (2i, 2i + 1), as GGUF files of this architecture store Q and K;
   * `half` pairs (i, i + dimension / 2), as Hugging Face does. Weights are never permuted.
   */
  layout: 'interleaved' | 'half';
}

export interface Hyperparameters {
  layers: number;
  /** Elements of the residual stream. */
  width: number;
  heads: number;
  /** Heads of keys and values; divides `heads`. */
  kvHeads: number;
  /** Elements per head. */
  headDim: number;
  /** Elements of the hidden layer of the feed-forward network. */
  ffnWidth: number;
  /** Rows of `embedding` and `output`. May exceed the tokenizer's vocabulary (padding). */
  vocabularySize: number;
  /** The longest context that the model was made for. */
  contextTokens: number;
  /** Added to the mean square in each RMS norm. */
  normEpsilon: number;
  rope: RopeSpec;
  /** Whether `embedding` is also the output projection; then there is no tensor `output`. */
  tiedEmbeddings: boolean;
}

export interface TensorSpec {
  /**
   * Canonical name, whatever the file calls it. Shapes for width W, heads H, kvHeads K, headDim D, ffnWidth F,
   * vocabularySize V; a matrix maps its columns to its rows (y = M x), rows are contiguous:
   *
   *     embedding                        [V, W]        layers.N.attentionNorm            [1, W]
   *     outputNorm                       [1, W]        layers.N.attention.query          [H D, W]
   *     output (unless tied)             [V, W]        layers.N.attention.key, .value    [K D, W]
   *     ropeFactors (scaling 'factors')  [1, D / 2]    layers.N.attention.output         [W, H D]
   *                                                    layers.N.feedForwardNorm          [1, W]
   *                                                    layers.N.feedForward.gate, .up    [F, W]
   *                                                    layers.N.feedForward.down         [W, F]
   */
  name: string;
  dtype: TensorType;
  /** [rows, columns]. Vectors have one row. */
  shape: [rows: number, columns: number];
  /** Index into {@link ModelSpec.files}. */
  file: number;
  /** Bytes from the start of the file. Safetensors files promise no alignment, not even to the element. */
  offset: number;
  byteLength: number;
}

/** A plain value: it can be passed to the addon and printed as JSON. */
export interface ModelSpec {
  architecture: Architecture;
  hyperparameters: Hyperparameters;
  /** Absolute paths. */
  files: string[];
  /** Exactly the tensors the architecture needs, each once, in the order of its table. */
  tensors: TensorSpec[];
}
