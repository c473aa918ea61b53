/** What the integration tests share: engines on the demo model, and numbers that are the same in every run. */
import { Engine, type EngineStats, type LoadOptions } from '../../../lib/index.js';

/** Bytes of keys and values of one block of the demo model. */
let blockBytes: number | undefined;

async function demoBlockBytes(): Promise<number> {
  if (blockBytes === undefined) {
    const engine = await Engine.load('demo', { threads: 1, kvCache: { bytes: '1MiB' }, swap: { hostBytes: 0 } });
    const { bytesPerToken, blockTokens } = engine.capacity();
    blockBytes = bytesPerToken * blockTokens;
    await engine.dispose();
  }
  return blockBytes;
}

export interface PoolOptions extends Omit<LoadOptions, 'kvCache' | 'swap'> {
  /** KV blocks of 16 tokens on the device. */
  blocks?: number;
  hostBlocks?: number;
  blockTokens?: number;
  prefixCache?: boolean;
}

/** The demo model with a pool of so many blocks. */
export async function loadDemo(options: PoolOptions = {}): Promise<Engine> {
  const { blocks = 256, hostBlocks = 256, blockTokens = 16, prefixCache = true, ...rest } = options;
  const bytes = ((await demoBlockBytes()) / 16) * blockTokens;
  return Engine.load('demo', {
    threads: 1,
    ...rest,
    kvCache: { bytes: blocks * bytes, blockTokens, prefixCache },
    swap: { hostBytes: hostBlocks * bytes },
  });
}

/** Runs `body` with an engine that is disposed after it. */
export async function withEngine<Result>(
  options: PoolOptions,
  body: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const engine = await loadDemo(options);
  try {
    return await body(engine);
  } finally {
    await engine.dispose();
  }
}

/** Statistics after everything that was posted before has taken effect. */
export async function settledStats(engine: Engine): Promise<EngineStats> {
  await engine.dump();
  return engine.stats();
}

/** Blocks that nobody references, on both tiers, against all blocks. */
export function freeBlocks({ device, host }: EngineStats): { free: number; all: number } {
  return { free: device.free + device.cached + host.free, all: device.blocks + host.blocks };
}

/** The code of the error that `action` throws or rejects with; `undefined` if it does neither. */
export async function codeOf(action: () => unknown): Promise<string | undefined> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Mulberry32: a small generator of uniform numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const wait = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A logit bias under which the demo model never ends its turn. */
export async function endless(engine: Engine): Promise<Record<number, number>> {
  const messages = [{ role: 'user', content: 'Should I take the coffee or the soup?' }] as const;
  const { tokens, finishReason } = await engine.generate({ messages, maxTokens: 60 });
  if (finishReason !== 'stop') throw new Error('the demo model does not end its turn');
  return { [tokens.at(-1)!]: -100 };
}
