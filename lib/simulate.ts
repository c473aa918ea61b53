/** `simulate()`: the engine's own scheduler under virtual time. No model, no clock: a workload, a cost profile, a policy. */
import { toNativeProfile } from './cost-profile.js';
import { throwIfAborted } from './errors.js';
import type { Disposition } from './interception-record.js';
import { fromNative, loadNative } from './native.js';
import type { NativeSimulation, NativeSimulationReport } from './native-protocol.js';
import { type AdaptiveIdea, adaptiveIdeas, dispositions, type PolicyName, policyNames } from './policy-names.js';
import { a100GptJ, type DeviceProfile } from './profiles.js';
import { type SloWeights, sloWeights, toNativeSlo } from './slo.js';
import { type EngineStats, toEngineStats } from './stats.js';
import {
  abortSignal,
  anything,
  arrayOf,
  boolean,
  integer,
  invalid,
  oneOf,
  options,
  real,
  required,
} from './validate.js';
import { toNativeWorkload, type Workload } from './workload.js';

export interface SimulateOptions {
  /** Default `'adaptive'`. */
  policy?: PolicyName;
  /** New requests against those that were begun. Default: both alike. */
  slo?: SloWeights;
  /** What steps and copies cost, and the memory there is. Default: GPT-J-6B on an A100. */
  profile?: DeviceProfile;
  /** KV tokens on the device. Default: the profile's. */
  deviceTokens?: number;
  /** KV tokens in host memory. Default: the profile's. */
  hostTokens?: number;
  /** Tokens per block. Default 16. */
  blockTokens?: number;
  /** The longest context. Default: what the longest session needs, at least 2048; the mix is cut to 2048. */
  contextTokens?: number;
  /** How far back attention looks, so that older blocks are freed. Default 0: to the beginning. */
  windowTokens?: number;
  /**
   * Groups of equally many layers that see everything, and of such that see the window: Gemma 2 and gpt-oss have 1 and 1. Default: every
   * layer sees the window.
   */
  layerGroups?: { full: number; sliding: number };
  /** Most tokens in one step. Default 512. */
  stepTokens?: number;
  /** Tokens per step beyond which step time grows in proportion. Default: the profile's. */
  saturationTokens?: number;
  /** Whether sequences share equal beginnings. Default true. */
  prefixCache?: boolean;
  /** Tells the scheduler how long each interception will last: an oracle, to compare estimators with. Default false. */
  durationsKnown?: boolean;
  /**
   * Whether the scheduler learns from interceptions that have ended how long they last; false: it expects each to last as long
   * again as it has lasted, the paper's rule. Default true.
   */
  durationsLearned?: boolean;
  /**
   * `adaptive` without some of its ideas, to see what each brings: `copyAhead`, `spareCopies`, `fullDuplex`, `hostTurnover`,
   * `priceReturn`, `partialReturn`, `largeYield`. Default: with all of them.
   */
  without?: readonly AdaptiveIdea[];
  /** What is to happen to contexts that wait for an interception of a kind, as a tool's `disposition`. Default: the policy decides. */
  dispositions?: Readonly<Record<string, Disposition>>;
  /** Virtual time at which the simulation stops; sessions that are not finished count as ending then. Default: when all are. */
  untilMs?: number;
  /** Checks every block's count after every step. Slow. Default false. */
  checkIntegrity?: boolean;
  signal?: AbortSignal;
}

/** Milliseconds over sessions. */
export interface Distribution {
  mean: number;
  p50: number;
  p90: number;
  p99: number;
}

export interface SimulationReport {
  policy: PolicyName;
  sessions: number;
  /** Sessions that ended before the simulation did. */
  completed: number;
  completedPerSecond: number;
  /** End-to-end time less interception time, per output token; all arrivals count. */
  normalizedLatencyMs: Distribution;
  /** The same as the paper counts: returned tokens are output as well. */
  paperLatencyMs: Distribution;
  /** Arrival to first token; sessions without one count with the time they waited. */
  firstTokenMs: Distribution;
  stats: EngineStats;
  virtualSeconds: number;
  steps: number;
}

const checkOptions = options({
  policy: oneOf(...policyNames),
  slo: sloWeights,
  profile: anything<DeviceProfile>(),
  deviceTokens: integer(1),
  hostTokens: integer(0),
  blockTokens: integer(1, 1024),
  contextTokens: integer(2, 2 ** 24),
  windowTokens: integer(0, 2 ** 24),
  layerGroups: required({ full: integer(1, 128), sliding: integer(1, 128) }, 'full', 'sliding'),
  stepTokens: integer(1, 2 ** 24),
  saturationTokens: integer(0, 2 ** 24),
  prefixCache: boolean,
  durationsKnown: boolean,
  durationsLearned: boolean,
  without: arrayOf(oneOf(...adaptiveIdeas)),
  dispositions: anything<Readonly<Record<string, Disposition>>>(),
  untilMs: real(0, 1e12),
  checkIntegrity: boolean,
  signal: abortSignal,
});

type CheckedOptions = ReturnType<typeof checkOptions>;

function distribution(values: number[]): Distribution {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  return { mean, p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

/** By the kind's number: the disposition's, or -1. Kinds that the workload does not have are none to wait for. */
function toWishes(wishes: Readonly<Record<string, Disposition>>, kinds: ReadonlyMap<string, number>): Int32Array {
  const numbers = new Int32Array(Math.max(...kinds.values()) + 1).fill(-1);
  for (const [kind, wish] of Object.entries(wishes)) {
    const name = `dispositions[${JSON.stringify(kind)}]`;
    const number = kinds.get(kind);
    if (number === undefined)
      throw invalid(name, wish, `of one of the workload's kinds: ${[...kinds.keys()].join(', ')}`);
    numbers[number] = dispositions.indexOf(oneOf(...dispositions)(wish, name));
  }
  return numbers;
}

function nativeOptions(checked: CheckedOptions, contextTokens: number, wishes: Int32Array): object {
  const profile = checked.profile ?? a100GptJ;
  const blockTokens = checked.blockTokens ?? 16;
  const { full, sliding } = checked.layerGroups ?? { full: 0, sliding: 1 };
  const groups = full + sliding;
  return {
    policy: checked.policy ?? 'adaptive',
    slo: toNativeSlo(checked.slo),
    deviceBlocks: Math.floor(((checked.deviceTokens ?? profile.deviceTokens) * groups) / blockTokens),
    hostBlocks: Math.floor(((checked.hostTokens ?? profile.hostTokens) * groups) / blockTokens),
    blockTokens,
    groups,
    fullGroups: full,
    bytesPerToken: profile.bytesPerToken,
    prefixCache: checked.prefixCache ?? true,
    contextTokens,
    windowTokens: checked.windowTokens ?? 0,
    stepTokens: Math.max(checked.stepTokens ?? 512, blockTokens),
    saturationTokens: checked.saturationTokens ?? profile.saturationTokens ?? 0,
    durationsKnown: checked.durationsKnown ?? false,
    durationsLearned: checked.durationsLearned ?? true,
    ideas: Object.fromEntries(adaptiveIdeas.map((idea) => [idea, !checked.without?.includes(idea)])),
    wishes,
    untilMs: checked.untilMs ?? 0,
    checkIntegrity: checked.checkIntegrity ?? false,
    profile: toNativeProfile(profile, blockTokens / groups),
  };
}

async function settled(simulation: NativeSimulation, signal: AbortSignal | undefined): Promise<NativeSimulationReport> {
  const cancel = () => simulation.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await simulation.promise;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/**
 * Runs a workload through the scheduler. Deterministic: the same arguments give the same report. Rejects with
 * `ERR_OUT_OF_MEMORY` if a session could never fit, and with `ERR_ABORTED` if the signal fires.
 */
export async function simulate(workload: Workload, settings: SimulateOptions = {}): Promise<SimulationReport> {
  const checked = checkOptions(settings, '');
  throwIfAborted(checked.signal, 'simulating');
  try {
    const { native, kinds, contextTokens } = toNativeWorkload(workload, checked.contextTokens);
    const wishes = toWishes(checked.dispositions ?? {}, kinds);
    const simulation = loadNative().simulate(native, nativeOptions(checked, contextTokens, wishes));
    return toReport(checked.policy ?? 'adaptive', await settled(simulation, checked.signal), kinds);
  } catch (error) {
    throw fromNative(error);
  }
}

function toReport(
  policy: PolicyName,
  native: NativeSimulationReport,
  kinds: ReadonlyMap<string, number>,
): SimulationReport {
  const sessions = native.arrivalMs.length;
  const ended = (index: number) => native.finishedMs[index]! >= 0;
  // A session that has not arrived by the end is none.
  const indices = Array.from({ length: sessions }, (_, index) => index).filter(
    (index) => native.arrivalMs[index]! >= 0 && (native.arrivalMs[index]! < native.virtualMs || ended(index)),
  );
  const lived = (index: number) =>
    ended(index) ? native.finishedMs[index]! : native.virtualMs - native.arrivalMs[index]!;
  const waited = (index: number) => (native.firstTokenMs[index]! >= 0 ? native.firstTokenMs[index]! : lived(index));
  const served = (index: number) => lived(index) - native.interceptedMs[index]!;
  const perToken = (index: number, tokens: number) => served(index) / Math.max(1, tokens);
  const completed = indices.filter(ended).length;
  return {
    policy,
    sessions: indices.length,
    completed,
    completedPerSecond: completed / (native.virtualMs / 1000),
    normalizedLatencyMs: distribution(indices.map((index) => perToken(index, native.outputTokens[index]!))),
    paperLatencyMs: distribution(
      indices.map((index) => perToken(index, native.outputTokens[index]! + native.returnedTokens[index]!)),
    ),
    firstTokenMs: distribution(indices.map(waited)),
    stats: toEngineStats(native.stats, kinds),
    virtualSeconds: native.virtualMs / 1000,
    steps: native.steps,
  };
}
