// Interceptions are invisible: whatever the policy did to a paused context, and however small the pools are, the tokens are
// those of a run that was never interrupted. The plain run on an ample pool is the oracle.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, PolicyName } from '../../lib/index.js';
import { endless, freeBlocks, loadDemo, random, settledStats, wait, withEngine } from './support/engines.js';

const policies: PolicyName[] = ['adaptive', 'infercept', 'preserve', 'swap', 'discard', 'discard-requeue'];
const pools = [
  { name: 'ample', blocks: 512, hostBlocks: 512 },
  { name: 'small', blocks: 40, hostBlocks: 40 },
  { name: 'barely enough', blocks: 16, hostBlocks: 6 },
  { name: 'no host tier', blocks: 24, hostBlocks: 0 },
];

interface Story {
  prompt: number[];
  maxTokens: number;
  seed: number;
}

/** Six runs that together want several times the smallest pool. */
function stories(): Story[] {
  const uniform = random(11);
  return Array.from({ length: 6 }, (_, index) => ({
    prompt: Array.from({ length: 20 + Math.floor(uniform() * 60) }, () => Math.floor(uniform() * 90)),
    maxTokens: 60 + Math.floor(uniform() * 40),
    seed: index,
  }));
}

let oracle: Engine;
let logitBias: Record<number, number>;
let expected: number[][];
const told = stories();

beforeAll(async () => {
  oracle = await loadDemo({ blocks: 512 });
  logitBias = await endless(oracle);
  const runs = told.map(({ prompt, maxTokens, seed }) =>
    oracle.generate({ tokens: prompt, maxTokens, sampling: { logitBias, temperature: 0.8, seed } }),
  );
  expected = (await Promise.all(runs)).map(({ tokens }) => tokens);
});
afterAll(() => oracle.dispose());

/** Tells a story with pauses at its own tokens and from code, for random times. */
async function tell(engine: Engine, { prompt, maxTokens, seed }: Story, tokens: number[]): Promise<number[]> {
  const uniform = random(seed + 100);
  const triggers = [5, 20, 41].map((index) => tokens.slice(index, index + 2));
  const run = engine.generate({
    tokens: prompt,
    maxTokens,
    sampling: { logitBias, temperature: 0.8, seed },
    interceptors: triggers.map((pair, index) => ({
      kind: `pause-${index}`,
      trigger: { tokens: pair },
      onIntercept: async () => {
        await wait(uniform() * 15);
        return [];
      },
    })),
  });
  void run
    .intercept({ kind: 'code' })
    .then(async (handle) => {
      await wait(uniform() * 10);
      await handle.resume();
    })
    .catch(() => {});
  return (await run).tokens;
}

describe.each(policies)('%s', (policy) => {
  it.each(pools)('on a pool that is $name', async ({ blocks, hostBlocks }) => {
    await withEngine({ policy, blocks, hostBlocks }, async (engine) => {
      const actual = await Promise.all(told.map((story, index) => tell(engine, story, expected[index]!)));
      expect(actual).toEqual(expected);
      const { free, all } = freeBlocks(await settledStats(engine));
      expect(free).toBe(all);
    });
  });
});

describe('returned tokens', () => {
  it('are computed like any others', async () => {
    const tokens = told[0]!.prompt;
    const sampling = { logitBias };
    const plain = await oracle.generate({ tokens, maxTokens: 12, sampling });
    const returned = [3, 14, 15, 9, 2, 6];
    let pauses = 0;
    const { tokens: all } = await oracle.generate({
      tokens,
      maxTokens: 40,
      sampling,
      interceptors: [
        { trigger: { tokens: plain.tokens.slice(10) }, onIntercept: () => (pauses++ === 0 ? returned : []) },
      ],
    });
    const end = all.findIndex((_, index) => returned.every((token, offset) => all[index + offset] === token)) + 6;
    expect(end).toBeGreaterThan(6);
    // From scratch, with what was returned as a part of the prompt.
    const context = [...tokens, ...all.slice(0, end)];
    const again = await oracle.generate({ tokens: context, maxTokens: all.length - end, sampling });
    expect(all.slice(end)).toEqual(again.tokens);
  });
});
