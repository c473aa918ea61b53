// The pure parts of the benchmark `reality`: its sessions, and how two worlds are compared.
import { describe, expect, it } from 'vitest';
import {
  type Comparison,
  compare,
  type Outcome,
  rankCorrelation,
  swappedPairs,
  worstDeviation,
} from '../../bench/reality/outcome.js';
import { contextTokens, makeSessions, toSimulated, writtenTokens } from '../../bench/reality/workload.js';

describe('sessions', () => {
  const sessions = makeSessions({ rate: 20, seconds: 100 }, 3);

  it('are repeated by their seed, and arrive at the rate', () => {
    expect(makeSessions({ rate: 20, seconds: 100 }, 3)).toEqual(sessions);
    expect(makeSessions({ rate: 20, seconds: 100 }, 4)).not.toEqual(sessions);
    expect(Math.abs(sessions.length / 2000 - 1)).toBeLessThan(0.1);
    const arrivals = sessions.map(({ arrivalMs }) => arrivalMs);
    expect(arrivals).toEqual([...arrivals].sort((one, other) => one - other));
    expect(arrivals.at(-1)).toBeLessThan(100_000);
  });

  it('have six kinds with durations of their own', () => {
    expect(new Set(sessions.map(({ kind }) => kind)).size).toBe(6);
    const mean = (wanted: string): number => {
      const some = sessions.filter(({ kind }) => kind === wanted);
      const durations = some.flatMap(({ calls }) => calls.map(({ durationMs }) => durationMs));
      return durations.reduce((sum, duration) => sum + duration) / durations.length;
    };
    expect(mean('tool:chat')).toBeGreaterThan(20 * mean('tool:question'));
    expect(mean('tool:question')).toBeGreaterThan(3 * mean('tool:environment'));
  });

  it('end with an answer that is no call', () => {
    for (const { answerTokens, callTokens } of sessions) {
      expect(answerTokens).toBeGreaterThan(0);
      expect(answerTokens).toBeLessThan(callTokens);
    }
  });

  it('are the same in the simulator', () => {
    for (const session of sessions) {
      const { promptTokens, arrivalMs, segments } = toSimulated(session);
      const sum = (values: (number | undefined)[]): number =>
        values.reduce<number>((total, value) => total + (value ?? 0), 0);
      const decoded = sum(segments.map(({ decodeTokens }) => decodeTokens));
      const returned = sum(segments.map(({ returnedTokens }) => returnedTokens));
      expect({ promptTokens, arrivalMs }).toEqual({ promptTokens: session.promptTokens, arrivalMs: session.arrivalMs });
      expect(decoded).toBe(writtenTokens(session));
      expect(promptTokens + decoded + returned).toBe(contextTokens(session));
      expect(segments.map(({ durationMs }) => durationMs)).toEqual([
        ...session.calls.map(({ durationMs }) => durationMs),
        undefined,
      ]);
    }
  });
});

describe('comparisons', () => {
  const outcome = (completed: number, latencyMs = 1): Outcome => ({
    completed,
    latencyMs,
    steps: 1,
    computedTokens: 1,
    recomputedTokens: 0,
    swappedBlocks: 0,
  });
  const pair = (real: number, simulated: number): Comparison =>
    compare([{ real: outcome(real), simulated: outcome(simulated), costError: 0 }]);

  it('add runs up and take the median of latencies', () => {
    const runs = [10, 12, 20].map((completed) => ({
      real: outcome(completed, completed),
      simulated: outcome(completed + 7, 3),
      costError: 0,
    }));
    const { real, simulated, ratio, latencyMs, last } = compare(runs);
    expect({ real, simulated, ratio }).toEqual({ real: 42, simulated: 63, ratio: 1.5 });
    expect(latencyMs).toEqual({ real: 12, simulated: 3 });
    expect(last).toEqual(runs[2]);
  });

  it('find the worst deviation on either side', () => {
    expect(worstDeviation([pair(100, 104), pair(100, 91)])).toBeCloseTo(0.09);
  });

  it('tell which policies change places, but not of equals', () => {
    const real = { a: pair(100, 90), b: pair(80, 100), c: pair(99, 110), d: pair(50, 50) };
    const swapped = swappedPairs(new Map(Object.entries(real)));
    expect(swapped).toEqual([['a', 'b']]);
  });

  it('rank', () => {
    expect(rankCorrelation([pair(1, 10), pair(2, 20), pair(3, 30)])).toBeCloseTo(1);
    expect(rankCorrelation([pair(1, 30), pair(2, 20), pair(3, 10)])).toBeCloseTo(-1);
    expect(rankCorrelation([pair(1, 10), pair(1, 10), pair(3, 30)])).toBeCloseTo(1);
    expect(rankCorrelation([pair(1, 20), pair(2, 10), pair(3, 30)])).toBeCloseTo(0.5);
  });
});
