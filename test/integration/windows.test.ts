// Goal: where every layer has a window, a context takes the memory of the window and no more, and nobody can tell. Method: a
// tiny Mistral with a window of 64 tokens; 32,000 tokens in a pool for 592, and shorter contexts that are swapped and
// discarded, against the same in pools that hold everything, bit for bit.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Engine, type LoadOptions, type RunResult } from '../../lib/index.js';
import { fixtureJson } from '../unit/support/fixtures.js';
import { type Checkpoint, writeCheckpoint } from './support/checkpoints.js';
import { settledStats, wait } from './support/engines.js';

const { variants } = fixtureJson('architectures/goldens.json') as { variants: Record<string, Checkpoint> };
const checkpoint = variants['mistral-window']!;
const windowTokens = 64;
const contextTokens = 32_768;
const vocabulary = 64;
/** Of 2 layers with 2 heads of 8 values, in F16. */
const tokenBytes = 2 * 2 * 2 * 8 * 2;

const directory = mkdtempSync(join(tmpdir(), 'infercept-windows-'));
writeCheckpoint(join(directory, 'model'), {
  ...checkpoint,
  config: { ...checkpoint.config, sliding_window: windowTokens, max_position_embeddings: contextTokens },
});
afterAll(() => rmSync(directory, { recursive: true }));

/** An engine whose pool holds so many tokens, in blocks of 16. */
async function withPool<Result>(
  tokens: number,
  { kvCache, ...options }: LoadOptions,
  body: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const engine = await Engine.load(join(directory, 'model'), {
    threads: 1,
    contextTokens,
    kvCache: { ...kvCache, bytes: tokens * tokenBytes, dtype: 'f16', blockTokens: 16 },
    swap: { hostBytes: 0 },
    ...options,
  });
  try {
    expect(engine.capacity()).toMatchObject({ kvTokens: tokens, contextTokens });
    return await body(engine);
  } finally {
    await engine.dispose();
  }
}

/** Never the same twice in a row, so that every position has something of its own to say. */
const tokensOf = (count: number, seed: number): number[] =>
  Array.from(
    { length: count },
    (_, index) => Math.floor((index * 0.618 + seed * 0.37 + Math.sin(index + seed)) * 64) & 63,
  );

const decoding = { maxTokens: 12, sampling: { logprobs: 5 } };
const bits = ({ tokens, logprobs }: RunResult) => ({ tokens, logprobs });

it('32,000 tokens run in a pool of a window and a chunk', async () => {
  const tokens = tokensOf(32_000, 1);
  expect(new Set(tokens).size).toBe(vocabulary);
  const whole = await withPool(40_000, { stepTokens: 300 }, async (engine) => engine.generate({ tokens, ...decoding }));
  await withPool(592, { stepTokens: 512 }, async (engine) => {
    expect(bits(await engine.generate({ tokens, ...decoding }))).toEqual(bits(whole));
    const { device } = await settledStats(engine);
    expect(device.free + device.cached).toBe(37);
  });
  // A pool that a window does not fit into beside a block holds no longer contexts than itself.
  const small = Engine.load(join(directory, 'model'), {
    threads: 1,
    kvCache: { bytes: 5 * 16 * tokenBytes, dtype: 'f16', blockTokens: 16 },
    swap: { hostBytes: 0 },
  });
  await using engine = await small;
  expect(engine.capacity().contextTokens).toBe(80);
});

/** Four contexts that pause in the middle, all at once. */
async function intercepted(engine: Engine, expected: readonly RunResult[], tokens: number) {
  const runs = expected.map((whole, seed) =>
    engine.generate({
      tokens: tokensOf(tokens, seed),
      ...decoding,
      interceptors: [
        { kind: 'pause', trigger: { tokens: whole.tokens.slice(3, 6) }, onIntercept: () => wait(20).then(() => []) },
      ],
    }),
  );
  for (const [seed, run] of runs.entries()) expect(bits(await run)).toEqual(bits(expected[seed]!));
  return settledStats(engine);
}

it('a context is preserved, swapped and discarded by its window, and goes on alike', async () => {
  const tokens = 2000;
  const whole = await withPool(20_000, {}, (engine) =>
    Promise.all([0, 1, 2, 3].map((seed) => engine.generate({ tokens: tokensOf(tokens, seed), ...decoding }))),
  );
  const pool = { stepTokens: 128, kvCache: { prefixCache: false } };
  // Window and chunk of one, and the windows of the others.
  const preserved = await withPool(512, { ...pool, policy: 'preserve' }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(preserved.interceptions).toMatchObject({ total: 4, preserved: 4 });
  expect(preserved.tokens.recomputed).toBe(0);

  const hostBytes = 512 * tokenBytes;
  const swapped = await withPool(512, { ...pool, policy: 'swap', swap: { hostBytes } }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(swapped.interceptions.swapped).toBe(4);
  // Of 126 blocks each.
  expect(swapped.swappedBlocks.out).toBeLessThanOrEqual(4 * 6);
  expect(swapped.tokens.recomputed).toBe(0);

  // All of a context is computed again, though no more than its window was given up.
  const discarded = await withPool(512, { ...pool, policy: 'discard' }, (engine) => intercepted(engine, whole, tokens));
  expect(discarded.interceptions.discarded).toBe(4);
  expect(discarded.discardedBlocks).toBeLessThanOrEqual(4 * 6);
  expect(discarded.tokens.recomputed).toBeGreaterThanOrEqual(4 * tokens);
  // What was given up and not taken is found again, though the pool holds half of what was before it.
  const found = await withPool(1024, { stepTokens: 128, policy: 'discard' }, (engine) =>
    intercepted(engine, whole.slice(0, 1), tokens),
  );
  expect(found.interceptions.total).toBe(1);
  expect(found.tokens.recomputed).toBeLessThanOrEqual(16);
});
