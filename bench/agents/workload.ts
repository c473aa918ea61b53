// What the agents do: the same for every contestant, drawn from a seed.
import { seededRandom } from '../../lib/random.js';

export interface ToolCall {
  /** How long the tool takes. */
  delayMs: number;
  /** What it returns. */
  result: number[];
}

/** One agent: system prompt and task, then so many tokens before each call, and an answer at the end. */
export interface Agent {
  prompt: number[];
  /** Tokens that the model writes before each tool call. */
  callTokens: number;
  calls: ToolCall[];
  /** Tokens of its answer: fewer than `callTokens`, so that no further call begins. */
  answerTokens: number;
}

export interface WorkloadSize {
  agents: number;
  systemTokens: number;
  taskTokens: number;
  calls: number;
  resultTokens: number;
}

export const fullSize: WorkloadSize = { agents: 16, systemTokens: 1000, taskTokens: 40, calls: 4, resultTokens: 30 };

/** The same shape, small enough for a minute. */
export const quickSize: WorkloadSize = { agents: 16, systemTokens: 250, taskTokens: 20, calls: 2, resultTokens: 15 };

/** Shortest and longest time of a tool. */
const delayMs = { least: 50, most: 500 };

/** Fewest and most tokens before a call: a short thought and the call itself. */
const callTokens = { least: 24, most: 48 };

const answerTokens = 20;

export function makeAgents(size: WorkloadSize, seed: number): Agent[] {
  const random = seededRandom(seed);
  const between = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1));
  const tokens = (count: number): number[] => Array.from({ length: count }, () => between(400, 30_000));
  const system = tokens(size.systemTokens);
  return Array.from({ length: size.agents }, () => ({
    prompt: [...system, ...tokens(size.taskTokens)],
    callTokens: between(callTokens.least, callTokens.most),
    calls: Array.from({ length: size.calls }, () => ({
      delayMs: between(delayMs.least, delayMs.most),
      result: tokens(size.resultTokens),
    })),
    answerTokens,
  }));
}

/** Tokens of an agent's context at its end. */
export function contextTokens({ prompt, callTokens, calls, answerTokens }: Agent): number {
  const rounds = calls.map(({ result }) => callTokens + result.length);
  return prompt.length + rounds.reduce((sum, round) => sum + round, 0) + answerTokens;
}

/** Tokens that the model writes for an agent. */
export function writtenTokens({ callTokens, calls, answerTokens }: Agent): number {
  return callTokens * calls.length + answerTokens;
}
