// simulate(): that options arrive, reports add up, and the same arguments give the same report. What the scheduler does in
// single worlds is proved in test/native/scheduler_test.cc.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InferceptError, type KindWaste, type PolicyName, type SimulatedSession, simulate } from '../../lib/index.js';

const policies: PolicyName[] = ['adaptive', 'infercept', 'preserve', 'swap', 'discard', 'discard-requeue'];

const session = fc.record({
  arrivalMs: fc.integer({ min: 0, max: 2000 }),
  promptTokens: fc.integer({ min: 1, max: 120 }),
  segments: fc.array(
    fc.record({
      decodeTokens: fc.integer({ min: 1, max: 8 }),
      kind: fc.constantFrom('tool:a', 'tool:b', 'human'),
      durationMs: fc.integer({ min: 0, max: 5000 }),
      returnedTokens: fc.integer({ min: 0, max: 8 }),
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

describe('simulate', () => {
  it('lets some time pass between steps, even where they cost nothing', async () => {
    const free = { step: 0, perQueryToken: 0, perKvToken: 0, copyStart: 0, secondsPerCopiedByte: 0, bytesPerToken: 1 };
    const profile = { name: 'free', ...free, deviceTokens: 256, hostTokens: 0 };
    const sessions = [{ arrivalMs: 0, promptTokens: 8, segments: [{ decodeTokens: 100 }] }];
    const { steps, virtualSeconds } = await simulate({ sessions }, { profile });
    expect(steps).toBe(100);
    expect(virtualSeconds).toBeGreaterThan(99 * 10e-6);
    expect(virtualSeconds).toBeLessThan(100 * 100e-6);
  });

  it('finishes every session of any workload under every policy, without losing a block', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(session, { minLength: 1, maxLength: 20 }),
        fc.constantFrom(...policies),
        fc.integer({ min: 208, max: 1024 }),
        fc.integer({ min: 0, max: 512 }),
        async (sessions: SimulatedSession[], policy, deviceTokens, hostTokens) => {
          const report = await simulate(
            { sessions },
            { policy, deviceTokens, hostTokens, blockTokens: 8, contextTokens: 208, checkIntegrity: true },
          );
          expect(report.completed).toBe(sessions.length);
          expect(report.stats.device.free + report.stats.device.cached).toBe(report.stats.device.blocks);
          expect(report.stats.host.free).toBe(report.stats.host.blocks);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('serves contexts that outgrow the pool where a window is all they keep', async () => {
    const segments = Array.from({ length: 4 }, () => ({
      decodeTokens: 20,
      kind: 'tool',
      durationMs: 5000,
      returnedTokens: 500,
    }));
    const sessions = Array.from({ length: 6 }, (_, index) => ({
      arrivalMs: 100 * index,
      promptTokens: 1000,
      segments,
    }));
    const pool = { deviceTokens: 1024, hostTokens: 512, contextTokens: 4096, stepTokens: 256, checkIntegrity: true };
    await expect(simulate({ sessions }, pool)).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' });
    for (const policy of policies) {
      const report = await simulate({ sessions }, { ...pool, policy, windowTokens: 128 });
      expect(report.completed).toBe(6);
      expect(report.stats.device.free + report.stats.device.cached).toBe(64);
    }
  });

  it('lets layers that see everything keep it, and others a window', async () => {
    const segments = Array.from({ length: 3 }, () => ({
      decodeTokens: 20,
      kind: 'tool',
      durationMs: 5000,
      returnedTokens: 500,
    }));
    const sessions = [0, 1, 2].map((index) => ({ arrivalMs: 100 * index, promptTokens: 1000, segments }));
    const pool = { deviceTokens: 1024, hostTokens: 1024, contextTokens: 4096, stepTokens: 256, checkIntegrity: true };
    const mixed = { ...pool, windowTokens: 128, layerGroups: { full: 1, sliding: 3 } };
    // Of 2,560 tokens 160 blocks, and 3 times 17 of a window and as much: 211 of 256.
    for (const policy of policies) {
      const report = await simulate({ sessions }, { ...mixed, policy });
      expect(report.completed).toBe(3);
      expect(report.stats.device.blocks).toBe(256);
      expect(report.stats.device.free + report.stats.device.cached).toBe(256);
    }
    await expect(simulate({ sessions }, { ...mixed, layerGroups: { full: 3, sliding: 1 } })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
    });
  });

  it('repeats itself, and the seed matters', async () => {
    const run = (seed: number) => simulate({ mix: { rate: 2, seconds: 30, seed } }, { untilMs: 60_000 });
    const [first, second, other] = await Promise.all([run(1), run(1), run(2)]);
    expect(second).toEqual(first);
    expect(other.steps).not.toBe(first.steps);
  });

  it('shows what the policies are for: under pressure infercept and adaptive finish more than discard-requeue', async () => {
    // As in the paper: what is discarded is gone.
    const run = (policy: PolicyName) =>
      simulate({ mix: { rate: 2, seconds: 200 } }, { policy, untilMs: 260_000, prefixCache: false });
    const [requeue, infercept, adaptive] = await Promise.all(
      (['discard-requeue', 'infercept', 'adaptive'] as const).map(run),
    );
    expect(infercept!.completed).toBeGreaterThan(1.3 * requeue!.completed);
    expect(adaptive!.completed).toBeGreaterThan(1.3 * requeue!.completed);
  });

  it('says what each kind of tool has cost, and all of them together cost what is wasted', async () => {
    const { stats } = await simulate({ mix: { rate: 2, seconds: 60 } }, { policy: 'infercept', prefixCache: false });
    const { byKind, ...waste } = stats.waste;
    expect(Object.keys(byKind)).toEqual(expect.arrayContaining(['math', 'chat', 'image']));
    const rows = Object.values(byKind);
    for (const part of ['preservedIdle', 'recompute', 'stall', 'swapWait', 'pausedUnwanted'] as const) {
      const sum = rows.reduce((total, row) => total + row[part], 0);
      expect(Math.abs(sum - waste[part])).toBeLessThanOrEqual(1e-6 * waste[part]);
    }
    const counted = rows.flatMap(({ interceptions }) => Object.values(interceptions)).reduce((a, b) => a + b, 0);
    expect(counted).toBe(stats.interceptions.total);
    // People think for a minute where a calculator takes a blink.
    const idle = ({ preservedIdle, pausedUnwanted }: KindWaste) => preservedIdle + pausedUnwanted;
    expect(idle(byKind.chat!)).toBeGreaterThan(idle(byKind.math!));
  });

  it('refuses a session that could never fit', async () => {
    const sessions = [{ arrivalMs: 0, promptTokens: 500, segments: [{ decodeTokens: 1 }] }];
    await expect(simulate({ sessions }, { deviceTokens: 256 })).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' });
  });

  it('lets new requests pass sooner, or completes more of what was begun', async () => {
    const run = (ttft: number) => simulate({ mix: { rate: 5, seconds: 240 } }, { slo: { ttft }, untilMs: 300_000 });
    const [usual, sooner] = await Promise.all([run(1), run(4)]);
    expect(sooner.firstTokenMs.p50).toBeLessThan(usual.firstTokenMs.p50 / 2);
    expect(sooner.completed).toBeLessThan(usual.completed);
    await expect(simulate({ mix: { rate: 1, seconds: 1 } }, { slo: { ttft: 0 } })).rejects.toThrow(/slo.ttft/);
  });

  it('names the option that is wrong', async () => {
    await expect(simulate({ mix: { rate: -1, seconds: 1 } })).rejects.toThrow('mix.rate');
    await expect(simulate({ mix: { rate: 1, seconds: 1 } }, { polcy: 'swap' } as never)).rejects.toThrow('policy');
    await expect(simulate({ sessions: [{ arrivalMs: 0, promptTokens: 0, segments: [] }] })).rejects.toSatisfy(
      InferceptError.isInstance,
    );
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const running = simulate({ mix: { rate: 5, seconds: 20_000 } }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
