/**
 * What the native side needs to map a model's files and run it: hyperparameters, and where each tensor lies. Readers in
 * `formats/` produce it from untrusted headers; the native side maps the files and checks every offset once more.
 */

/**
 * Names of model families, for people: what sets them apart for the native side are {@link Hyperparameters} alone.
 * `formats/architectures/` has a row for each.
 */
export type Architecture =
  | 'llama'
  | 'gptj'
  | 'mistral'
  | 'mixtral'
  | 'qwen2'
  | 'qwen3'
  | 'qwen3moe'
  | 'gemma2'
  | 'gemma3'
  | 'phi3'
  | 'gpt-oss'
  | 'starcoder2';

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
  /**
   * Dynamic NTK: an engine whose context is s times the original one, s > 1, raises `base` to
   * `base * (factor s - factor + 1) ** (dimension / (dimension - 2))`.
   */
  | { kind: 'dynamic'; factor: number; originalContextTokens: number }
  /** Frequency i is divided by element i of the tensor `ropeFactors`, [dimension / 2] of f32 (GGUF). */
  | { kind: 'factors' }
  /**
   * YaRN: pairs that turn more often than `fastTurns` over the original context stay, those that turn less often than
   * `slowTurns` are stretched by `factor`, those between are interpolated, from the next whole pair outwards if `wholePairs`.
   * Cosines and sines are multiplied by `amplitude`.
   */
  | {
      kind: 'yarn';
      factor: number;
      fastTurns: number;
      slowTurns: number;
      wholePairs: boolean;
      originalContextTokens: number;
      amplitude: number;
    }
  /**
   * LongRoPE: frequency i is divided by element i of `longFactors` if the engine's context is longer than the original
   * one, else of `shortFactors`, [dimension / 2] each. Cosines and sines are multiplied by `amplitude`.
   */
  | {
      kind: 'longrope';
      shortFactors: number[];
      longFactors: number[];
      originalContextTokens: number;
      amplitude: number;
    };

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
  /** The longest context that the model was made for, or that its positions reach when they are stretched. */
  contextTokens: number;
  /** Added to the mean square, or the variance, in each norm. */
  normEpsilon: number;
  rope: RopeSpec;
  /** Whether `embedding` is also the output projection; then there is no tensor `output`. */
  tiedEmbeddings: boolean;

  // What only some families have.

  /** `layer`: the mean is subtracted, and norms have biases. Default `rms`. */
  norm?: 'rms' | 'layer';
  /** Added to the weights of all norms. Default 0. */
  normWeightOffset?: number;
  /** What attention and feed-forward network computed is normalized before it is added to the residual stream. */
  postNorms?: boolean;
  /** Every head of queries and keys is normalized before it is rotated. */
  queryKeyNorm?: boolean;
  /** The feed-forward network reads what attention reads; there is no `feedForwardNorm`. */
  parallelBlocks?: boolean;
  queryKeyValueBias?: boolean;
  attentionOutputBias?: boolean;
  feedForwardBias?: boolean;
  outputBias?: boolean;
  /** Whether the feed-forward network multiplies two projections. Default true. */
  gated?: boolean;
  /** `gelu` is the approximation with tanh. Default `silu`. */
  activation?: 'silu' | 'gelu' | 'clampedSwiglu';
  /** With `clampedSwiglu`: gate sigmoid(alpha gate) (up + 1), where no gate is above `limit` and no up beyond it. */
  swiglu?: { alpha: number; limit: number };
  /**
   * A choice of feed-forward networks of `ffnWidth`: a router picks `used` of `count` for each token. Their weights are a
   * softmax over all scores, or with `normalized` over those picked.
   */
  experts?: { count: number; used: number; normalized: boolean };
  routerBias?: boolean;
  /** Rows of `embedding` are multiplied by it where they are looked up. Default 1. */
  embeddingScale?: number;
  /** Dot products of queries and keys are multiplied by it. Default `1 / sqrt(headDim)`. */
  attentionScale?: number;
  /** Scores become `cap tanh(score / cap)`. Default: they stay. */
  attentionSoftCap?: number;
  /** The same of logits. */
  logitSoftCap?: number;
  /** Each head's softmax has one more score, that no value belongs to. */
  attentionSinks?: boolean;
  /** Per layer: how many tokens a query sees, itself included; 0: all before it. Default: all 0. */
  windows?: number[];
  /** Rotary positions of layers with a window, where they differ from `rope`. */
  windowRope?: RopeSpec;
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
   *
   * Where the hyperparameters say so, besides: a vector `<name>.bias` to each norm, `attention.*`, `feedForward.*` and `output`;
   * layers.N.router [experts, W] and .experts.E.gate, .up [F, W], .down [W, F] in place of .feedForward.*;
   * layers.N.attentionPostNorm and .feedForwardPostNorm [1, W], .attention.queryNorm and .keyNorm [1, D],
   * .attention.sinks [1, H].
   */
  name: string;
  dtype: TensorType;
  /** [rows, columns]. Vectors have one row. */
  shape: [rows: number, columns: number];
  /** Index into {@link ModelSpec.files}. */
  file: number;
  /** Bytes from the start of the file. Safetensors files promise no alignment, not even to the element. */
  offset: number;
  /** Of the tensor, all of it in a row. */
  byteLength: number;
  /** Row r is the file's row r * rowStep from the offset on; of a vector, the element. Default 1. */
  rowStep?: number;
  /**
   * MXFP4 as safetensors have it: at `offset` are codes alone, two neighbours in a byte, 16 bytes for 32 elements; their scales are
   * here, row by row like the codes.
   */
  scales?: { file: number; offset: number };
}

/** A plain value: it can be passed to the addon and printed as JSON. */
export interface ModelSpec {
  architecture: Architecture;
  hyperparameters: Hyperparameters;
  /** Absolute paths. */
  files: string[];
  /** Exactly the tensors that the hyperparameters call for, each once. */
  tensors: TensorSpec[];
}
