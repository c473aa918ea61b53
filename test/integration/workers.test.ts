// Worker threads are the only place where an environment ends while native threads are busy. Terminating one at any moment
// must leave the process, and the engines of other threads, unharmed.
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../lib/index.js';
import { loadDemo, random, wait } from './support/engines.js';
import { startWorker } from './support/workers.js';

const life = new URL('./support/worker-life.ts', import.meta.url);

let engine: Engine;
beforeAll(async () => {
  engine = await loadDemo();
});
afterAll(() => engine.dispose());

describe('worker.terminate', () => {
  it('at random moments is harmless', async () => {
    const uniform = random(5);
    const expected = await engine.generate({ prompt: 'Hello', maxTokens: 30 });
    for (let round = 0; round < 12; round += 1) {
      const worker = startWorker(life, round);
      await once(worker, 'message');
      // Loading takes about a third of a second: half of the rounds end in it.
      await wait(uniform() * 800);
      expect(await worker.terminate()).toBe(1);
    }
    const { tokens } = await engine.generate({ prompt: 'Hello', maxTokens: 30 });
    expect(tokens).toEqual(expected.tokens);
  });

  it('of several workers at once is harmless', async () => {
    const workers = [100, 101, 102].map((seed) => startWorker(life, seed));
    await Promise.all(
      workers.map(async (worker) => {
        for (let message = ''; message !== 'loaded'; ) [message] = (await once(worker, 'message')) as [string];
      }),
    );
    await wait(50);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect((await engine.generate({ prompt: 'Hello', maxTokens: 3 })).tokens.length).toBeGreaterThan(0);
  });
});
