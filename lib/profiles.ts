/** Cost profiles of devices and models, as data for `simulate` and `infercept/policy`. */
import type { CostProfile } from './cost-profile.js';

/** What a step and a copy cost, and how much memory there is. */
export interface DeviceProfile extends CostProfile {
  name: string;
  /** KV tokens on the device and in host memory. */
  deviceTokens: number;
  hostTokens: number;
}

/** What of a model decides what a step costs. Weights, keys and values have two bytes each. */
export interface ModelShape {
  name: string;
  parameters: number;
  layers: number;
  kvHeads: number;
  headWidth: number;
}

/** One or more equal devices that share the work of every layer. */
export interface Accelerator {
  name: string;
  count: number;
  /** Of one device. */
  memoryBytes: number;
  /** Of one device's memory, peak. */
  bytesPerSecond: number;
  /** Of one device, peak, 16 bits. */
  flops: number;
  /** Seconds that a layer takes besides its reading and arithmetic: launches, and the exchange between devices. */
  layerOverhead: number;
  /** Bytes per second to the host and back, all devices together, one direction. */
  linkBytesPerSecond: number;
  /** Memory of the host for contexts. */
  hostBytes: number;
}

/** Share of peak bandwidth that attention and weights are read at: 0.24 µs for the 458,752 bytes of a GPT-J token is 94 % of an A100's. */
const bandwidthShare = 0.94;
/** Share of peak arithmetic that more query tokens get: GPT-J's 0.0463 ms for 12.1 GFLOP is 84 % of an A100's. */
const arithmeticShare = 0.84;
/** Query tokens of a tile in FlashAttention-2, which reads the context once for each tile. */
const attentionTile = 128;
/** Share of a device's memory that a server takes, as vLLM does by default. */
const memoryShare = 0.9;
/** Of that, bytes per device for activations: what GPT-J's 52,000 tokens leave of 40 GiB. */
const activationBytes = 2.7e9;

/**
 * The profile that a model has on devices of which only data sheets are known:
 * - a step reads all weights once, and each layer has its overhead;
 * - a query token multiplies with each parameter once;
 * - a KV position is read at the memory's bandwidth, once per tile of query tokens (their arithmetic hides behind the rest);
 * - the KV pool is what weights and activations leave.
 */
export function deriveProfile(model: ModelShape, accelerator: Accelerator): DeviceProfile {
  const { count, memoryBytes, bytesPerSecond, flops, linkBytesPerSecond, hostBytes } = accelerator;
  const weightBytes = 2 * model.parameters;
  const bytesPerToken = 2 * 2 * model.layers * model.kvHeads * model.headWidth;
  const readBytesPerSecond = count * bytesPerSecond * bandwidthShare;
  const poolBytes = count * (memoryBytes * memoryShare - activationBytes) - weightBytes;
  return {
    name: `${model.name} on ${count > 1 ? `${count} ` : ''}${accelerator.name}`,
    step: weightBytes / readBytesPerSecond + model.layers * accelerator.layerOverhead,
    perQueryToken: (2 * model.parameters) / (count * flops * arithmeticShare),
    perKvToken: bytesPerToken / readBytesPerSecond,
    queryTile: attentionTile,
    copyStart: 0,
    secondsPerCopiedByte: 1 / linkBytesPerSecond,
    bytesPerToken,
    deviceTokens: Math.max(0, Math.floor(poolBytes / bytesPerToken)),
    hostTokens: Math.floor(hostBytes / bytesPerToken),
    saturationTokens: 0,
  };
}

/** Architectures as their configuration files state them. */
export const modelShapes = {
  gptJ6B: { name: 'gpt-j-6b', parameters: 6.05e9, layers: 28, kvHeads: 16, headWidth: 256 },
  vicuna13B: { name: 'vicuna-13b', parameters: 13.02e9, layers: 40, kvHeads: 40, headWidth: 128 },
  llama3_8B: { name: 'llama3-8b', parameters: 8.03e9, layers: 32, kvHeads: 8, headWidth: 128 },
  llama3_70B: { name: 'llama3-70b', parameters: 70.55e9, layers: 80, kvHeads: 8, headWidth: 128 },
} as const satisfies Record<string, ModelShape>;

/**
 * An A100: 2.04 TB/s (the 80 GB card; the 40 GB one has 1.56), 312 TFLOPS. The paper does not say how much memory its cards
 * had; 52,000 tokens of GPT-J are what 40 GiB leave.
 *
 * - Overhead of a layer: GPT-J's step of 10 ms less the 6.3 ms for its weights, over 28 layers: 0.13 ms, the Python of the time.
 * - Link: 10 GB/s, at which the constants of InferCept's released code arrive for one GPU and for two together.
 * - Host: 128 GiB, of which the authors' scripts tell.
 */
export const a100: Accelerator = {
  name: 'a100',
  count: 1,
  memoryBytes: 40 * 2 ** 30,
  bytesPerSecond: 2.04e12,
  flops: 312e12,
  layerOverhead: 0.13e-3,
  linkBytesPerSecond: 10e9,
  hostBytes: 128 * 2 ** 30,
};

/**
 * GPT-J-6B on one A100: step time, saturation and link rate as the constants of InferCept's released code imply them; the
 * KV term from memory bandwidth; 64 GiB of host memory.
 */
export const a100GptJ: DeviceProfile = {
  name: 'gpt-j-6b on a100',
  step: 0.01,
  perQueryToken: 46.3e-6,
  perKvToken: 0.24e-6,
  queryTile: attentionTile,
  copyStart: 0,
  secondsPerCopiedByte: 1e-10,
  bytesPerToken: 458_752,
  deviceTokens: 52_000,
  hostTokens: 149_796,
  saturationTokens: 384,
};

/**
 * Vicuna-13B on one A100, for which no constants were released: derived. 26 GB of weights take 13.6 ms to read and leave
 * 12,000 tokens of 819,200 bytes. S is the 384 that the released code has for every model.
 */
export const a100Vicuna: DeviceProfile = { ...deriveProfile(modelShapes.vicuna13B, a100), saturationTokens: 384 };

/**
 * Vicuna-13B on two A100s: step time (15.4 ms + 0.0279 ms per token), saturation and link rate (5 GB/s per GPU) as the
 * constants of InferCept's released code imply them; the rest derived.
 */
export const a100x2Vicuna: DeviceProfile = {
  ...deriveProfile(modelShapes.vicuna13B, { ...a100, count: 2 }),
  step: 0.0154,
  perQueryToken: 27.9e-6,
  saturationTokens: 384,
};

/**
 * Llama3-70B on four A100s, derived: 141 GB of weights need cards of 80 GiB, and leave 480,000 tokens of 327,680 bytes. The
 * overhead of a layer is that of Vicuna on two, where layers have to wait for each other's halves: its 15.4 ms less 6.8 ms
 * for the weights, over 40 layers. 64 GiB of host memory per GPU. S is 384 as for every model in the released code.
 */
export const a100x4Llama70B: DeviceProfile = {
  ...deriveProfile(modelShapes.llama3_70B, {
    ...a100,
    count: 4,
    memoryBytes: 80 * 2 ** 30,
    layerOverhead: 0.215e-3,
    hostBytes: 256 * 2 ** 30,
  }),
  saturationTokens: 384,
};

/**
 * Llama3-8B on an H200, derived from data sheets: 141 GB at 4.8 TB/s, 989 TFLOPS, 50 of the 64 GB/s of PCIe 5.0 per direction;
 * 30 µs per layer, launched from a graph; 128 GiB of host memory.
 */
export const h200Llama8B: DeviceProfile = deriveProfile(modelShapes.llama3_8B, {
  name: 'h200',
  count: 1,
  memoryBytes: 141e9,
  bytesPerSecond: 4.8e12,
  flops: 989e12,
  layerOverhead: 30e-6,
  linkBytesPerSecond: 50e9,
  hostBytes: 128 * 2 ** 30,
});

/** Every profile by a name for command lines. */
export const profiles = {
  'a100-gpt-j-6b': a100GptJ,
  'a100-vicuna-13b': a100Vicuna,
  '2xa100-vicuna-13b': a100x2Vicuna,
  '4xa100-llama3-70b': a100x4Llama70B,
  'h200-llama3-8b': h200Llama8B,
} as const satisfies Record<string, DeviceProfile>;
