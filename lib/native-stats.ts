/** What the native engine and simulation say of themselves. The twin of `addon/sched/stats.h`. */
import type { Disposition } from './interception-record.js';
import type { NativeCostProfile } from './native-protocol.js';

/** Field by field in camel case. */
export interface NativeStats {
  [name: string]: number | NativeWaste | NativeKindWaste[] | NativeCostProfile;
  waste: NativeWaste;
  kinds: NativeKindWaste[];
  cost: NativeCostProfile;
}

/** The part of one kind, by its number: 0 for interceptions that nobody named, 4294967295 for preemptions. */
export interface NativeKindWaste {
  kind: number;
  preservedIdle: number;
  recompute: number;
  stall: number;
  swapWait: number;
  pausedUnwanted: number;
  interceptions: Record<Disposition, number>;
  regret: Record<Disposition, number>;
}

export interface NativeWaste {
  preservedIdle: number;
  recompute: number;
  stall: number;
  swapWait: number;
  pausedUnwanted: number;
  paperPreserved: number;
  capacity: number;
}
