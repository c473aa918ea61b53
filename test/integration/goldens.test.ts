// Goal: the engine computes what transformers computes. Method: logits and greedy tokens by transformers in float32 (made by
// test/fixtures/make_fixtures.py) against the engine's log probabilities, for every format, on every instruction set.
import { afterEach, describe, expect, it } from 'vitest';
import { Engine, systemInfo } from '../../lib/index.js';
import { fixture, fixtureJson } from '../unit/support/fixtures.js';

interface Golden {
  prompt: number[];
  /** Position -> logits of its successor. */
  logits: Record<string, number[]>;
  greedy: number[];
}

const goldens = Object.entries<Golden>(fixtureJson('models/logits.golden.json'));

/**
 * transformers and we add some hundred products of about 1 in float32, in different orders. Some kernels round inputs too:
 * to 8 bits per 32 values, about 0.6 % of a sum, fifteen sums in a row, logits up to 4, three sigma; to 8 bits per 256
 * values, a third more, as the largest of 256 is a third larger than that of 32; to BF16, 0.1 % of each product and so
 * most of the largest ones, half of the first.
 */
function tolerance(name: string, isa: string): number {
  if (name.startsWith('mixed')) return 0.4;
  if (name.includes('q8_0')) return 0.3;
  return name.includes('bf16') && isa.endsWith('bf16') ? 0.15 : 3e-4;
}
const isExact = (name: string, isa: string) => tolerance(name, isa) < 1e-3;

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
          expect(Math.abs(logprob - expected[token]!), `${position}, ${token}`).toBeLessThan(tolerance(name, isa));
        }
      }
      if (isExact(name, isa)) {
        expect((await engine.generate({ tokens: prompt, maxTokens: greedy.length })).tokens).toEqual(greedy);
      }
    } finally {
      await engine.dispose();
    }
  });
});
