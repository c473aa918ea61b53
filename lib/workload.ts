/** What a simulated world asks for: sessions with sizes and times, no contents. */
import { type AgentWorkload, agentSessions } from './agent-workload.js';
import type { InterceptionOutcome } from './explanation.js';
import type { InterceptionDecision } from './interception-record.js';
import { anything, arrayOf, integer, invalid, oneOf, options, real, string } from './validate.js';

/** Kinds of augmentation in the InferCept paper (ICML 2024, Table 1). */
export type AugmentationName = 'math' | 'question' | 'environment' | 'chat' | 'image' | 'speech';
export const augmentationNames = ['math', 'question', 'environment', 'chat', 'image', 'speech'] as const;

/** The paper's uniform mix of augmentations: sizes and times by its Table 1, Poisson arrivals. */
export interface MixWorkload {
  /** Sessions per second. */
  rate: number;
  /** For how many seconds sessions arrive. */
  seconds: number;
  /** Default 1. */
  seed?: number;
  /** One kind only. Default: all six alike. */
  only?: AugmentationName;
  /** Multiplies the durations of interceptions. Default 1. */
  timeScale?: number;
  /** Multiplies token counts. Default 1. */
  tokenScale?: number;
}

/** Decoding up to the next interception, and that interception; the last segment's is not reached. */
export interface SessionSegment {
  /** At least 1. */
  decodeTokens: number;
  /** What is called; the scheduler learns durations by it. Default `'unknown'`. */
  kind?: string;
  /** Hidden from the scheduler. Default 0. */
  durationMs?: number;
  /** Default 0. */
  returnedTokens?: number;
  /** In recorded traces: what an engine decided, and what it cost. A simulation decides for itself. */
  explained?: { decisions: InterceptionDecision[]; cost: Omit<InterceptionOutcome, 'waitedMs' | 'returnedTokens'> };
}

/** One session of a workload: sizes and times, no contents. */
export interface SimulatedSession {
  /** Since the workload began; for a sub-agent, since its call. */
  arrivalMs: number;
  promptTokens: number;
  /** Sessions with the same number share their first `prefixTokens` tokens. Default 0 of 0 tokens. */
  prefix?: number;
  prefixTokens?: number;
  /** Higher first. Default 0. */
  priority?: number;
  segments: SessionSegment[];
  /**
   * A sub-agent: it begins when that segment of that session (by its place in the list, before this one) pauses, which goes on
   * when its own duration is over and all its sub-agents have ended.
   */
  calledBy?: { session: number; segment: number };
}

export type Workload = { mix: MixWorkload } | { agents: AgentWorkload } | { sessions: SimulatedSession[] };

const checkMix = options({
  rate: real(1e-6, 1e6),
  seconds: real(1e-3, 1e9),
  seed: integer(0),
  only: oneOf(...augmentationNames),
  timeScale: real(0, 1e6),
  tokenScale: real(1e-6, 1e6),
});

/** Of one session by itself; {@link checkCalls} is about all of them. */
export const checkSession = options({
  arrivalMs: real(0, 1e12),
  promptTokens: integer(1, 2 ** 24),
  prefix: integer(0, 2 ** 31),
  prefixTokens: integer(0, 2 ** 24),
  priority: integer(-1000, 1000),
  segments: arrayOf(
    options({
      decodeTokens: integer(1, 2 ** 24),
      kind: string,
      durationMs: real(0, 1e12),
      returnedTokens: integer(0, 2 ** 24),
      explained: anything<SessionSegment['explained']>(),
    }),
  ),
  calledBy: options({ session: integer(0), segment: integer(0) }),
});

export type CheckedSession = ReturnType<typeof checkSession>;

/** Sub-agents stand behind who calls them, so there are no circles; and the call is one that happens. */
export function checkCalls(sessions: readonly CheckedSession[], name: string): void {
  for (const [index, { calledBy }] of sessions.entries()) {
    if (calledBy === undefined) continue;
    const { session = 0, segment = 0 } = calledBy;
    const calls = (sessions[session]?.segments?.length ?? 0) - 1;
    if (session < index && segment < calls) continue;
    const where = `${name}[${index}].calledBy`;
    throw invalid(where, calledBy, 'a session before this one and a segment of it that is not its last');
  }
}

/** A workload as the native side reads it. */
export interface NativeWorkload {
  native: object;
  /** The numbers of its kinds. */
  kinds: ReadonlyMap<string, number>;
  /** The longest context that a sequence may have. */
  contextTokens: number;
}

/** What GPT-J has, and the mix is cut to. */
const contextTokensUsual = 2048;

/**
 * Throws for values out of range.
 * @param contextTokens the longest context; by default what the longest session needs, but the mix is cut to GPT-J's 2,048
 */
export function toNativeWorkload(workload: Workload, contextTokens: number | undefined): NativeWorkload {
  if ('mix' in workload) return toNativeMix(workload.mix, contextTokens ?? contextTokensUsual);
  if ('agents' in workload) return toNativeSessions(agentSessions(workload.agents), contextTokens);
  const sessions = arrayOf(checkSession)(workload.sessions, 'sessions');
  checkCalls(sessions, 'sessions');
  return toNativeSessions(sessions, contextTokens);
}

/** One more than all tokens: a context that is full cannot be sampled from. */
function contextOf({ promptTokens = 0, segments = [] }: CheckedSession): number {
  return segments.reduce(
    (sum, { decodeTokens = 0, returnedTokens = 0 }) => sum + decodeTokens + returnedTokens,
    promptTokens + 1,
  );
}

function toNativeMix(options: MixWorkload, contextTokens: number): NativeWorkload {
  const mix = checkMix(options, 'mix');
  return {
    contextTokens,
    // 0 is the kind that nobody named.
    kinds: new Map(augmentationNames.map((name, index) => [name, index + 1])),
    native: {
      mix: {
        rate: mix.rate,
        seconds: mix.seconds,
        seed: BigInt(mix.seed ?? 1),
        contextTokens,
        only: mix.only === undefined ? -1 : augmentationNames.indexOf(mix.only),
        timeScale: mix.timeScale ?? 1,
        tokenScale: mix.tokenScale ?? 1,
      },
    },
  };
}

function toNativeSessions(sessions: readonly CheckedSession[], contextTokens: number | undefined): NativeWorkload {
  const kinds = new Map<string, number>([['unknown', 0]]);
  const kindOf = (name: string) => {
    if (!kinds.has(name)) kinds.set(name, kinds.size);
    return kinds.get(name)!;
  };
  const native = sessions.map(({ segments, calledBy, ...session }) => ({
    ...{ arrivalMs: 0, promptTokens: 1, prefix: 0, prefixTokens: 0, priority: 0 },
    ...session,
    parent: calledBy?.session ?? -1,
    parentSegment: calledBy?.segment ?? 0,
    segments: (segments ?? []).map(({ kind = 'unknown', explained: _, ...segment }) => ({
      ...{ decodeTokens: 1, durationMs: 0, returnedTokens: 0 },
      ...segment,
      kind: kindOf(kind),
    })),
  }));
  const longest = sessions.reduce((most, session) => Math.max(most, contextOf(session)), contextTokensUsual);
  return { native: { sessions: native }, kinds, contextTokens: contextTokens ?? longest };
}
