// Goal: layers with a window take the memory of the window and no more, and nobody can tell. Method: a tiny Mistral, all of
// whose layers have a window of 64 tokens; 32,000 tokens in a pool for 592, and shorter contexts that are swapped and
// discarded, against the same in pools that hold everything, bit for bit. A tiny Gemma 3 and a tiny gpt-oss, whose other
// layers see everything, likewise in pools for all tokens of these and a window of the others.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Engine, type LoadOptions, type RunResult } from '../../lib/index.js';
import { fixture, fixtureJson } from '../unit/support/fixtures.js';
import { type Checkpoint, writeCheckpoint, writeDirectory } from './support/checkpoints.js';
import { settledStats, wait } from './support/engines.js';

const { variants } = fixtureJson('architectures/goldens.json') as { variants: Record<string, Checkpoint> };
const windowTokens = 64;
const contextTokens = 32_768;
const vocabulary = 64;

const directory = mkdtempSync(join(tmpdir(), 'infercept-windows-'));
afterAll(() => rmSync(directory, { recursive: true }));

interface Model {
  path: string;
  /** Keys and values of a token in F16. */
  tokenBytes: number;
  /** Blocks that 16 tokens take. */
  groups: number;
}

const longWindowed = ({ config }: Checkpoint) => ({
  ...config,
  sliding_window: windowTokens,
  max_position_embeddings: contextTokens,
});

function writeModel(variant: string, tokenBytes: number, groups: number): Model {
  const checkpoint = variants[variant]!;
  const path = join(directory, variant);
  writeCheckpoint(path, { ...checkpoint, config: longWindowed(checkpoint) });
  return { path, tokenBytes, groups };
}

/** Its directories hold experts packed as MXFP4. Without YaRN, whose factor would bound contexts. */
function writeGptOss(tokenBytes: number, groups: number): Model {
  const variant = 'gpt-oss-mxfp4';
  const path = join(directory, variant);
  const plain = { rope_parameters: { rope_type: 'default', rope_theta: 10_000 } };
  writeDirectory(path, { config: { ...longWindowed(variants[variant]!), ...plain } });
  copyFileSync(fixture(`architectures/${variant}.safetensors`), join(path, 'model.safetensors'));
  return { path, tokenBytes, groups };
}

/** 2 layers with 2 heads of 8 values. */
const mistral = writeModel('mistral-window', 2 * 2 * 2 * 8 * 2, 1);
/** 1 of 6 layers sees everything, with 2 heads of 16 values. */
const gemma = writeModel('gemma3', 6 * 2 * 2 * 16 * 2, 6);
/** 1 of 2. */
const gptOss = writeGptOss(2 * 2 * 2 * 16 * 2, 2);

/** An engine whose pool holds so many tokens of all layers, in blocks of 16. */
async function withPool<Result>(
  { path, tokenBytes, groups }: Model,
  tokens: number,
  { kvCache, ...options }: LoadOptions,
  body: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const engine = await Engine.load(path, {
    threads: 1,
    contextTokens,
    kvCache: { ...kvCache, bytes: tokens * tokenBytes, dtype: 'f16', blockTokens: 16 },
    swap: { hostBytes: 0 },
    ...options,
  });
  try {
    expect(engine.capacity()).toMatchObject({ kvTokens: tokens, bytesPerToken: tokenBytes, blockGroups: groups });
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
  const whole = await withPool(mistral, 40_000, { stepTokens: 300 }, async (engine) =>
    engine.generate({ tokens, ...decoding }),
  );
  await withPool(mistral, 592, { stepTokens: 512 }, async (engine) => {
    expect(engine.capacity().contextTokens).toBe(contextTokens);
    expect(bits(await engine.generate({ tokens, ...decoding }))).toEqual(bits(whole));
    const { device } = await settledStats(engine);
    expect(device.free + device.cached).toBe(37);
  });
  // A pool that a window does not fit into beside a block holds no longer contexts than itself.
  const small = Engine.load(mistral.path, {
    threads: 1,
    kvCache: { bytes: 5 * 16 * mistral.tokenBytes, dtype: 'f16', blockTokens: 16 },
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
  const whole = await withPool(mistral, 20_000, {}, (engine) =>
    Promise.all([0, 1, 2, 3].map((seed) => engine.generate({ tokens: tokensOf(tokens, seed), ...decoding }))),
  );
  const pool = { stepTokens: 128, kvCache: { prefixCache: false } };
  // Window and chunk of one, and the windows of the others.
  const preserved = await withPool(mistral, 512, { ...pool, policy: 'preserve' }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(preserved.interceptions).toMatchObject({ total: 4, preserved: 4 });
  expect(preserved.tokens.recomputed).toBe(0);

  const hostBytes = 512 * mistral.tokenBytes;
  const swapped = await withPool(mistral, 512, { ...pool, policy: 'swap', swap: { hostBytes } }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(swapped.interceptions.swapped).toBe(4);
  // Of 126 blocks each.
  expect(swapped.swappedBlocks.out).toBeLessThanOrEqual(4 * 6);
  expect(swapped.tokens.recomputed).toBe(0);

  // All of a context is computed again, though no more than its window was given up.
  const discarded = await withPool(mistral, 512, { ...pool, policy: 'discard' }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(discarded.interceptions.discarded).toBe(4);
  expect(discarded.discardedBlocks).toBeLessThanOrEqual(4 * 6);
  expect(discarded.tokens.recomputed).toBeGreaterThanOrEqual(4 * tokens);
  // What was given up and not taken is found again, though the pool holds half of what was before it.
  const found = await withPool(mistral, 1024, { stepTokens: 128, policy: 'discard' }, (engine) =>
    intercepted(engine, whole.slice(0, 1), tokens),
  );
  expect(found.interceptions.total).toBe(1);
  expect(found.tokens.recomputed).toBeLessThanOrEqual(16);
});

const ofBothKinds = [
  ['Gemma 3', gemma],
  ['gpt-oss', gptOss],
] as const;

it.each(ofBothKinds)('%s keeps all tokens where a layer sees them, and a window elsewhere', async (_, model) => {
  const tokens = tokensOf(3200, 1);
  const whole = await withPool(model, 3312, {}, async (engine) => engine.generate({ tokens, ...decoding }));
  // A block for each 16 tokens of what sees all, and of each other group those of a window and a chunk, which is as long.
  const blocks = 201 + 9 * (model.groups - 1);
  const pool = (16 * blocks) / model.groups;
  await withPool(model, pool, {}, async (engine) => {
    expect(engine.capacity().contextTokens).toBe(201 * 16);
    expect(bits(await engine.generate({ tokens, ...decoding }))).toEqual(bits(whole));
    const { device } = await settledStats(engine);
    expect(device.free + device.cached).toBe(blocks);
  });
});

it.each(ofBothKinds)('a context of %s is preserved, swapped and discarded as far as it is kept', async (_, model) => {
  const tokens = 592;
  const whole = await withPool(model, 4000, {}, (engine) =>
    Promise.all([0, 1, 2, 3].map((seed) => engine.generate({ tokens: tokensOf(tokens, seed), ...decoding }))),
  );
  const pool = { stepTokens: 128, kvCache: { prefixCache: false } };
  // Of 38 blocks in each group: one keeps them all, the others those of a window.
  const kept = 38 + 6 * (model.groups - 1);
  const tokensOfPool = 16 * Math.ceil((4 * kept + 4 * (model.groups - 1)) / model.groups);
  const preserved = await withPool(model, tokensOfPool, { ...pool, policy: 'preserve' }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  // More than four, where what triggers them is said again.
  const { total } = preserved.interceptions;
  expect(total).toBeGreaterThanOrEqual(4);
  expect(preserved.interceptions.preserved).toBe(total);
  expect(preserved.tokens.recomputed).toBe(0);

  const hostBytes = tokensOfPool * model.tokenBytes;
  const swapped = await withPool(model, tokensOfPool, { ...pool, policy: 'swap', swap: { hostBytes } }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(swapped.interceptions.swapped).toBe(total);
  expect(swapped.swappedBlocks.out).toBeLessThanOrEqual(total * kept);
  expect(swapped.tokens.recomputed).toBe(0);

  const discarded = await withPool(model, tokensOfPool, { ...pool, policy: 'discard' }, (engine) =>
    intercepted(engine, whole, tokens),
  );
  expect(discarded.interceptions.discarded).toBe(total);
  expect(discarded.discardedBlocks).toBeLessThanOrEqual(total * kept);
  expect(discarded.tokens.recomputed).toBeGreaterThanOrEqual(total * tokens);
  // What was given up and not taken is found again: all of one kind, and a window of the other.
  const found = await withPool(model, tokensOfPool, { stepTokens: 128, policy: 'discard' }, (engine) =>
    intercepted(engine, whole.slice(0, 1), tokens),
  );
  expect(found.tokens.recomputed).toBeLessThanOrEqual(16 * found.interceptions.total);
});
