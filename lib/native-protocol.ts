/**
 * What crosses the boundary from the native engine, and its class. The twin of `addon/engine/{event,outbox}.h`;
 * `addon/binding/convert_out` translates. Commands are in native-commands.ts.
 */
import type { ErrorCode } from './errors.js';
import type { Disposition, EstimateSource } from './interception-record.js';
import type { ModelSpec } from './model-spec.js';
import type { NativeCommand, NativeKind } from './native-commands.js';
import type { NativeStats } from './native-stats.js';

/** Sampled tokens of one sequence: `count` entries of {@link NativeBatch.tokens} from `begin` on. */
export interface NativeTokensEvent {
  type: 'tokens';
  seq: number;
  begin: number;
  count: number;
  /** Text that became final with these tokens. */
  text: string;
  /** The most probable tokens at the place of each token, if asked for. */
  top?: { token: number; logprob: number }[][];
}

export interface NativeMatchEvent {
  type: 'match';
  seq: number;
  /** Index into the turn's triggers. */
  trigger: number;
  /** Between trigger and until. */
  text: string;
}

export interface NativePauseEvent {
  type: 'pause';
  seq: number;
  reason: 'trigger' | 'code' | 'previous-match';
  contextTokens: number;
}

export interface NativeResumeEvent {
  type: 'resume';
  seq: number;
  waitedMs: number;
  delayMs: number;
  recomputedTokens: number;
  swappedBlocks: number;
  givenUpBlocks: number;
  disposition: Disposition;
  /** Byte-seconds; see `addon/sched/hindsight.h`. `swap` is null where it cannot be done. */
  hindsight: { waste: number; preserve: number; swap: number | null; discard: number; regret: number };
}

export interface NativeFinishEvent {
  type: 'finish';
  seq: number;
  reason: 'stop-token' | 'stop-text' | 'length' | 'context-length' | 'aborted';
  contextTokens: number;
  promptTokens: number;
  generatedTokens: number;
  cachedTokens: number;
  queuedMs: number;
  firstTokenMs: number;
  totalMs: number;
  interceptedMs: number;
}

export interface NativeDecisionEvent {
  type: 'decision';
  seq: number;
  disposition: Disposition;
  blocks: number;
  wastePreserve: number;
  wasteSwap: number;
  wasteDiscard: number;
  elapsedMs: number;
  expectedMs: number;
  estimateSource: EstimateSource;
  freeBlocks: number;
  availableBlocks: number;
  shortageBlocks: number;
  hostFreeBlocks: number;
  /** 4294967295: no limit. */
  copyBudgetBlocks: number;
}

export interface NativeFailureEvent {
  type: 'failure';
  seq: number;
  code: ErrorCode;
  message: string;
}

/** Events of one sequence. */
export type NativeSequenceEvent =
  | NativeTokensEvent
  | NativeMatchEvent
  | NativePauseEvent
  | NativeResumeEvent
  | NativeFinishEvent
  | NativeDecisionEvent
  | NativeFailureEvent;

/** Events of the engine as a whole. */
export type NativeEngineEvent =
  | { type: 'progress'; phase: 'weights' | 'calibrate'; loadedBytes: number; totalBytes: number }
  | { type: 'loaded'; info: NativeInfo }
  /** The load or a step failed; the engine stays failed. */
  | { type: 'failed'; code: ErrorCode; message: string }
  | { type: 'dump'; id: number; json: string }
  /** The thread is about to end; nothing follows. */
  | { type: 'stopped' };

/** One executed step. Times in milliseconds. */
export interface StepRecord {
  step: number;
  /** Sequences in the step. */
  slices: number;
  tokens: number;
  /** Of these, decodes: slices of one token that sample. */
  decodes: number;
  swapOutBlocks: number;
  swapInBlocks: number;
  computeMs: number;
  totalMs: number;
}

/** Everything since the last batch. */
export interface NativeBatch {
  tokens: Int32Array;
  /** One per token: the natural logarithm of its probability; 0 where not asked for. */
  logprobs: Float32Array;
  /** In order per sequence; neighbouring tokens of one sequence are merged. */
  events: (NativeSequenceEvent | NativeEngineEvent)[];
  /** The newest steps, at most 64. */
  steps: StepRecord[];
}

/** Facts about a loaded engine. */
export interface NativeInfo {
  device: string;
  isa: string;
  threads: number;
  contextTokens: number;
  blockTokens: number;
  blockGroups: number;
  deviceBlocks: number;
  hostBlocks: number;
  bytesPerToken: number;
  weightBytes: number;
  saturationTokens: number;
}

export interface NativeOptions {
  device: string;
  deterministic: boolean;
  kvBytes: number;
  /** Instead of `kvBytes` what the weights leave, where the device has memory of its own. */
  kvFillsDevice: boolean;
  kvDtype: string;
  /** What matrices of floats become at load: a tensor type, or "none". */
  quantize: string;
  blockTokens: number;
  hostBytes: number;
  policy: string;
  slo: { ttft: number; throughput: number };
  /** 0: as many as the machine has cores. */
  threads: number;
  pinThreads: boolean;
  contextTokens: number;
  stepTokens: number;
  /** 0: measured. */
  saturationTokens: number;
  prefixCache: boolean;
  sequencesMax: number;
  vocabulary: NativeVocabulary;
  durations: NativeDurations[];
}

/** What was learnt about interceptions of one kind; 0: all of them. Rows of equal number. */
export interface NativeDurations {
  kind: number;
  seconds: Float64Array;
  weights: Float64Array;
}

/** The bytes of every token, for incremental detokenization. */
export interface NativeVocabulary {
  /** All tokens, concatenated. */
  bytes: Uint8Array;
  /** [tokens + 1]: where each token begins. */
  offsets: Uint32Array;
}

/** One native engine: its thread starts with the constructor and loads the model. */
export interface NativeEngine {
  /** All of them, or none; they take effect at the same step boundary, in order. */
  post(...commands: NativeCommand[]): void;
  stats(): NativeStats;
  /** The engine's state, or what it learnt about durations. Answered by a `dump` event with this id. */
  dump(id: number, subject: 'state' | 'durations'): void;
  /** Ends the thread; answered by `stopped`. Idempotent. */
  stop(): void;
  /** Joins the ended thread and frees everything. After `stopped`. */
  close(): void;
  /** Whether the engine keeps the process alive. At first it does. */
  setReferenced(referenced: boolean): void;
}

export interface NativeSystemInfo {
  /** Instruction sets that this machine has, best first. */
  isas: string[];
  /** Hardware threads. */
  threads: number;
}

/** Columns with one row per session: milliseconds from its arrival, -1 for what did not happen. */
export interface NativeSimulationReport {
  arrivalMs: Float64Array;
  firstTokenMs: Float64Array;
  finishedMs: Float64Array;
  interceptedMs: Float64Array;
  outputTokens: Uint32Array;
  returnedTokens: Uint32Array;
  stats: NativeStats;
  virtualMs: number;
  steps: number;
}

export interface NativeSimulation {
  promise: Promise<NativeSimulationReport>;
  cancel(): void;
}

/** Seconds; copies by blocks. */
export interface NativeCostProfile {
  step: number;
  perQueryToken: number;
  perKvToken: number;
  queryTile: number;
  copyOutStart: number;
  copyInStart: number;
  copyOutBlock: number;
  copyInBlock: number;
}

export interface NativePolicyOptions {
  policy: string;
  blockTokens: number;
  /** 0: attention looks back to the beginning. */
  windowTokens: number;
  bytesPerToken: number;
  /** 0: from the profile. */
  saturationTokens: number;
  profile: NativeCostProfile;
  durations: NativeDurations[];
}

/** Contexts to decide about, as columns of equal length: the numbers of their kinds, their sizes, and seconds. */
export interface NativePaused {
  families: Uint32Array;
  kinds: Uint32Array;
  shapes: Uint32Array;
  tokens: Uint32Array;
  deviceBlocks: Uint32Array;
  backedBlocks: Uint32Array;
  hostBlocks: Uint32Array;
  elapsedSeconds: Float64Array;
  /** 0: not known. */
  expectedSeconds: Float64Array;
}

export interface NativeLoad {
  runningTokens: number;
  /** On the device, of paused contexts that are not asked about. */
  otherPausedTokens: number;
  /** That active sequences have yet to compute. */
  queryTokens: number;
  shortageBlocks: number;
  aheadBlocks: number;
  returningBlocks: number;
  hostBlocksFree: number;
  /** Default: what the link copies while the step computes. */
  swapOutBlocks?: number;
}

/** Columns with one row per decision, in their order. */
export interface NativeDecisions {
  /** Places among those that were asked about. */
  contexts: Uint32Array;
  /** 0: preserve, 1: swap, 2: discard. */
  dispositions: Uint8Array;
  blocks: Uint32Array;
  ahead: Uint32Array;
  /** Byte-seconds. */
  preserve: Float64Array;
  swap: Float64Array;
  discard: Float64Array;
  residualSeconds: Float64Array;
}

/** What the scheduler asks, without sequences and blocks. The twin of `addon/binding/native_policy`. */
export interface NativePolicy {
  observeStep(step: { queryTokens: number; kvTokens: number; seconds: number }): void;
  observeCopy(copy: { direction: 'out' | 'in'; blocks: number; seconds: number }): void;
  observeInterception(interception: NativeKind & { seconds: number }): void;
  decide(paused: NativePaused, load: NativeLoad): NativeDecisions;
  /** One row per context, none of them moved. */
  weigh(paused: NativePaused, load: NativeLoad): NativeDecisions;
  /** How long an interception that has lasted `seconds` goes on. */
  residual(interception: NativeKind & { seconds: number }): number;
  stepSeconds(step: { queryTokens: number; kvTokens: number }): number;
  copySeconds(copy: { direction: 'out' | 'in'; blocks: number }): number;
  copyBlocksWithin(copy: { direction: 'out' | 'in'; seconds: number }): number;
  kvReads(slice: { first: number; count: number }): number;
  costs(): NativeCostProfile & { saturationTokens: number; relativeError: number };
  /** JSON: what was learnt about durations, by kinds' numbers. */
  durations(): string;
}

export interface NativeBinding {
  NativeEngine: new (spec: ModelSpec, options: NativeOptions, onBatch: (batch: NativeBatch) => void) => NativeEngine;
  NativePolicy: new (options: NativePolicyOptions) => NativePolicy;
  /** Workload and options as `lib/simulate.ts` writes them. Throws at once for values out of range. */
  simulate(workload: object, options: object): NativeSimulation;
  systemInfo(): NativeSystemInfo;
}
