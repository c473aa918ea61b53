// The pure parts of benchmarks: statistics, limits, the agents' workload, saved results.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { contextTokens, fullSize, makeAgents, quickSize, writtenTokens } from '../../bench/agents/workload.js';
import { casesOf } from '../../bench/peer/cases.js';
import { contextTokensMax, sampleTokens } from '../../bench/peer/contestant.js';
import { decodeLimit, prefillLimit } from '../../bench/peer/limits.js';
import { parameters, toModelWeights } from '../../bench/support/model-files.js';
import { newestResult } from '../../bench/support/results.js';
import { median, round } from '../../bench/support/statistics.js';
import { seededRandom } from '../../lib/random.js';

describe('statistics', () => {
  it('find the median without changing the values', () => {
    const values = [3, 10, 1];
    expect(median(values)).toBe(3);
    expect(values).toEqual([3, 10, 1]);
    expect(median([4, 1, 2, 100])).toBe(3);
    expect(median([])).toBeNaN();
  });

  it('round to three digits', () => expect(round(1.23456)).toBe(1.235));

  it('repeat random numbers of a seed, from 0 to 1', () => {
    const [one, two] = [seededRandom(7), seededRandom(7)];
    const numbers = Array.from({ length: 1000 }, one);
    expect(Array.from({ length: 1000 }, two)).toEqual(numbers);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(Math.abs(numbers.reduce((sum, number) => sum + number) / 1000 - 0.5)).toBeLessThan(0.05);
  });
});

describe('limits', () => {
  const limits = { isa: 'x', readGigabytesPerSecond: 46, int8Gops: 1820, bf16Gflops: 982, float32Gflops: 520 };

  it('count the parameters of a 1.1 B Llama', () => {
    expect(parameters.all).toBeGreaterThan(1.09e9);
    expect(parameters.all).toBeLessThan(1.11e9);
  });

  it('are reading for one context and arithmetic for many', () => {
    const used = parameters.layers + parameters.output;
    const bytes = (used * 34) / 32;
    expect(decodeLimit('q8_0', 1, bytes, limits)).toBeCloseTo(46e9 / bytes, 3);
    expect(decodeLimit('q8_0', 8, bytes, limits)).toBeCloseTo((8 * 46e9) / bytes, 3);
    expect(decodeLimit('q8_0', 64, bytes, limits)).toBeCloseTo(1820e9 / (2 * used), 3);
    expect(prefillLimit('bf16', limits)).toBeCloseTo(982e9 / (2 * parameters.layers), 3);
  });
});

describe('types of weights', () => {
  it('are those of GGUF files, and mixed ones', () => {
    expect(['q4_0', 'iq4_xs', 'bf16', 'q4_k_m'].map(toModelWeights)).toHaveLength(4);
    expect(() => toModelWeights('q4k')).toThrow(/no weights of type 'q4k'; there are f32, .*q4_k_m/);
  });
});

describe('cases', () => {
  it.each([true, false])('fit into the contexts (quick: %s)', (quick) => {
    for (const { promptTokens, decodes } of casesOf({ quick }, true).contexts) {
      // One more sample warms up, and one is part of the beginning.
      const samples = decodes.map((item) => item.samples + 1).reduce((sum, count) => sum + count, 1);
      const room = promptTokens > 256 ? contextTokensMax : 512;
      expect(promptTokens + samples * sampleTokens).toBeLessThan(room);
    }
  });
});

describe('agents', () => {
  it('share the system prompt and nothing after it', () => {
    const agents = makeAgents(fullSize, 1);
    const systems = new Set(agents.map(({ prompt }) => prompt.slice(0, fullSize.systemTokens).join()));
    expect(systems.size).toBe(1);
    expect(new Set(agents.map(({ prompt }) => prompt.join())).size).toBe(16);
  });

  it('are the same for the same seed', () => {
    expect(makeAgents(quickSize, 3)).toEqual(makeAgents(quickSize, 3));
    expect(makeAgents(quickSize, 3)).not.toEqual(makeAgents(quickSize, 4));
  });

  it('begin no call in their answer', () => {
    for (const agent of makeAgents(fullSize, 1)) {
      expect(agent.answerTokens).toBeLessThan(agent.callTokens);
      expect(agent.calls).toHaveLength(4);
      expect(contextTokens(agent) - writtenTokens(agent)).toBe(1000 + 40 + 4 * 30);
    }
  });
});

describe('results', () => {
  it('are found by name, the newest first', () => {
    const folder = mkdtempSync(join(tmpdir(), 'infercept-results-'));
    try {
      for (const name of ['2024-09-01-peer', '2024-11-30-peer', '2024-12-01-agents', '2025-01-01-other-peer']) {
        writeFileSync(join(folder, `${name}.json`), JSON.stringify({ name }));
      }
      expect(newestResult('peer', folder)).toEqual({ name: '2024-11-30-peer' });
      expect(newestResult('kernels', folder)).toBeUndefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(newestResult('peer', folder)).toBeUndefined();
  });
});
