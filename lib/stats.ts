/** What `engine.stats()` reports. */

import type { Disposition } from './interception-record.js';
import type { NativeKindWaste, NativeStats } from './native-stats.js';

/** Blocks of one tier. */
export interface TierStats {
  blocks: number;
  /** Never used or given back. */
  free: number;
  /** Unreferenced, but still found by equal prefixes: free on demand. Device only. */
  cached: number;
}

/**
 * Where device memory went without use, in byte-seconds since the start. `share` is the sum of the first four over the
 * pool's bytes times the time of all steps.
 */
export interface WasteStats {
  /** Paused contexts held memory that something runnable wanted in vain. */
  preservedIdle: number;
  /** Everybody's memory during time spent on recomputing discarded contexts. */
  recompute: number;
  /** Everything resident while a step waited for copies. */
  stall: number;
  /** Blocks that were coming in and could not be used yet. */
  swapWait: number;
  /** Paused contexts held memory that nobody wanted: not waste. */
  pausedUnwanted: number;
  /** The paper's own definition: all memory of paused contexts, wanted or not. */
  paperPreserved: number;
  /** The pool's bytes times the time of all steps. */
  capacity: number;
  /** From 0 to 1. */
  share: number;
  /**
   * By what the contexts waited for, under the names that events have; the rows add up to the above. `unknown` has what nobody
   * named and kinds beyond the 254th, `preemption` what running contexts cost that gave way to older ones. Rows with nothing in
   * them are left out.
   */
  byKind: Readonly<Record<string, KindWaste>>;
}

/** What one kind of interception has cost, in byte-seconds; see {@link WasteStats}. */
export interface KindWaste {
  preservedIdle: number;
  recompute: number;
  /** Stalls are shared out by copied blocks. */
  stall: number;
  swapWait: number;
  pausedUnwanted: number;
  /** Completed interceptions by the worst that happened to their context. */
  interceptions: Readonly<Record<Disposition, number>>;
  /** Sum of `hindsight.regret` over these: what they wasted more than the best alternatives, byte-seconds. */
  regret: Readonly<Record<Disposition, number>>;
}

/** Counters since the engine was loaded, and its state at the last step boundary. */
export interface EngineStats {
  steps: number;
  tokens: {
    /** Computed: prompts, decodes and recomputes. */
    computed: number;
    /** Of these, computed again after a discard. */
    recomputed: number;
    /** Prompt tokens found in the prefix cache. */
    cached: number;
  };
  sequences: { waiting: number; running: number; paused: number };
  device: TierStats;
  host: Omit<TierStats, 'cached'>;
  /** Completed interceptions by the worst that happened to their context. */
  interceptions: { total: number; preserved: number; swapped: number; discarded: number };
  swappedBlocks: { out: number; in: number };
  discardedBlocks: number;
  /** Running sequences that had to give blocks. */
  preemptions: number;
  waste: WasteStats;
  /** Mean relative error of the cost model's recent predictions of step time. */
  costError: number;
  /**
   * What all steps took to compute, and what had been predicted of them. The cost model follows what steps usually take: on a busy
   * machine, where some take many times as long, they take more in sum.
   */
  stepSeconds: { measured: number; predicted: number };
}

/** What counts as waste, in byte-seconds. */
export function wastedOf(waste: Pick<WasteStats, 'preservedIdle' | 'recompute' | 'stall' | 'swapWait'>): number {
  return waste.preservedIdle + waste.recompute + waste.stall + waste.swapWait;
}

/** @param names under which kinds are numbered */
export function toEngineStats(native: NativeStats, names: Iterable<readonly [string, number]>): EngineStats {
  const count = (name: string): number => native[name] as number;
  const { waste, kinds } = native;
  return {
    steps: count('steps'),
    tokens: {
      computed: count('queryTokens'),
      recomputed: count('recomputedTokens'),
      cached: count('cachedTokens'),
    },
    sequences: { waiting: count('waiting'), running: count('running'), paused: count('paused') },
    device: { blocks: count('deviceBlocks'), free: count('deviceBlocksFree'), cached: count('deviceBlocksCached') },
    host: { blocks: count('hostBlocks'), free: count('hostBlocksFree') },
    interceptions: countInterceptions(kinds),
    swappedBlocks: { out: count('swappedOutBlocks'), in: count('swappedInBlocks') },
    discardedBlocks: count('discardedBlocks'),
    preemptions: count('preemptions'),
    waste: {
      ...waste,
      share: waste.capacity > 0 ? wastedOf(waste) / waste.capacity : 0,
      byKind: toByKind(native, names),
    },
    costError: count('costError'),
    stepSeconds: { measured: count('measuredSeconds'), predicted: count('predictedSeconds') },
  };
}

function countInterceptions(kinds: readonly NativeKindWaste[]): EngineStats['interceptions'] {
  const count = (disposition: Disposition) =>
    kinds.reduce((sum, { interceptions }) => sum + interceptions[disposition], 0);
  const [preserved, swapped, discarded] = [count('preserve'), count('swap'), count('discard')];
  return { total: preserved + swapped + discarded, preserved, swapped, discarded };
}

/** The twin of `kPreemptionKind`. */
const preemption = ['preemption', 2 ** 32 - 1] as const;

function toByKind({ kinds, waste: { capacity } }: NativeStats, names: Iterable<readonly [string, number]>) {
  const nameOf = new Map([preemption, ...names].map(([name, number]) => [number, name]));
  const byKind = new Map<string, KindWaste>();
  for (const { kind, ...waste } of kinds) {
    const name = nameOf.get(kind) ?? 'unknown';
    const known = byKind.get(name);
    if (!isNothing(waste, capacity)) byKind.set(name, known === undefined ? waste : add(known, waste));
  }
  return Object.fromEntries(byKind);
}

/** Whether there is nothing but what rounding leaves when a wait gets its name. */
function isNothing({ interceptions, regret, ...byteSeconds }: KindWaste, capacity: number): boolean {
  const none = Object.values(interceptions).every((count) => count === 0);
  return none && Object.values(byteSeconds).every((value) => value <= 1e-9 * capacity);
}

/** Two numbers may have one name: a kind that was forgotten counts as unknown. */
function add(one: KindWaste, other: KindWaste): KindWaste {
  const dispositions = (a: KindWaste['regret'], b: KindWaste['regret']) => ({
    preserve: a.preserve + b.preserve,
    swap: a.swap + b.swap,
    discard: a.discard + b.discard,
  });
  return {
    preservedIdle: one.preservedIdle + other.preservedIdle,
    recompute: one.recompute + other.recompute,
    stall: one.stall + other.stall,
    swapWait: one.swapWait + other.swapWait,
    pausedUnwanted: one.pausedUnwanted + other.pausedUnwanted,
    interceptions: dispositions(one.interceptions, other.interceptions),
    regret: dispositions(one.regret, other.regret),
  };
}
