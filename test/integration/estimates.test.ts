// engine.estimates(): what interceptions teach, by tool and by the shape of arguments, and that the next engine takes it up.
import { describe, expect, it } from 'vitest';
import { type DurationEstimate, defineTool, Engine, type Estimates } from '../../lib/index.js';
import { endless, wait, withEngine } from './support/engines.js';

const find = ({ keys }: Estimates, name: string): DurationEstimate | undefined => keys.find(({ key }) => key === name);
const weight = (estimate: DurationEstimate | undefined) =>
  estimate?.durations.reduce((sum, [, count]) => sum + count, 0);

async function pause(engine: Engine, kind: string, milliseconds: number): Promise<void> {
  const run = engine.generate({ prompt: 'Hello', sampling: { logitBias: await endless(engine) } });
  const handle = await run.intercept({ kind });
  await wait(milliseconds);
  await handle.resume('and');
  run.cancel();
  await run;
}

describe('estimates', () => {
  it('begin empty, grow with every interception, and are plain JSON', async () => {
    await withEngine({}, async (engine) => {
      expect(await engine.estimates()).toEqual({ version: 1, keys: [] });
      await pause(engine, 'environment:shell', 30);
      await pause(engine, 'environment:shell', 30);
      await pause(engine, 'search', 5);
      const learnt = await engine.estimates();
      expect(JSON.parse(JSON.stringify(learnt))).toEqual(learnt);
      expect(learnt.keys.map(({ key }) => key)).toEqual(['', 'environment', 'environment:shell', 'tool', 'search']);
      expect(weight(find(learnt, ''))).toBeCloseTo(3, 1);
      expect(weight(find(learnt, 'environment:shell'))).toBeCloseTo(2, 1);
      for (const [meanMs] of find(learnt, 'environment:shell')!.durations) expect(meanMs).toBeGreaterThan(29);
    });
  });

  it('tell calls by the shape of their arguments, and count the gaps between messages', async () => {
    const calculator = defineTool({
      name: 'calculator',
      description: 'Evaluates an arithmetic expression.',
      parameters: { type: 'object', properties: { expression: { type: 'string' } } },
      execute: () => wait(20).then(() => '371217'),
    });
    await withEngine({}, async (engine) => {
      const session = engine.session({ tools: [calculator] });
      const { toolCalls } = await session.send('What is 4821 * 77?', { maxTokens: 150 });
      expect(toolCalls).toMatchObject([{ input: { expression: '4821 * 77' } }]);
      await session.send('Thank you.', { maxTokens: 4 });
      const learnt = await engine.estimates();
      const names = ['', 'human', 'tool', 'tool:calculator', 'tool:calculator(expression=text4)'];
      expect(learnt.keys.map(({ key }) => key).sort()).toEqual(names);
      for (const name of names) expect(weight(find(learnt, name))).toBeCloseTo(name === '' ? 2 : 1, 1);
      // Durations may have any digits.
      expect(JSON.stringify(learnt.keys.map(({ key }) => key))).not.toContain('4821');
    });
  });

  it('are taken up by the next engine', async () => {
    const learnt: Estimates = {
      version: 1,
      keys: [
        { key: '', durations: [[20_000, 50]] },
        { key: 'human', durations: [[20_000, 50]] },
        {
          key: 'tool:search(depth=3)',
          durations: [
            [5, 2],
            [700, 30],
          ],
        },
      ],
    };
    await withEngine({ estimates: learnt }, async (engine) => {
      expect(await engine.estimates()).toEqual(learnt);
      await pause(engine, 'tool:search', 1);
      const more = await engine.estimates();
      expect(weight(find(more, ''))).toBeCloseTo(51, 0);
      expect(find(more, 'human')).toEqual(learnt.keys[1]);
      await withEngine({ estimates: more }, async (next) => expect(await next.estimates()).toEqual(more));
    });
  });

  it('of a wrong form are refused before anything is loaded', async () => {
    const wrong = { version: 1, keys: [{ key: 'tool', durations: [[1, -1]] }] } as Estimates;
    await expect(Engine.load('no/such/model.gguf', { estimates: wrong })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('`estimates.keys[0].durations[0][1]` is -1'),
    });
  });
});
