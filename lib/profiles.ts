/** Cost profiles of devices and models, as data for `simulate`. */

/** What a step and a copy cost, and how much memory there is. A step takes `step + perQueryToken * q + perKvToken * kv`. */
export interface DeviceProfile {
  name: string;
  /** Seconds of every step. */
  step: number;
  /** Seconds per query token. */
  perQueryToken: number;
  /** Seconds per position that attention reads. */
  perKvToken: number;
  /** Seconds of every copy between tiers, whatever its size. */
  copyStart: number;
  /** Seconds per byte, one direction; links are taken as full duplex. */
  secondsPerCopiedByte: number;
  /** Keys and values of one token in all layers. */
  bytesPerToken: number;
  /** KV tokens on the device and in host memory. */
  deviceTokens: number;
  hostTokens: number;
  /** Tokens per step beyond which step time grows in proportion; 0: from the line. */
  saturationTokens: number;
}

/**
 * GPT-J-6B on one A100: step time, saturation and link rate as the constants of InferCept's released code imply them; the
 * KV term from memory bandwidth; 64 GiB of host memory.
 */
export const a100GptJ: DeviceProfile = {
  name: 'gpt-j-6b on a100',
  step: 0.01,
  perQueryToken: 46.3e-6,
  perKvToken: 0.24e-6,
  copyStart: 0,
  secondsPerCopiedByte: 1e-10,
  bytesPerToken: 458_752,
  deviceTokens: 52_000,
  hostTokens: 149_796,
  saturationTokens: 384,
};
