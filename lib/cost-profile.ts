/** What steps and copies cost, as data: what callers write, and what the native side has of it. */
import type { NativeCostProfile } from './native-protocol.js';
import { anything, type Check, integer, real, required } from './validate.js';

/**
 * What a step and a copy cost. A step takes `step + perQueryToken * q + perKvToken * kv` seconds: q tokens are computed, and
 * attention reads kv positions in all.
 */
export interface CostProfile {
  /** Seconds of every step. */
  step: number;
  /** Seconds per query token. */
  perQueryToken: number;
  /** Seconds per position that attention reads. */
  perKvToken: number;
  /** Neighbouring query tokens of a sequence that read its context together. Default 1: each reads it for itself. */
  queryTile?: number;
  /** Seconds of every copy between tiers, whatever its size. */
  copyStart: number;
  /** Seconds per byte, one direction; links are taken as full duplex. */
  secondsPerCopiedByte: number;
  /** Copies from the host back. Default: they cost what copies to the host cost. */
  copyIn?: { copyStart: number; secondsPerCopiedByte: number };
  /** Keys and values of one token in all layers. */
  bytesPerToken: number;
  /** Tokens per step beyond which step time grows in proportion. Default 0: from the line above. */
  saturationTokens?: number;
}

const seconds = real(0, 1e6);
const copy = { copyStart: seconds, secondsPerCopiedByte: seconds };
const readProfile = required(
  {
    step: seconds,
    perQueryToken: seconds,
    perKvToken: seconds,
    queryTile: integer(1, 2 ** 24),
    ...copy,
    copyIn: required(copy, 'copyStart', 'secondsPerCopiedByte'),
    bytesPerToken: real(1, 1e9),
    saturationTokens: integer(0, 2 ** 24),
    // What the profile of a device says besides.
    name: anything(),
    deviceTokens: anything(),
    hostTokens: anything(),
  },
  'step',
  'perQueryToken',
  'perKvToken',
  'copyStart',
  'secondsPerCopiedByte',
  'bytesPerToken',
);

/** A profile that somebody may have written by hand. */
export const costProfile: Check<CostProfile> = readProfile;

/** As the native side takes it: copies by blocks, which take the memory of so many tokens in all layers. */
export function toNativeProfile(profile: CostProfile, blockTokens: number): NativeCostProfile {
  const blockBytes = profile.bytesPerToken * blockTokens;
  const { copyIn = profile } = profile;
  return {
    step: profile.step,
    perQueryToken: profile.perQueryToken,
    perKvToken: profile.perKvToken,
    queryTile: profile.queryTile ?? 1,
    copyOutStart: profile.copyStart,
    copyInStart: copyIn.copyStart,
    copyOutBlock: blockBytes * profile.secondsPerCopiedByte,
    copyInBlock: blockBytes * copyIn.secondsPerCopiedByte,
  };
}

/** `profile` with the coefficients that the native side has now. */
export function withCosts<Profile extends Pick<CostProfile, 'bytesPerToken'>>(
  profile: Profile,
  costs: NativeCostProfile,
  blockTokens: number,
): Profile & CostProfile {
  const blockBytes = profile.bytesPerToken * blockTokens;
  return {
    ...profile,
    step: costs.step,
    perQueryToken: costs.perQueryToken,
    perKvToken: costs.perKvToken,
    queryTile: costs.queryTile,
    copyStart: costs.copyOutStart,
    secondsPerCopiedByte: costs.copyOutBlock / blockBytes,
    copyIn: { copyStart: costs.copyInStart, secondsPerCopiedByte: costs.copyInBlock / blockBytes },
  };
}
