/** What a policy is asked about and in which situation, and how it crosses to the native side: in columns, checked. */
import type { KindTable } from './kind-table.js';
import type { NativeKind } from './native-commands.js';
import type { NativeLoad, NativePaused } from './native-protocol.js';
import { anything, integer, invalid, real, required, string } from './validate.js';

/** What a context waits for. Durations are learnt for it, for its family, and for its arguments' shape. */
export interface InterceptionKind {
  /**
   * As `'tool:search'` or `'human'`. What stands before the colon is the family if it is human, tool, model or environment;
   * all else is a tool. Default: what was learnt of all interceptions counts.
   */
  kind?: string;
  /** Of the call's arguments, as `argumentShape()` says it: `'depth=3,query=text16'`. Default: none. It needs a `kind`. */
  shape?: string;
}

/** One context that waits. */
export interface PausedContext<Id = unknown> extends InterceptionKind {
  /** Comes back in decisions. */
  id: Id;
  /** Computed tokens, wherever they are. */
  tokens: number;
  /** Blocks on the device that nobody else needs: what giving the context up would free. */
  deviceBlocks: number;
  /** Of `deviceBlocks`, those with a copy on the host: they leave without one. Default 0. */
  backedBlocks?: number;
  /** Blocks on the host only: its last ones. Default 0. */
  hostBlocks?: number;
  /** Seconds since the interception began. */
  elapsedSeconds: number;
  /** Expected from now on, if somebody has said it. Default, and for 0 (it is overdue): what was learnt. */
  expectedSeconds?: number;
}

/** What goes on beside the paused contexts. */
export interface StepLoad {
  /**
   * Device blocks that runnable work wants beyond those that are free. `adaptive` gives up no more than this. Unless blocks
   * are copied ahead it is wise to count some in reserve, a sixteenth of the pool say, since copies take a step.
   */
  shortageBlocks: number;
  /**
   * How many more blocks should have a copy on the host while they stay, so that they can leave at once. `adaptive` says which
   * (`ahead`). Default 0: nothing is copied ahead.
   */
  aheadBlocks?: number;
  /** Blocks on the host of contexts that have memory and wait for the link: whoever is moved out comes back behind them. Default 0. */
  returningBlocks?: number;
  /** Context tokens of running sequences on the device: their memory is lost while somebody recomputes or copies. */
  runningTokens: number;
  /**
   * Query tokens that running sequences have yet to compute. They say how long the next step takes, and so what may be copied
   * beside it. Default 0: nobody computes, and copies may take as long as a saturated step.
   */
  queryTokens?: number;
  /** Free blocks in host memory. Default 0: there is no host tier, and nothing is swapped. */
  hostBlocksFree?: number;
  /**
   * Most blocks that may leave in this step. Default: as many as the link copies while the step computes; with the policy
   * `swap`, which waits for its copies, any number.
   */
  swapOutBlocks?: number;
  /** Device tokens of paused contexts that are not asked about. Default 0. */
  otherPausedTokens?: number;
}

/** Three decades. */
export const secondsMax = 1e9;
/** Of tokens and of blocks, as the native side counts them. */
const countMax = 2 ** 32 - 1;

const readLoad = required(
  {
    shortageBlocks: integer(0, countMax),
    aheadBlocks: integer(0, countMax),
    returningBlocks: integer(0, countMax),
    runningTokens: integer(0),
    queryTokens: integer(0),
    hostBlocksFree: integer(0, countMax),
    swapOutBlocks: integer(0, countMax),
    otherPausedTokens: integer(0),
  },
  'shortageBlocks',
  'runningTokens',
);

export function toNativeLoad(load: unknown, name: string): NativeLoad {
  const defaults = { queryTokens: 0, hostBlocksFree: 0, otherPausedTokens: 0, aheadBlocks: 0, returningBlocks: 0 };
  return { ...defaults, ...readLoad(load, name) };
}

const contextChecks = {
  id: anything(),
  kind: string,
  shape: string,
  tokens: integer(0, countMax),
  deviceBlocks: integer(0, countMax),
  backedBlocks: integer(0, countMax),
  hostBlocks: integer(0, countMax),
  elapsedSeconds: real(0, secondsMax),
  expectedSeconds: real(0, secondsMax),
};
const readContext = required(contextChecks, 'id', 'tokens', 'deviceBlocks', 'elapsedSeconds');
const contextKeys: ReadonlySet<string> = new Set(Object.keys(contextChecks));

const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= countMax;
const isDuration = (value: number | undefined): boolean =>
  typeof value === 'number' && value >= 0 && value <= secondsMax;
const isText = (value: string | undefined): boolean => value === undefined || typeof value === 'string';

/** Whether `readContext` would let it pass. It says so in a tenth of the time, but not what is wrong. */
function isRight(context: PausedContext): boolean {
  if (typeof context !== 'object' || context === null || context.id === undefined) return false;
  for (const key in context) if (!contextKeys.has(key)) return false;
  return (
    isText(context.kind) &&
    isText(context.shape) &&
    isCount(context.tokens) &&
    isCount(context.deviceBlocks) &&
    isCount(context.backedBlocks ?? 0) &&
    (context.backedBlocks ?? 0) <= context.deviceBlocks &&
    isCount(context.hostBlocks ?? 0) &&
    isDuration(context.elapsedSeconds) &&
    (context.expectedSeconds === undefined || isDuration(context.expectedSeconds))
  );
}

/** Says what is wrong with it. */
function refuse(context: unknown, name: string): void {
  const { backedBlocks = 0, deviceBlocks } = readContext(context, name);
  if (backedBlocks <= deviceBlocks) return;
  throw invalid(`${name}.backedBlocks`, backedBlocks, `at most its ${deviceBlocks} device blocks`);
}

/** The numbers of kinds, each looked up once. */
function finder(kinds: KindTable): (context: InterceptionKind) => NativeKind {
  const found = new Map<string | undefined, Map<string | undefined, NativeKind>>();
  return (interception) => {
    const { kind, shape } = interception;
    const shapes = found.get(kind) ?? new Map<string | undefined, NativeKind>();
    const known = shapes.get(shape) ?? findKind(kinds, interception);
    found.set(kind, shapes);
    shapes.set(shape, known);
    return known;
  };
}

/** 0 for what is not known. */
export function findKind(kinds: KindTable, { kind, shape }: InterceptionKind): NativeKind {
  return kind === undefined ? { family: 0, kind: 0, shape: 0 } : kinds.find(kind, shape);
}

export function toNativePaused(paused: unknown, name: string, kinds: KindTable): NativePaused {
  if (!Array.isArray(paused)) throw invalid(name, paused, 'an array');
  const count = paused.length;
  const columns = {
    families: new Uint32Array(count),
    kinds: new Uint32Array(count),
    shapes: new Uint32Array(count),
    tokens: new Uint32Array(count),
    deviceBlocks: new Uint32Array(count),
    backedBlocks: new Uint32Array(count),
    hostBlocks: new Uint32Array(count),
    elapsedSeconds: new Float64Array(count),
    expectedSeconds: new Float64Array(count),
  };
  const numbers = finder(kinds);
  for (let row = 0; row < count; row += 1) {
    const context: PausedContext = paused[row];
    if (!isRight(context)) refuse(context, `${name}[${row}]`);
    const { family, kind, shape } = numbers(context);
    columns.families[row] = family;
    columns.kinds[row] = kind;
    columns.shapes[row] = shape;
    columns.tokens[row] = context.tokens;
    columns.deviceBlocks[row] = context.deviceBlocks;
    columns.backedBlocks[row] = context.backedBlocks ?? 0;
    columns.hostBlocks[row] = context.hostBlocks ?? 0;
    columns.elapsedSeconds[row] = context.elapsedSeconds;
    columns.expectedSeconds[row] = context.expectedSeconds ?? 0;
  }
  return columns;
}
