// The pure parts of the policies benchmark: the search for sustained loads, tables and ratios.
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { casesOf } from '../../bench/policies/cases.js';
import type { CaseFigures, Point, PolicyFigures } from '../../bench/policies/measure.js';
import { ratiosOf } from '../../bench/policies/ratios.js';
import { makeCurve, sustainedRate } from '../../bench/policies/search.js';
import { formatTable } from '../../bench/policies/tables.js';
import { UsageError } from '../../bench/support/options.js';

const search = { guess: 1, lowest: 0.01, tolerance: 0.02 };

/** A curve that crosses the bound at `limit`, and the rates that were asked. */
function curveTo(limit: number) {
  const asked: number[] = [];
  const curve = makeCurve(async (rate) => {
    asked.push(rate);
    return rate / limit;
  });
  return { curve, asked };
}

const holds = (point: number): boolean => point <= 1;

const flags = { quick: true, json: false, save: false, threads: 1, workloads: ['mix'] };

describe('casesOf', () => {
  it('takes a profile that was measured and saved, by its path', () => {
    const saved = fileURLToPath(new URL('../fixtures/saved-profile.json', import.meta.url));
    const [named, read] = casesOf({ ...flags, profiles: ['h200-llama3-8b', saved] });
    expect(named!.profile.name).toBe('llama3-8b on h200');
    expect(read).toMatchObject({
      profileName: saved,
      profile: { name: 'tiny q8_0 on cpu, avx512bf16', deviceTokens: 2048, copyIn: { copyStart: 2e-5 } },
    });
  });

  it('says which profiles there are', () => {
    expect(() => casesOf({ ...flags, profiles: ['a1000'] })).toThrow(UsageError);
    expect(() => casesOf({ ...flags, profiles: ['toString'] })).toThrow(/a100-gpt-j-6b/);
  });
});

describe('sustainedRate', () => {
  it.each([0.011, 0.3, 1, 1.01, 7, 400])('finds a limit of %d within its tolerance', async (limit) => {
    const { curve } = curveTo(limit);
    const found = await sustainedRate(curve, holds, search);
    expect(found).toBeLessThanOrEqual(limit);
    expect(found).toBeGreaterThan(limit / 1.021);
  });

  it('answers from what it knows when it is asked for another bound', async () => {
    const { curve, asked } = curveTo(3);
    await sustainedRate(curve, holds, search);
    const before = asked.length;
    await sustainedRate(curve, holds, search);
    expect(asked).toHaveLength(before);
    const half = await sustainedRate(curve, (point) => point <= 0.5, search);
    expect(half).toBeGreaterThan(1.5 / 1.021);
    expect(half).toBeLessThanOrEqual(1.5);
    expect(new Set(asked).size).toBe(asked.length);
  });

  it('is 0 where nothing holds', async () => {
    expect(await sustainedRate(curveTo(0.001).curve, holds, search)).toBe(0);
  });

  it('takes the first crossing of a curve that is not monotone', async () => {
    const curve = makeCurve(async (rate) => (rate > 2 && rate < 3 ? 2 : rate / 10));
    await curve.at(2.5);
    expect(await sustainedRate(curve, holds, { ...search, guess: 5 })).toBeLessThanOrEqual(2);
  });
});

describe('tables', () => {
  it('align', () => {
    expect(
      formatTable(
        ['a', 'b'],
        [
          ['long', '1'],
          ['x', '22'],
        ],
      ),
    ).toEqual(['a      b', 'long   1', 'x     22']);
  });
});

describe('ratios', () => {
  const waste = { preservedIdle: 0, recompute: 0, stall: 0, swapWait: 0, total: 0, paper: 0 };
  const point: Point = {
    rate: 1,
    latencyMs: 1,
    latencyMeanMs: 1,
    firstTokenP50Ms: 1,
    firstTokenP99Ms: 1,
    completedPerSecond: 1,
    waste,
  };
  const figures = (fixedBound: number, share: number, firstTokenP99Ms: number): PolicyFigures => ({
    unloadedMs: 1,
    sustained: { twiceUnloaded: 1, fixedBound },
    common: { ...point, firstTokenP99Ms, waste: { ...waste, total: share } },
    saturated: point,
    curve: [],
  });
  const mix: CaseFigures = {
    boundMs: 12,
    policies: {
      adaptive: figures(4, 0.01, 200),
      infercept: figures(2, 0.04, 100),
      preserve: figures(0.5, 0, 400),
      swap: figures(0.5, 0, 400),
      discard: figures(1, 0.2, 400),
      'discard-requeue': figures(0.8, 0.2, 400),
    },
  };

  it('are of sustained loads, waste and first tokens', () => {
    expect(ratiosOf({ mix, agents: mix, oracle: 4.2, all: [mix] })).toEqual({
      infercept_over_discard_requeue: 2.5,
      infercept_over_discard: 2,
      adaptive_over_infercept: 2,
      adaptive_over_discard: 4,
      adaptive_over_discard_on_agent_traces: 4,
      estimator_over_oracle: 0.938,
      adaptive_waste_over_infercept: 0.25,
      adaptive_first_token_over_best: 2,
      adaptive_over_best_worst_case: 2,
    });
  });

  it('leave out what was not measured', () => {
    expect(ratiosOf({ mix: undefined, agents: undefined, oracle: undefined, all: [mix] })).toEqual({
      adaptive_over_best_worst_case: 2,
    });
  });
});
