// What an engine says about itself: events, statistics, metrics, dumps, and limits that have names.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Engine,
  type EngineEvents,
  type EngineStats,
  formatExplanation,
  type InferceptError,
  type LoadProgress,
  simulate,
  systemInfo,
} from '../../lib/index.js';
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
    const { memory, totalBytes: weightBytes } = seen.find(({ phase }) => phase === 'plan')!;
    expect(memory).toMatchObject({ weightBytes, bytesPerToken: expect.any(Number) });
    expect(memory!.kvBytes).toBeGreaterThan(0);
  });

  const order = ['headers', 'plan', 'weights', 'calibrate'];

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

  it.each(['cuda', 'cuda:1'] as const)('says why %j cannot be used, and what can', async (device) => {
    const error = await Engine.load('demo', { device }).then(
      () => undefined,
      (cause: Error) => cause,
    );
    expect(error?.message).toMatch(new RegExp(`^Device '${device}' is not available: .*device: '(auto|cpu)'`, 's'));
  });

  it('takes the CPU for auto', async () => {
    await using engine = await Engine.load('demo', { device: 'auto' });
    expect(engine.capacity().device).toBe('cpu');
  });
});

describe('events', () => {
  it('tell of steps and of what happened to paused contexts, with the waste of each alternative', async () => {
    const steps: EngineEvents['step'][0][] = [];
    const decisions: EngineEvents['interception-decision'][0][] = [];
    const ends: EngineEvents['interception-end'][0][] = [];
    let waste: EngineStats['waste'] | undefined;
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
      waste = (await settledStats(small)).waste;
    });
    expect(steps.length).toBeGreaterThan(10);
    expect(steps.every(({ slices, tokens, decodes }) => slices <= tokens && decodes <= slices)).toBe(true);
    expect(steps.map(({ step }) => step)).toEqual(steps.map(({ step }) => step).sort((a, b) => a - b));
    expect(decisions.length).toBeGreaterThan(0);
    for (const { kind, waste, estimate, pressure } of decisions) {
      expect(kind).toBe('slow');
      expect(Math.min(waste.preserve, waste.swap, waste.discard)).toBeGreaterThanOrEqual(0);
      // The paper's rule: as long again as it has lasted.
      if (waste.preserve > 0 && estimate.source === 'elapsed') expect(estimate.expectedMs).toBe(estimate.elapsedMs);
      expect(pressure.freeBlocks).toBeLessThanOrEqual(pressure.availableBlocks);
      expect(pressure.availableBlocks).toBeLessThanOrEqual(16);
      expect(pressure.hostFreeBlocks).toBeLessThanOrEqual(4);
      expect(pressure.copyBudgetBlocks).toBeGreaterThan(0);
    }
    expect(new Set(ends.map(({ disposition }) => disposition)).size).toBeGreaterThan(1);
    for (const { disposition, recomputedTokens, givenUpBlocks, hindsight } of ends) {
      if (recomputedTokens > 0) expect(disposition).toBe('discard');
      if (givenUpBlocks === 0) expect(disposition).not.toBe('swap');
      if (hindsight === null) continue;
      expect(hindsight.regret).toBeGreaterThanOrEqual(0);
      expect(hindsight.regret).toBeLessThanOrEqual(hindsight.waste);
    }
    const regretted = ends.reduce((sum, { hindsight }) => sum + (hindsight?.regret ?? 0), 0);
    const { slow } = waste!.byKind;
    expect(slow!.regret.preserve + slow!.regret.swap + slow!.regret.discard).toBeCloseTo(regretted, 3);
    const rows = Object.values(waste!.byKind);
    for (const part of ['preservedIdle', 'recompute', 'stall', 'swapWait', 'pausedUnwanted'] as const) {
      const sum = rows.reduce((total, row) => total + row[part], 0);
      expect(Math.abs(sum - waste![part])).toBeLessThanOrEqual(1e-6 * (1 + waste![part]));
    }
    expect(rows.reduce((sum, row) => sum + row.preservedIdle + row.pausedUnwanted, 0)).toBeGreaterThan(0);
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

describe('explanations', () => {
  it('tell of each interception of a session what was decided, from what, and what it cost', async () => {
    const session = engine.session();
    expect(session.explain()).toEqual({ interceptions: [] });
    const sampling = { logitBias: await endless(engine) };
    const run = session.send('Hello', { maxTokens: 400, sampling });
    // Paused before its first step a run has no context to decide about.
    await new Promise((resolve) => engine.once('step', resolve));
    const handle = await run.intercept({ kind: 'tool:search', expectedMs: 60_000 });
    await wait(20);
    const [open] = session.explain().interceptions;
    expect(open).toMatchObject({ kind: 'tool:search', outcome: null });
    await handle.resume();
    const { interceptions } = await run;
    await engine.dump(); // A step boundary: what is decided about the wait for the next message is known.
    const { interceptions: explained } = session.explain();
    expect(explained.map(({ kind }) => kind)).toEqual(['tool:search', 'human']);
    const [search, human] = explained;
    expect(search!.contextTokens).toBeGreaterThan(0);
    expect(search!.decisions.map(({ disposition }) => disposition)).toContain('preserve');
    expect(search!.decisions[0]!.estimate.source).toBe('announced');
    expect(search!.decisions[0]!.estimate.expectedMs).toBeGreaterThan(50_000);
    expect(search!.decisions[0]!.waste.preserve).toBeGreaterThan(0);
    const { kind, ...record } = interceptions[0]!;
    expect(kind).toBe('tool:search');
    expect(search!.outcome).toEqual(record);
    expect(human!.outcome).toBeNull();
    expect(run.explain()).toEqual(session.explain());
    expect(JSON.parse(JSON.stringify(session.explain()))).toEqual(session.explain());
    expect(formatExplanation(session.explain())).toMatch(
      /^tool:search, \d+ tokens\n {2}after .* preserve: .*\n.*came back/,
    );
    session.dispose();
  });

  it('are there for runs without a session, and keep the last interceptions only', async () => {
    const sampling = { logitBias: await endless(engine) };
    const run = engine.generate({ prompt: 'Hello', maxTokens: 400, sampling });
    // Asked for at once, each begins where the one before ends.
    const handles = Array.from({ length: 40 }, (_, round) => run.intercept({ kind: `round ${round}` }));
    for (const handle of handles) await (await handle).resume();
    const { interceptions } = await run;
    expect(interceptions).toHaveLength(40);
    const explained = run.explain().interceptions;
    expect(explained.map(({ kind }) => kind)).toEqual(Array.from({ length: 32 }, (_, index) => `round ${index + 8}`));
    expect(explained[0]!.outcome).toMatchObject({ disposition: 'preserve', hindsight: null });
    expect(explained.at(-1)!.outcome).toMatchObject({ hindsight: { regret: 0 } });
  });

  it('of what is decided about a swapped context say what coming back took', async () => {
    await withEngine({ blocks: 16 }, async (small) => {
      const session = small.session();
      await session.send('My name is Ana.', { maxTokens: 30, sampling: { logitBias: await endless(small) } });
      await session.suspend();
      await small.dump();
      await session.send('What is my name?', { maxTokens: 10 });
      const [wait] = session.explain().interceptions;
      expect(wait).toMatchObject({ kind: 'human', outcome: { disposition: 'swap' } });
      const swap = wait!.decisions.find(({ disposition }) => disposition === 'swap');
      expect(wait!.outcome!.givenUpBlocks).toBe(swap!.blocks);
      expect(swap!.blocks).toBeGreaterThan(0);
      session.dispose();
    });
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
    const sampling = { logitBias: await endless(engine) };
    const run = engine.generate({ prompt: 'Hello', maxTokens: 400, sampling });
    await (await run.intercept({ kind: 'a "strange"\\name' })).resume();
    await run;
    const lines = engine.metrics().trimEnd().split('\n');
    const sample = /^[a-z_]+(_total|_bucket|_sum|_count)?(\{[a-z_]+="([^"\\]|\\["\\n])*"\})? -?[\d.e+-]+$/;
    for (const line of lines) expect(line).toMatch(line.startsWith('#') ? /^# (HELP|TYPE) infercept_\w+ / : sample);
    const names = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
    expect(new Set(names).size).toBe(names.length);
    const count = /infercept_time_to_first_token_seconds_count (\d+)/.exec(lines.join('\n'));
    expect(Number(count?.[1])).toBeGreaterThan(0);
    const error = /^infercept_cost_relative_error (\S+)$/m.exec(engine.metrics());
    expect(Number(error?.[1])).toBe(engine.stats().costError);
    expect(engine.stats().costError).toBeGreaterThan(0);
  });

  it('make a profile of this machine, which can be simulated', async () => {
    const profile = engine.profile();
    const { kvTokens, hostTokens, bytesPerToken } = engine.capacity();
    expect(profile).toMatchObject({ deviceTokens: kvTokens, hostTokens, bytesPerToken });
    for (const name of ['step', 'perQueryToken', 'perKvToken', 'secondsPerCopiedByte'] as const) {
      expect(profile[name]).toBeGreaterThan(0);
    }
    const sessions = [{ arrivalMs: 0, promptTokens: 32, segments: [{ decodeTokens: 4 }] }];
    const { virtualSeconds, steps } = await simulate({ sessions }, { profile });
    expect(steps).toBe(4);
    const seconds = 4 * profile.step + 35 * profile.perQueryToken;
    expect(virtualSeconds).toBeGreaterThanOrEqual(0.999 * seconds);
    // And what lies between steps.
    expect(virtualSeconds).toBeLessThan(seconds + 32 * 36 * profile.perKvToken + 4 * 50e-6);
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
      // Sessions stay when their turn is over: nothing depends on how long it takes.
      const sessions = Array.from({ length: 4 }, () => small.session());
      const send = (index: number) => codeOf(async () => sessions[index]?.send('Hello', { maxTokens: 2 }));
      for (const index of [0, 1, 2]) expect(await send(index)).toBeUndefined();
      expect(await send(3)).toBe('ERR_OVERLOADED');
      expect(await codeOf(() => small.generate({ prompt: 'Hello', maxTokens: 2 }))).toBe('ERR_OVERLOADED');
      sessions[0]?.dispose();
      expect(await send(3)).toBeUndefined();
    });
  });

  it('of the pool: what can never fit is refused at once', async () => {
    await withEngine({ blocks: 4, hostBlocks: 0 }, async (small) => {
      const tokens = Array.from({ length: 70 }, () => 1);
      expect(await codeOf(() => small.generate({ tokens }))).toMatch(/ERR_(OUT_OF_MEMORY|CONTEXT_TOO_LONG)/);
    });
  });
});
