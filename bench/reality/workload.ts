// What arrives in both worlds: sessions of the paper's six kinds, smaller and faster so that a processor serves some per
// second. Drawn once from a seed: sizes, times of arrival, and how long each tool takes.
import type { SimulatedSession } from 'infercept';
import { exponential, lognormal, seededRandom } from '../../lib/random.js';

/** One session: so many tokens before each call of its tool, and an answer at the end. */
export interface ToolSession {
  arrivalMs: number;
  /** The tool's: both schedulers learn durations by it. */
  kind: string;
  promptTokens: number;
  /** Tokens that the model writes before each call. */
  callTokens: number;
  calls: { durationMs: number; returnedTokens: number }[];
  /** Fewer than `callTokens`, so that no further call begins. */
  answerTokens: number;
}

export interface WorkloadSize {
  /** Sessions per second, Poisson. */
  rate: number;
  /** For how long they arrive; everything is measured at its end. */
  seconds: number;
}

interface Kind {
  name: string;
  durationMs: number;
  calls: number;
  promptTokens: number;
  callTokens: number;
  returnedTokens: number;
}

/**
 * Means of the paper's Table 1 (its seconds and calls) and of our simulation's mix (its tokens), scaled: tokens by an eighth, so
 * that a prompt is a few steps' work, times by a tenth, as a step is, calls by a third, so that sessions end within a run.
 */
const kinds: readonly Kind[] = [
  { name: 'math', durationMs: 1, calls: 1.25, promptTokens: 153, callTokens: 3, returnedTokens: 11 },
  { name: 'question', durationMs: 69, calls: 1, promptTokens: 200, callTokens: 4, returnedTokens: 20 },
  { name: 'environment', durationMs: 9, calls: 9, promptTokens: 219, callTokens: 2, returnedTokens: 2 },
  { name: 'chat', durationMs: 2860, calls: 1.5, promptTokens: 21, callTokens: 8, returnedTokens: 25 },
  { name: 'image', durationMs: 2000, calls: 2.3, promptTokens: 94, callTokens: 8, returnedTokens: 10 },
  { name: 'speech', durationMs: 1720, calls: 2.3, promptTokens: 94, callTokens: 8, returnedTokens: 10 },
];

/** Of all numbers, around their means: what the mix has for tokens and the table for the slow tools. */
const spread = 0.4;

/** In order of arrival. */
export function makeSessions({ rate, seconds }: WorkloadSize, seed: number): ToolSession[] {
  const random = seededRandom(seed);
  const sessions: ToolSession[] = [];
  for (let at = exponential(random) / rate; at < seconds; at += exponential(random) / rate) {
    sessions.push(makeSession(random, 1000 * at));
  }
  return sessions;
}

function makeSession(random: () => number, arrivalMs: number): ToolSession {
  const kind = kinds[Math.floor(random() * kinds.length)]!;
  const around = (mean: number): number => lognormal(random, { median: mean, spread });
  const count = (mean: number, least: number): number => Math.max(least, Math.round(around(mean)));
  const callTokens = count(kind.callTokens, 2);
  return {
    arrivalMs,
    kind: `tool:${kind.name}`,
    promptTokens: count(kind.promptTokens, 8),
    callTokens,
    calls: Array.from({ length: count(kind.calls, 1) }, () => ({
      durationMs: around(kind.durationMs),
      returnedTokens: count(kind.returnedTokens, 1),
    })),
    answerTokens: callTokens - 1,
  };
}

/** Tokens that the model writes. */
export function writtenTokens({ callTokens, calls, answerTokens }: ToolSession): number {
  return callTokens * calls.length + answerTokens;
}

/** Tokens of a session's context at its end. */
export function contextTokens(session: ToolSession): number {
  const returned = session.calls.reduce((sum, call) => sum + call.returnedTokens, 0);
  return session.promptTokens + returned + writtenTokens(session);
}

/** The same session for the simulator. */
export function toSimulated({ calls, kind, callTokens, answerTokens, ...session }: ToolSession): SimulatedSession {
  const segments = calls.map((call) => ({ decodeTokens: callTokens, kind, ...call }));
  return { ...session, segments: [...segments, { decodeTokens: answerTokens }] };
}
