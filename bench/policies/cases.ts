// What is simulated: profiles, workloads, and how long.
import { existsSync, readFileSync } from 'node:fs';
import type { AugmentationName, DeviceProfile, PolicyName, Workload } from 'infercept';
import { parseProfile } from '../../lib/measured-profile.js';
import { profiles } from '../../lib/profiles.js';
import { type BenchOptions, UsageError } from '../support/options.js';

export type ProfileName = keyof typeof profiles;
export type WorkloadName = AugmentationName | 'mix' | 'agents';

/** From the one that gives up least to the one that gives up most; charts and tables list them in this order. */
export const policies = [
  'adaptive',
  'infercept',
  'preserve',
  'swap',
  'discard',
  'discard-requeue',
] as const satisfies readonly PolicyName[];

export interface Case {
  /** Of a profile that comes with the library, or the path of a measured one. */
  profileName: string;
  profile: DeviceProfile;
  workload: WorkloadName;
}

export interface Size {
  /** Sessions arrive for so many seconds... */
  seconds: number;
  /** ... and all is measured at this one; whoever is not done counts as ending then. */
  untilSeconds: number;
  /** Runs whose figures are averaged. */
  seeds: number;
  /** How far sustained loads are narrowed down. */
  tolerance: number;
  /** Sessions of the run in which none meets another. */
  unloadedSessions: number;
  /** Rates per policy for the charts of the mix. */
  chartRates: number;
}

export const fullSize: Size = {
  seconds: 300,
  untilSeconds: 360,
  seeds: 3,
  tolerance: 0.01,
  unloadedSessions: 240,
  chartRates: 8,
};
export const quickSize: Size = {
  seconds: 200,
  untilSeconds: 240,
  seeds: 1,
  tolerance: 0.08,
  unloadedSessions: 120,
  chartRates: 0,
};

const workloads: readonly WorkloadName[] = [
  'mix',
  'agents',
  'math',
  'question',
  'environment',
  'chat',
  'image',
  'speech',
];

/** The profile whose ratios are reported. */
export const mainProfile: ProfileName = 'a100-gpt-j-6b';

/** Those that the paper measured. */
const paperProfiles: readonly ProfileName[] = [
  mainProfile,
  'a100-vicuna-13b',
  '2xa100-vicuna-13b',
  '4xa100-llama3-70b',
];

/** The mix and agents everywhere, each augmentation alone on the first profile. Profiles and workloads that are named: all pairs. */
export function casesOf({ quick, profiles: wanted, workloads: kinds }: BenchOptions): Case[] {
  const profileNames = wanted ?? (quick ? [mainProfile] : paperProfiles);
  const pairs = profileNames.flatMap((profileName) => {
    const everywhere: readonly WorkloadName[] = ['mix', 'agents'];
    const usual = quick || profileName !== mainProfile ? everywhere : workloads;
    return (kinds?.map(toWorkloadName) ?? usual).map((workload) => ({ profileName, workload }));
  });
  const byName = new Map(profileNames.map((name) => [name, toProfile(name)]));
  return pairs.map((pair) => ({ ...pair, profile: byName.get(pair.profileName)! }));
}

function toProfile(name: string): DeviceProfile {
  if (Object.hasOwn(profiles, name)) return profiles[name as ProfileName];
  if (existsSync(name)) return parseProfile(readFileSync(name, 'utf8'));
  throw new UsageError(
    `There is no profile '${name}', nor such a file; there are ${Object.keys(profiles).join(', ')}.`,
  );
}

function toWorkloadName(name: string): WorkloadName {
  const known = workloads.find((workload) => workload === name);
  if (known !== undefined) return known;
  throw new UsageError(`There is no workload '${name}'; there are ${workloads.join(', ')}.`);
}

/** Contexts of agents are as large as memory makes them a problem: their median is a twelfth of the pool. */
const agentTokensMedian = 142_000;
const agentsPerPool = 12;

export function makeWorkload(
  { workload, profile }: Case,
  arrivals: { rate: number; seconds: number; seed: number },
): Workload {
  if (workload === 'mix') return { mix: arrivals };
  if (workload !== 'agents') return { mix: { ...arrivals, only: workload } };
  const tokenScale = profile.deviceTokens / agentsPerPool / agentTokensMedian;
  return { agents: { ...arrivals, tokenScale } };
}
