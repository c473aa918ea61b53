// What an engine says about itself: events, statistics, metrics, dumps, and limits that have names.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine, type EngineEvents, type InferceptError, type LoadProgress, systemInfo } from '../../lib/index.js';
import { codeOf, endless, loadDemo, settledStats, wait, withEngine } from './support/engines.js';

let engine: Engine;
beforeAll(async () => {
  engine = await loadDemo();
});
afterAll(() => engine.dispose());

describe('loading', () => {
  it('reports its phases in order, and all bytes in the end', async () => {
    const seen: LoadProgress[] = [];
    const loaded = await Engine.load('demo', { threads: 1, onProgress: (progress) => seen.push(progress) });
    await loaded.dispose();
    const phases = seen.map(({ phase }) => phase);
    expect(phases).toEqual([...phases].sort((a, b) => order.indexOf(a) - order.indexOf(b)));
    expect(new Set(phases)).toEqual(new Set(order));
    const { loadedBytes, totalBytes } = seen.at(-1)!;
    expect(loadedBytes).toBe(totalBytes);
    expect(totalBytes).toBeGreaterThan(0);
  });

  const order = ['headers', 'weights', 'calibrate'];

  it('can be cancelled', async () => {
    const controller = new AbortController();
    const load = Engine.load('demo', {
      signal: controller.signal,
      onProgress: ({ phase }) => phase === 'weights' && controller.abort('changed my mind'),
    });
    await expect(load).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'changed my mind' });
    expect(await codeOf(() => Engine.load('demo', { signal: AbortSignal.abort() }))).toBe('ERR_ABORTED');
  });

  it('fails with what onProgress throws', async () => {
    const load = Engine.load('demo', {
      onProgress: ({ phase }) => {
        if (phase === 'weights') throw new RangeError('no room to draw');
      },
    });
    await expect(load).rejects.toThrowError(RangeError);
  });

  it.each([
    ['no/such/file.gguf', {}, 'ERR_MODEL_NOT_FOUND'],
    ['package.json', {}, 'ERR_MODEL_FORMAT'],
    ['demo', { device: 'cuda:7' }, 'ERR_DEVICE'],
    ['demo', { kvCache: { bytes: 100 } }, 'ERR_INVALID_ARGUMENT'],
    ['demo', { kvCache: { bytes: '900000GiB' } }, 'ERR_OUT_OF_MEMORY'],
    ['demo', { polizy: 'swap' }, 'ERR_INVALID_ARGUMENT'],
    ['', {}, 'ERR_INVALID_ARGUMENT'],
  ])('%j %j is %s', async (source, options, code) => {
    expect(await codeOf(() => Engine.load(source, options as never))).toBe(code);
  });
});

describe('events', () => {
  it('tell of steps and of what happened to paused contexts, with the waste of each alternative', async () => {
    const steps: EngineEvents['step'][0][] = [];
    const decisions: EngineEvents['interception-decision'][0][] = [];
    const ends: EngineEvents['interception-end'][0][] = [];
    await withEngine({ blocks: 16, hostBlocks: 4, policy: 'infercept' }, async (small) => {
      const sampling = { logitBias: await endless(small) };
      small.on('step', (step) => steps.push(step));
      small.on('interception-decision', (decision) => decisions.push(decision));
      small.on('interception-end', (end) => ends.push(end));
      const runs = Array.from({ length: 4 }, (_, index) =>
        small.generate({
          prompt: `Number ${index}: ${'word '.repeat(20)}`,
          maxTokens: 120,
          sampling,
        }),
      );
      let over = false;
      const all = Promise.all(runs).finally(() => {
        over = true;
      });
      for (let round = 0; round < 4; round += 1) {
        // What is posted at once takes effect at once: a run paused before its first step has no context to decide about.
        for (const before = steps.length; steps.length < before + 3 && !over; ) await wait(1);
        // On a busy machine a run may have ended meanwhile.
        const handles = await Promise.allSettled(runs.map((run) => run.intercept({ kind: 'slow' })));
        await wait(10);
        for (const handle of handles) if (handle.status === 'fulfilled') await handle.value.resume('');
      }
      await all;
    });
    expect(steps.length).toBeGreaterThan(10);
    expect(steps.every(({ slices, tokens, decodes }) => slices <= tokens && decodes <= slices)).toBe(true);
    expect(steps.map(({ step }) => step)).toEqual(steps.map(({ step }) => step).sort((a, b) => a - b));
    expect(decisions.length).toBeGreaterThan(0);
    for (const { kind, waste } of decisions) {
      expect(kind).toBe('slow');
      expect(Math.min(waste.preserve, waste.swap, waste.discard)).toBeGreaterThanOrEqual(0);
    }
    expect(new Set(ends.map(({ disposition }) => disposition)).size).toBeGreaterThan(1);
  });

  it('of listeners that throw reach `error`, and nothing else is harmed', async () => {
    const errors: InferceptError[] = [];
    const onError = (error: InferceptError) => {
      errors.push(error);
      throw new Error('here, too');
    };
    const onEvent = () => {
      throw new Error('in a listener');
    };
    const events = ['step', 'interception-start', 'interception-decision', 'interception-end'] as const;
    for (const event of events) engine.on(event, onEvent);
    engine.on('error', onError);
    const sampling = { logitBias: await endless(engine) };
    const run = engine.generate({ prompt: 'Hello', maxTokens: 200, sampling });
    await (await run.intercept()).resume();
    const { tokens } = await run;
    for (const event of events) engine.off(event, onEvent);
    engine.off('error', onError);
    expect(tokens.length).toBeGreaterThan(0);
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['ERR_TOOL_FAILED']));
  });
});

describe('numbers', () => {
  it('add up', async () => {
    await engine.generate({ prompt: 'Hello', maxTokens: 3 });
    const { device, host, waste, tokens, sequences } = await settledStats(engine);
    expect(device.free + device.cached).toBe(device.blocks);
    expect(host.free).toBe(host.blocks);
    expect(tokens.computed).toBeGreaterThan(0);
    expect(sequences).toEqual({ waiting: 0, running: 0, paused: 0 });
    expect(waste.share).toBeGreaterThanOrEqual(0);
    expect(waste.capacity).toBeGreaterThan(0);
  });

  it('are metrics that Prometheus can read', async () => {
    await engine.generate({ prompt: 'Hello', maxTokens: 3 });
    const lines = engine.metrics().trimEnd().split('\n');
    const sample = /^[a-z_]+(_total|_bucket|_sum|_count)?(\{[a-z_]+="[^"]*"\})? -?[\d.e+-]+$/;
    for (const line of lines) expect(line).toMatch(line.startsWith('#') ? /^# (HELP|TYPE) infercept_\w+ / : sample);
    const names = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
    expect(new Set(names).size).toBe(names.length);
    const count = /infercept_time_to_first_token_seconds_count (\d+)/.exec(lines.join('\n'));
    expect(Number(count?.[1])).toBeGreaterThan(0);
  });

  it('tell what fits', () => {
    const { kvTokens, blockTokens, contextTokens, bytesPerToken, threads, isa } = engine.capacity();
    expect(kvTokens).toBe(256 * 16);
    expect(blockTokens).toBe(16);
    expect(contextTokens).toBeGreaterThan(0);
    expect(bytesPerToken).toBeGreaterThan(0);
    expect(threads).toBe(1);
    expect(systemInfo().isas).toContain(isa);
  });

  it('can be dumped', async () => {
    const session = engine.session();
    await session.send('Hello', { maxTokens: 3 });
    const dump = (await engine.dump()) as {
      state: string;
      scheduler: { sequences: { status: string; tokens: number; blocks: string[] }[] };
      steps: unknown[];
    };
    session.dispose();
    expect(dump.state).toBe('ready');
    expect(dump.scheduler.sequences).toMatchObject([{ status: 'paused', tokens: session.contextTokens }]);
    expect(dump.scheduler.sequences[0]!.blocks[0]).toMatch(/^(d\d+)?(h\d+)?$/);
    expect(dump.steps.length).toBeLessThanOrEqual(64);
  });
});

describe('limits', () => {
  it('of sequences are refused by name', async () => {
    await withEngine({ sequencesMax: 3 }, async (small) => {
      const sampling = { logitBias: await endless(small) };
      const runs = Array.from({ length: 5 }, () => small.generate({ prompt: 'Hello', maxTokens: 50, sampling }));
      const outcomes = await Promise.all(runs.map((run) => codeOf(() => run)));
      expect(outcomes.filter((code) => code === 'ERR_OVERLOADED')).toHaveLength(2);
      expect(outcomes.filter((code) => code === undefined)).toHaveLength(3);
    });
  });

  it('of the pool: what can never fit is refused at once', async () => {
    await withEngine({ blocks: 4, hostBlocks: 0 }, async (small) => {
      const tokens = Array.from({ length: 70 }, () => 1);
      expect(await codeOf(() => small.generate({ tokens }))).toMatch(/ERR_(OUT_OF_MEMORY|CONTEXT_TOO_LONG)/);
    });
  });
});
