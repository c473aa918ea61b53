// Thousands of random lives, cut short in every way there is, end with every block free. Seeded; a failure names its seed.
import { describe, expect, it } from 'vitest';
import { defineTool, type Engine, type PolicyName, type Run } from '../../lib/index.js';
import { freeBlocks, loadDemo, random, settledStats, wait } from './support/engines.js';

type Uniform = () => number;

const pick = <Item>(uniform: Uniform, items: readonly Item[]): Item => items[Math.floor(uniform() * items.length)]!;
const maybeWait = (uniform: Uniform): Promise<void> => (uniform() < 0.5 ? Promise.resolve() : wait(uniform() * 6));

/** Ends a run in one of the ways in which runs end. */
async function end(run: Run, uniform: Uniform): Promise<void> {
  const way = pick(uniform, ['await', 'await', 'cancel', 'leave', 'intercept', 'intercept and leave']);
  if (way === 'cancel') {
    await maybeWait(uniform);
    run.cancel();
  } else if (way === 'leave') {
    for await (const part of run) if (part.type !== 'interception-decision' && uniform() < 0.3) break;
  } else if (way.startsWith('intercept')) {
    const handle = await run.intercept({ kind: 'random', expectedMs: uniform() * 10 });
    await maybeWait(uniform);
    if (way === 'intercept') await handle.resume(uniform() < 0.5 ? '' : ' so ');
    else run.cancel();
  }
  await run;
}

async function generateLife(engine: Engine, uniform: Uniform): Promise<void> {
  const controller = new AbortController();
  if (uniform() < 0.3) setTimeout(() => controller.abort(), uniform() * 8);
  const run = engine.generate({
    prompt: 'w '.repeat(1 + Math.floor(uniform() * 60)),
    maxTokens: 1 + Math.floor(uniform() * 40),
    sampling: { temperature: 1.5, seed: Math.floor(uniform() * 1e6) },
    signal: controller.signal,
    interceptors: [
      {
        trigger: { text: pick(uniform, [' ', 'e', 'th', '.']) },
        timeoutMs: 20,
        onIntercept: async () => {
          await maybeWait(uniform);
          if (uniform() < 0.1) throw new Error('a hook fails');
          if (uniform() < 0.05) await new Promise(() => {});
          return pick(uniform, ['', ' x ', [1, 2, 3]]);
        },
      },
    ],
  });
  await end(run, uniform);
}

async function sessionLife(engine: Engine, uniform: Uniform): Promise<void> {
  const tool = defineTool({
    name: 'calculator',
    description: 'Evaluates an arithmetic expression.',
    parameters: { type: 'object' },
    onError: pick(uniform, ['report', 'throw']),
    timeoutMs: 15,
    execute: async () => {
      await maybeWait(uniform);
      if (uniform() < 0.3) throw new Error('a tool fails');
      return '42';
    },
  });
  const sessions = [engine.session({ tools: [tool] })];
  try {
    for (let round = 0; round < 3; round += 1) {
      const session = pick(uniform, sessions);
      const point = session.checkpoint();
      const run = session.send(pick(uniform, ['What is 12 * 12?', 'Hello', 'Thank you.']), { maxTokens: 60 });
      if (uniform() < 0.15) session.dispose();
      await end(run, uniform).catch(() => {});
      if (uniform() < 0.3) sessions.push(session.fork());
      if (uniform() < 0.2) session.rewind(point);
      if (uniform() < 0.2) await session.suspend();
    }
  } finally {
    for (const session of sessions) session.dispose();
  }
}

async function live(engine: Engine, seed: number): Promise<void> {
  const uniform = random(seed);
  try {
    await (uniform() < 0.6 ? generateLife(engine, uniform) : sessionLife(engine, uniform));
  } catch (error) {
    const { code } = error as { code?: string };
    const allowed = ['ERR_ABORTED', 'ERR_TOOL_FAILED', 'ERR_TOOL_TIMEOUT', 'ERR_DISPOSED', 'ERR_BUSY'];
    if (code === undefined || !allowed.includes(code))
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
  }
}

/** So many lives, some beside each other. */
async function liveMany(engine: Engine, first: number, lives: number, beside: number): Promise<void> {
  let next = first;
  const lane = async (): Promise<void> => {
    while (next < first + lives) await live(engine, next++);
  };
  await Promise.all(Array.from({ length: beside }, lane));
}

describe.each<{ policy: PolicyName; blocks: number; hostBlocks: number }>([
  { policy: 'adaptive', blocks: 24, hostBlocks: 12 },
  { policy: 'infercept', blocks: 24, hostBlocks: 12 },
  { policy: 'swap', blocks: 40, hostBlocks: 40 },
  { policy: 'discard-requeue', blocks: 16, hostBlocks: 0 },
])('$policy on $blocks blocks', ({ policy, blocks, hostBlocks }) => {
  it('frees everything', async () => {
    const engine = await loadDemo({ policy, blocks, hostBlocks });
    const errors: unknown[] = [];
    engine.on('error', (error) => errors.push(error));
    await liveMany(engine, 1000 * blocks, 600, 12);
    const stats = await settledStats(engine);
    expect(errors).toEqual([]);
    expect(stats.sequences).toEqual({ waiting: 0, running: 0, paused: 0 });
    const { free, all } = freeBlocks(stats);
    expect(free).toBe(all);
    await engine.dispose();
  });
});
