// Goal: the engine computes what transformers computes. Method: logits and greedy tokens by transformers in float32 (made by
// test/fixtures/make_fixtures.py) against the engine's log probabilities, for every format, on every instruction set.
import { afterEach, describe, expect, it } from 'vitest';
import { Engine, systemInfo } from '../../lib/index.js';
import { runnableTypes, tensorTypes } from '../../lib/model-spec.js';
import { fixture, fixtureJson } from '../unit/support/fixtures.js';

interface Golden {
  prompt: number[];
  /** Position -> logits of its successor. */
  logits: Record<string, number[]>;
  greedy: number[];
}

/** Mixed files hold types of all kinds. */
const isRunnable = (name: string) =>
  !name.startsWith('mixed') || Object.keys(tensorTypes).every((type) => (runnableTypes as string[]).includes(type));
const goldens = Object.entries<Golden>(fixtureJson('models/logits.golden.json')).filter(([name]) => isRunnable(name));

/**
 * transformers and we add some hundred products of about 1 in float32, in different orders. Quantized kernels round
 * activations to 8 bits per 32 values too: about 0.6 % of a sum, fifteen sums in a row, logits up to 4, three sigma.
 */
const isExact = (name: string) => !/q8_0|mixed/.test(name);
const tolerance = (name: string) => (isExact(name) ? 3e-4 : 0.3);

function logSoftmax(logits: number[]): number[] {
  const peak = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - peak), 0);
  return logits.map((value) => value - peak - Math.log(sum));
}

afterEach(() => {
  delete process.env.INFERCEPT_ISA;
});

describe.each(goldens)('%s', (name, { prompt, logits, greedy }) => {
  it.each(systemInfo().isas)('on %s', async (isa) => {
    process.env.INFERCEPT_ISA = isa;
    const engine = await Engine.load(fixture(`models/${name}`), {
      threads: 2,
      kvCache: { bytes: '1MiB', dtype: 'f32' },
      swap: { hostBytes: 0 },
    });
    try {
      expect(engine.capacity().isa).toBe(isa);
      for (const [position, row] of Object.entries(logits)) {
        const tokens = prompt.slice(0, Number(position) + 1);
        const sampling = { logprobs: 20 };
        const { top } = (await engine.generate({ tokens, maxTokens: 1, sampling })).logprobs![0]!;
        const expected = logSoftmax(row);
        expect(top.length).toBe(20);
        for (const { token, logprob } of top) {
          expect(Math.abs(logprob - expected[token]!), `${position}, ${token}`).toBeLessThan(tolerance(name));
        }
      }
      if (isExact(name)) {
        expect((await engine.generate({ tokens: prompt, maxTokens: greedy.length })).tokens).toEqual(greedy);
      }
    } finally {
      await engine.dispose();
    }
  });
});
