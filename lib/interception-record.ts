/** What is told of one interception: what was decided and why, and what it cost. Plain JSON. */

/** What happened to a paused context. */
export type Disposition = 'preserve' | 'swap' | 'discard';

/** Where an estimate of how much longer an interception lasts comes from. */
export type EstimateSource =
  /** The caller said so: `expectedMs`, `eta`, `progress`, `almostDone`. */
  | 'announced'
  /** From earlier interceptions of the kind, its family, or all of them. */
  | 'learned'
  /** As long again as it has lasted: nothing else is known, or the policy uses nothing else. */
  | 'elapsed';

/** What was decided about a paused context in one step, and what was known then. Repeated decisions are told once. */
export interface InterceptionDecision {
  disposition: Disposition;
  /** KV blocks that are moved or freed in this step; 0 for `preserve`. */
  blocks: number;
  /** What each alternative was expected to waste, in byte-seconds of device memory. */
  waste: Readonly<Record<Disposition, number>>;
  estimate: {
    /** Milliseconds since the interception began. */
    elapsedMs: number;
    /** Milliseconds that it was expected to go on; `waste.preserve` is computed from it. */
    expectedMs: number;
    source: EstimateSource;
  };
  pressure: MemoryPressure;
}

/** Memory when a step began, in KV blocks. */
export interface MemoryPressure {
  /** Device blocks that nobody uses. */
  freeBlocks: number;
  /** These, and those that only the prefix cache still has. */
  availableBlocks: number;
  /** Device blocks that were wanted beyond those available or on their way. */
  shortageBlocks: number;
  hostFreeBlocks: number;
  /** Blocks that could be copied to the host while the step computed. `null`: no limit, the policy waits for its copies. */
  copyBudgetBlocks: number | null;
}

/** One interception of a run, as it went. */
export interface InterceptionRecord {
  kind: string;
  /** Milliseconds from the pause to the resume. */
  waitedMs: number;
  /** Milliseconds from the resume to the step in which its returned tokens began to be computed. */
  delayMs: number;
  /** The worst that happened to the context while it waited: preserve, then swap, then discard. */
  disposition: Disposition;
  /** Tokens that had to be computed again. */
  recomputedTokens: number;
  /** KV blocks that were copied back to the device. */
  swappedBlocks: number;
  /** KV blocks that the context gave up while it waited, by all decisions. */
  givenUpBlocks: number;
  /** Tokens appended on resume. */
  returnedTokens: number;
  /** `null` if the context was paused again before anything was computed: then there is nothing to look back on. */
  hindsight: Hindsight | null;
}

/**
 * What an interception cost, now that its duration is known, in byte-seconds of device memory. Memory that the context held
 * counts only while something runnable was refused for want of memory; memory that it gave up counts for the alternative of
 * keeping it while others used it. What nobody wants costs nothing to keep.
 */
export interface Hindsight {
  /** Of what was done: memory held while work was refused, what copies were charged for, and the recompute that is due. */
  waste: number;
  /** Had the whole context been preserved, swapped (`null`: there is too little host memory), discarded from the beginning. */
  alternatives: Readonly<{ preserve: number; swap: number | null; discard: number }>;
  /** `waste` less the least alternative; 0 if none would have wasted less. */
  regret: number;
}
