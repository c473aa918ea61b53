/** What a simulated world asks for: sessions with sizes and times, no contents. */
import { arrayOf, integer, oneOf, options, real, string } from './validate.js';

/** Kinds of augmentation in the InferCept paper (ICML 2024, Table 1). */
export type AugmentationName = 'math' | 'question' | 'environment' | 'chat' | 'image' | 'speech';
const augmentationNames = ['math', 'question', 'environment', 'chat', 'image', 'speech'] as const;

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
}

/** One session of a workload: sizes and times, no contents. */
export interface SimulatedSession {
  arrivalMs: number;
  promptTokens: number;
  /** Sessions with the same number share their first `prefixTokens` tokens. Default 0 of 0 tokens. */
  prefix?: number;
  prefixTokens?: number;
  /** Higher first. Default 0. */
  priority?: number;
  segments: SessionSegment[];
}

export type Workload = { mix: MixWorkload } | { sessions: SimulatedSession[] };

const checkMix = options({
  rate: real(1e-6, 1e6),
  seconds: real(1e-3, 1e9),
  seed: integer(0),
  only: oneOf(...augmentationNames),
  timeScale: real(0, 1e6),
  tokenScale: real(1e-6, 1e6),
});

const checkSessions = arrayOf(
  options({
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
      }),
    ),
  }),
);

/** A workload as the native side reads it; throws for values out of range. */
export function nativeWorkload(workload: Workload, contextTokens: number): object {
  if ('mix' in workload) {
    const mix = checkMix(workload.mix, 'mix');
    return {
      mix: {
        rate: mix.rate,
        seconds: mix.seconds,
        seed: BigInt(mix.seed ?? 1),
        contextTokens,
        only: mix.only === undefined ? -1 : augmentationNames.indexOf(mix.only),
        timeScale: mix.timeScale ?? 1,
        tokenScale: mix.tokenScale ?? 1,
      },
    };
  }
  const kinds = new Map<string, number>([['unknown', 0]]);
  const kindOf = (name: string) => {
    if (!kinds.has(name)) kinds.set(name, kinds.size);
    return kinds.get(name)!;
  };
  return {
    sessions: checkSessions(workload.sessions, 'sessions').map(({ segments, ...session }) => ({
      ...{ arrivalMs: 0, promptTokens: 1, prefix: 0, prefixTokens: 0, priority: 0 },
      ...session,
      segments: (segments ?? []).map(({ kind = 'unknown', ...segment }) => ({
        ...{ decodeTokens: 1, durationMs: 0, returnedTokens: 0 },
        ...segment,
        kind: kindOf(kind),
      })),
    })),
  };
}
