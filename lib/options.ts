/** Every option of the library once: what it means, its default, its range. Unknown and misspelt names throw. */
import { InferceptError } from './errors.js';
import { type Estimates, estimates } from './estimates.js';
import type { MemoryPlan } from './memory-plan.js';
import { type QuantizedType, quantizedTypes } from './model-spec.js';
import type { NativeSampling } from './native-commands.js';
import { type PolicyName, policyNames } from './policy-names.js';
import { type SloWeights, sloWeights } from './slo.js';
import {
  abortSignal,
  arrayOf,
  type Bytes,
  boolean,
  bytes,
  type Check,
  type Checked,
  callback,
  integer,
  invalid,
  nonEmptyString,
  oneOf,
  options,
  real,
} from './validate.js';

/** Where loading stands. */
export interface LoadProgress {
  /**
   * `download`: getting files from the hub; `headers`: reading small files; `plan`: what will be allocated is known;
   * `weights`: mapping and repacking; `calibrate`: measuring costs for the scheduler.
   */
  phase: 'download' | 'headers' | 'plan' | 'weights' | 'calibrate';
  /** Bytes of weights; 0 of 0 while reading headers. */
  loadedBytes: number;
  totalBytes: number;
  /** With `plan`. */
  memory?: MemoryPlan;
}

/** Options of `Engine.load`. */
export interface LoadOptions {
  /**
   * Where to compute: `'auto'`, `'cpu'`, `'cuda'` or `'cuda:1'`. `'auto'` takes the first CUDA device if there is one that can
   * run the model, else the CPU; `'cuda'` then throws `ERR_DEVICE`, with the reason and what to do about it. Default `'auto'`.
   */
  device?: 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
  /**
   * A token never depends on what else is computed in the same step, to the last bit. Always so on the CPU; on a CUDA device it
   * costs speed where NVIDIA's library would multiply the prompts' tokens, as it is then left alone. Default `false`.
   */
  deterministic?: boolean;
  /**
   * Quantizes the weights while they are loaded: less memory and more tokens per second for some accuracy. For models
   * whose weights are F32, F16 or BF16 (safetensors, or GGUF); others throw `ERR_INVALID_ARGUMENT`. Matrices whose rows
   * are no whole number of the type's blocks (32 or 256 weights) become `'q8_0'`, and stay as they are if they are not
   * of its blocks either; norms always stay. Default: weights stay as they are.
   */
  quantize?: QuantizedType;
  /** The KV cache on the device, shared by all sessions. */
  kvCache?: {
    /**
     * Its size. Default `'auto'`: four full contexts, at most half of what the weights leave free and a quarter of the machine's
     * memory; on a device with memory of its own nine tenths of what the weights leave.
     */
    bytes?: Bytes | 'auto';
    /**
     * How keys and values are stored. `'q8_0'` (8 bits and a shared scale per 32 values) holds 1.9 times as many tokens as
     * float16 in the same bytes, a little less precisely; heads have to be a multiple of 32 wide. `'f8_e4m3'` (8-bit floats of 4
     * significant bits) holds twice as many; each number is off by up to 6 %. Default `'auto'`: float16.
     */
    dtype?: 'auto' | 'f32' | 'f16' | 'bf16' | 'q8_0' | 'f8_e4m3';
    /** Tokens per block, the unit of sharing and swapping: 1 to 1024; attention is fastest with multiples of 16. Default 16. */
    blockTokens?: number;
    /** Whether sequences share equal beginnings. Default true. */
    prefixCache?: boolean;
  };
  /** Where contexts go that have to leave the device. */
  swap?: {
    /** Memory of the host tier; 0 for none. Default: twice `kvCache.bytes`, with the same limits. */
    hostBytes?: Bytes;
    /** A third tier on disk. Not available yet. */
    disk?: { path: string; bytes: Bytes };
  };
  /** Default `'adaptive'`. */
  policy?: PolicyName;
  /** New requests against those that were begun, where memory is short. Default: both alike. */
  slo?: SloWeights;
  /**
   * The longest context of one sequence, in tokens. Default and maximum: what the model was made for; dynamic NTK reaches
   * further when it is asked to. Positions that stretch with the context (dynamic NTK, LongRoPE) follow it.
   */
  contextTokens?: number;
  /** Threads that compute, the engine's own included. Default 0: one per core. */
  threads?: number;
  /**
   * Whether the engine's threads, but its first, stay on one processor each. Default false. Worth trying where processors
   * differ in distance to memory, or the system moves threads needlessly; it costs where other programs keep some of them
   * busy. Linux only, elsewhere without effect.
   */
  pinThreads?: boolean;
  /** Most tokens in one step: 1 to 65536. Default 512. */
  stepTokens?: number;
  /** Tokens per step beyond which step time grows in proportion. Default 0: measured at load. */
  saturationTokens?: number;
  /** Most live sequences (sessions and runs); beyond it `ERR_OVERLOADED`. Default 65536. */
  sequencesMax?: number;
  /**
   * What an earlier engine learnt about how long interceptions last, as its `estimates()` returned it, so that this one
   * need not begin anew. Default: nothing.
   */
  estimates?: Estimates;
  /** A native addon to use instead of the one that is found (also the environment variable `INFERCEPT_NATIVE`). */
  nativeBinding?: string;
  /** Called while loading, at most once per turn of the event loop. */
  onProgress?: (progress: LoadProgress) => void;
  /** Cancels the load with `ERR_ABORTED`. */
  signal?: AbortSignal;
}

const device: Check<string> = (value, name) => {
  if (typeof value === 'string' && /^(auto|cpu|cuda(:\d+)?)$/.test(value)) return value;
  throw invalid(name, value, "'auto', 'cpu', 'cuda' or 'cuda:<index>'");
};

const bytesOrAuto: Check<number | undefined> = (value, name) => (value === 'auto' ? undefined : bytes(value, name));

const noDisk: Check<never> = (_value, name) => {
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `\`${name}\` is not available in this version; raise \`swap.hostBytes\` instead.`,
  );
};

const readLoadOptions = options({
  device,
  deterministic: boolean,
  quantize: oneOf(...quantizedTypes),
  kvCache: options({
    bytes: bytesOrAuto,
    dtype: oneOf('auto', 'f32', 'f16', 'bf16', 'q8_0', 'f8_e4m3'),
    blockTokens: integer(1, 1024),
    prefixCache: boolean,
  }),
  swap: options({ hostBytes: bytes, disk: noDisk }),
  policy: oneOf(...policyNames),
  slo: sloWeights,
  contextTokens: integer(1, 2 ** 31 - 1),
  threads: integer(0, 1024),
  pinThreads: boolean,
  stepTokens: integer(1, 65536),
  saturationTokens: integer(0, 65536),
  sequencesMax: integer(1, 2 ** 31 - 1),
  estimates,
  nativeBinding: nonEmptyString,
  onProgress: callback<(progress: LoadProgress) => void>(),
  signal: abortSignal,
});

export function checkLoadOptions(value: unknown) {
  return readLoadOptions(value, '');
}

/** How tokens are chosen from the model's probabilities. */
export interface SamplingOptions {
  /** 0: always the most probable token (greedy). From 0 to 100. Default 0. */
  temperature?: number;
  /** Keep only the k most probable tokens; 0: all. Default 0. */
  topK?: number;
  /** Keep the most probable tokens that together reach this probability; 1: all. Default 1. */
  topP?: number;
  /** Drop tokens less probable than this share of the most probable one. Default 0. */
  minP?: number;
  /** Divides the logits of tokens that occurred. Default 1: off. */
  repetitionPenalty?: number;
  /** Subtracted once from the logits of tokens that occurred: -100 to 100. Default 0. */
  presencePenalty?: number;
  /** Subtracted per occurrence: -100 to 100. Default 0. */
  frequencyPenalty?: number;
  /** How many of the context's last tokens the penalties look at. Default 256. */
  penaltyTokens?: number;
  /** Added to the logits of single tokens, by token id: -100 to 100 each. */
  logitBias?: Record<number, number>;
  /** Makes sampling repeatable: an integer or bigint from 0 to 2^64 - 1. Default: random for each run. */
  seed?: number | bigint;
  /** Report the log probability of each sampled token and of this many alternatives (0 to 20). Default: none. */
  logprobs?: number;
}

const logitBias: Check<[token: number, bias: number][]> = (value, name) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, value, 'an object');
  return Object.entries(value).map(([token, bias]) => [
    integer(0, 2 ** 31 - 1)(Number(token), `${name}: token`),
    real(-100, 100)(bias, `${name}[${token}]`),
  ]);
};

const seed: Check<bigint> = (value, name) => {
  if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) return value;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return BigInt(value as number);
  throw invalid(name, value, 'an integer or bigint from 0 to 2^64 - 1');
};

export const samplingChecks = {
  temperature: real(0, 100),
  topK: integer(0, 2 ** 31 - 1),
  topP: real(0, 1),
  minP: real(0, 1),
  repetitionPenalty: real(0.01, 100),
  presencePenalty: real(-100, 100),
  frequencyPenalty: real(-100, 100),
  penaltyTokens: integer(0, 2 ** 31 - 1),
  logitBias,
  seed,
  logprobs: integer(0, 20),
};

export const sampling = options(samplingChecks);

export type CheckedSampling = Checked<typeof samplingChecks>;

export function toNativeSampling(checked: CheckedSampling): NativeSampling {
  const bias = checked.logitBias ?? [];
  return {
    temperature: checked.temperature ?? 0,
    topK: checked.topK ?? 0,
    topP: checked.topP ?? 1,
    minP: checked.minP ?? 0,
    repetitionPenalty: checked.repetitionPenalty ?? 1,
    presencePenalty: checked.presencePenalty ?? 0,
    frequencyPenalty: checked.frequencyPenalty ?? 0,
    penaltyTokens: checked.penaltyTokens ?? 256,
    logitBiasTokens: Int32Array.from(bias, ([token]) => token),
    logitBiasValues: Float32Array.from(bias, ([, value]) => value),
    seed: checked.seed ?? BigInt(Math.floor(Math.random() * Number.MAX_SAFE_INTEGER)),
    logprobs: checked.logprobs ?? -1,
  };
}

/** Stop texts: one string or several, none of them empty. */
export const stopTexts: Check<string[]> = (value, name) =>
  typeof value === 'string' ? [nonEmptyString(value, name)] : arrayOf(nonEmptyString)(value, name);

/** Options that every run has. */
export interface RunOptions {
  /** Most tokens to sample, all rounds of tool calls together counted. Default: as many as the context window holds. */
  maxTokens?: number;
  /** How tokens are chosen. Default: greedy; in a session, the session's. */
  sampling?: SamplingOptions;
  /** Texts that end the run; they are not part of the answer. */
  stop?: string | string[];
  /** Cancels the run: it rejects with `ERR_ABORTED`, and its session is as it was before. */
  signal?: AbortSignal;
}

export const runChecks = {
  maxTokens: integer(1, 2 ** 31 - 1),
  sampling,
  stop: stopTexts,
  signal: abortSignal,
};

/** `maxTokens` of the native side that only the context window limits. */
export const unlimitedTokens = 2 ** 32 - 1;
