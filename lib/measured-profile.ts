/** Profiles that an engine measured, for `simulate`: from its own numbers, and from the JSON that they were kept as. */
import { type CostProfile, costProfile, withCosts } from './cost-profile.js';
import type { EngineCapacity } from './engine.js';
import { InferceptError } from './errors.js';
import type { NativeCostProfile } from './native-protocol.js';
import type { DeviceProfile } from './profiles.js';
import { integer, nonEmptyString, required } from './validate.js';

/** What an engine has, at the costs that its native side knows now. */
export function measuredProfile(capacity: EngineCapacity, costs: NativeCostProfile): DeviceProfile {
  const { device, isa, threads, kvTokens, hostTokens, blockTokens, blockGroups, bytesPerToken } = capacity;
  const name = `${device}, ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  return withCosts({ name, deviceTokens: kvTokens, hostTokens, bytesPerToken }, costs, blockTokens / blockGroups);
}

const checkNames = { name: nonEmptyString, deviceTokens: integer(1), hostTokens: integer(0) };

/** @throws InferceptError `ERR_INVALID_ARGUMENT` that says what is wrong */
export function parseProfile(text: string): DeviceProfile {
  const value = parseJson(text);
  const costs: CostProfile = costProfile(value, 'profile');
  const { name, deviceTokens, hostTokens } = value as DeviceProfile;
  const read = required(checkNames, 'name', 'deviceTokens', 'hostTokens');
  return { ...costs, ...read({ name, deviceTokens, hostTokens }, 'profile') };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', 'The profile is not JSON.', { cause });
  }
}
