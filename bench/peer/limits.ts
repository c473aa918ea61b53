// What the machine allows at most, in tokens per second.
import { parameters } from '../support/model-files.js';

/** As the native benchmark `limits` reports them. */
export interface MachineLimits {
  isa: string;
  readGigabytesPerSecond: number;
  int8Gops: number;
  bf16Gflops: number;
  float32Gflops: number;
}

/** Operations per second for weights of this type: quantized ones are multiplied as int8. */
function rateOf(type: string, limits: MachineLimits): number {
  if (type === 'bf16') return limits.bf16Gflops * 1e9;
  return (type === 'f32' || type === 'f16' ? limits.float32Gflops : limits.int8Gops) * 1e9;
}

/** Of a prompt: a multiply and an add per parameter of the layers and token; its one row of logits counts for nothing. */
export function prefillLimit(type: string, limits: MachineLimits): number {
  return rateOf(type, limits) / (2 * parameters.layers);
}

/**
 * Of so many contexts decoding together: all weights but the embedding are read once per step and multiplied once per
 * context. `bytes`: of those weights. Reading the cache and attention are left out.
 */
export function decodeLimit(type: string, contexts: number, bytes: number, limits: MachineLimits): number {
  const used = parameters.layers + parameters.output;
  const byReading = (contexts * limits.readGigabytesPerSecond * 1e9) / bytes;
  return Math.min(byReading, rateOf(type, limits) / (2 * used));
}
