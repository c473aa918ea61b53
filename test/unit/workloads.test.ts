// Workloads that are drawn or replayed: agents have the statistics that operators quote, sub-agents hold up who called them,
// and traces survive being written and read.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  agentSessions,
  formatTrace,
  h200Llama8B,
  parseTrace,
  type SimulatedSession,
  type SimulateOptions,
  simulate,
} from '../../lib/index.js';

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const shareOf = <Value>(values: readonly Value[], holds: (value: Value) => boolean): number =>
  values.filter(holds).length / values.length;

/** Input of every turn, and how much of it is new; the shared prefix never is. */
function turnsOf({ promptTokens, prefixTokens = 0, segments }: SimulatedSession): { input: number; added: number }[] {
  let input = promptTokens;
  let added = promptTokens - prefixTokens;
  return segments.map(({ decodeTokens, returnedTokens = 0 }) => {
    const turn = { input, added };
    added = decodeTokens + returnedTokens;
    input += added;
    return turn;
  });
}

describe('agents', () => {
  const sessions = agentSessions({ rate: 10, seconds: 200 });
  const agents = sessions.filter(({ calledBy }) => calledBy === undefined);
  const turns = agents.flatMap(turnsOf);
  const gaps = agents.flatMap(({ segments }) => segments.slice(0, -1)).filter(({ kind }) => kind !== 'agent');

  it('arrive at their rate, in order', () => {
    expect(agents.length / 2000).toBeCloseTo(1, 1);
    const arrivals = agents.map(({ arrivalMs }) => arrivalMs);
    expect(arrivals).toEqual([...arrivals].sort((a, b) => a - b));
  });

  it('have a median of 43 turns', () => {
    expect(median(agents.map(({ segments }) => segments.length)) / 43).toBeCloseTo(1, 1);
  });

  it('have a median input of 142,000 tokens, 96 % of it computed before, and 444 of output', () => {
    expect(median(turns.map(({ input }) => input)) / 142_000).toBeCloseTo(1, 1);
    expect(median(turns.map(({ input, added }) => 1 - added / input))).toBeGreaterThan(0.96);
    expect(
      median(agents.flatMap(({ segments }) => segments).map(({ decodeTokens }) => decodeTokens)) / 444,
    ).toBeCloseTo(1, 1);
  });

  it('wait a second at most in 86 % of the gaps, ten in 95 %, and minutes seldom', () => {
    expect(Math.abs(shareOf(gaps, ({ durationMs }) => durationMs! < 1000) - 0.8646)).toBeLessThan(0.02);
    expect(Math.abs(shareOf(gaps, ({ durationMs }) => durationMs! < 10_000) - 0.9512)).toBeLessThan(0.02);
    const minutes = shareOf(gaps, ({ durationMs }) => durationMs! > 60_000);
    expect(minutes).toBeGreaterThan(0.0005);
    expect(minutes).toBeLessThan(0.01);
  });

  it('call sub-agents in 44 % of the sessions', () => {
    const callers = new Set(sessions.flatMap(({ calledBy }) => calledBy?.session ?? []));
    expect(callers.size / agents.length).toBeCloseTo(0.44, 1);
    for (const caller of callers) expect(sessions[caller]!.segments.some(({ kind }) => kind === 'agent')).toBe(true);
  });

  it('repeat by seed, and scale', () => {
    const draw = (seed: number, tokenScale = 1) => agentSessions({ rate: 1, seconds: 60, seed, tokenScale });
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
    expect(draw(3)[0]!.promptTokens / draw(3, 1 / 32)[0]!.promptTokens).toBeCloseTo(32, -1);
  });

  it('say what is missing or wrong', () => {
    expect(() => agentSessions({ rate: 1 } as never)).toThrow('agents.seconds');
    expect(() => agentSessions({ rate: -1, seconds: 1 })).toThrow('agents.rate');
  });

  it('run, and find their shared beginnings in the prefix cache', async () => {
    const run = (prefixCache: boolean) =>
      simulate(
        { agents: { rate: 0.2, seconds: 100, tokenScale: 1 / 32 } },
        { profile: { ...h200Llama8B, deviceTokens: 200_000 }, prefixCache, checkIntegrity: true },
      );
    const [cached, plain] = await Promise.all([run(true), run(false)]);
    expect(cached.completed).toBe(cached.sessions);
    // Most of the prompts are the shared 625 tokens of agents and the 313 of sub-agents.
    expect(cached.stats.tokens.cached).toBeGreaterThan(250 * cached.sessions);
    expect(plain.stats.tokens.cached).toBe(0);
  });
});

describe('sub-agents', () => {
  const child = (durationMs: number): SimulatedSession => ({
    arrivalMs: 0,
    promptTokens: 10,
    segments: [{ decodeTokens: 2, durationMs }, { decodeTokens: 2 }],
    calledBy: { session: 0, segment: 0 },
  });
  const parent: SimulatedSession = {
    arrivalMs: 500,
    promptTokens: 10,
    segments: [{ decodeTokens: 2, kind: 'agent', durationMs: 1000 }, { decodeTokens: 2 }],
  };

  it('hold up who called them until the last one has ended', async () => {
    const alone = await simulate({ sessions: [parent] });
    expect(alone.virtualSeconds).toBeGreaterThan(1.5);
    expect(alone.virtualSeconds).toBeLessThan(2);
    const quick = await simulate({ sessions: [parent, child(100)] });
    expect(quick.virtualSeconds).toBeLessThan(2);
    const slow = await simulate({ sessions: [parent, child(100), child(7000)] });
    expect(slow.completed).toBe(3);
    expect(slow.virtualSeconds).toBeGreaterThan(7.5);
    expect(slow.virtualSeconds).toBeLessThan(8);
  });

  it('that were not called by the end are none', async () => {
    const report = await simulate({ sessions: [parent, child(100)] }, { untilMs: 200 });
    expect(report.sessions).toBe(0);
  });

  it.each([
    { session: 0, segment: 1 }, // the last one: never reached
    { session: 1, segment: 0 }, // itself
    { session: 7, segment: 0 },
  ])('cannot be called by %j', async (calledBy) => {
    const sessions = [parent, { ...child(100), calledBy }];
    await expect(simulate({ sessions })).rejects.toThrow('sessions[1].calledBy');
  });
});

describe('what is told to the scheduler', () => {
  // One waits long, and later ones need its memory.
  const sessions: SimulatedSession[] = [0, 200, 400].map((arrivalMs) => ({
    arrivalMs,
    promptTokens: 300,
    segments: [{ decodeTokens: 4, kind: 'slow', durationMs: 20_000, returnedTokens: 4 }, { decodeTokens: 4 }],
  }));
  const memory = { deviceTokens: 640, hostTokens: 2048, contextTokens: 512 };

  it.each(['preserve', 'swap', 'discard'] as const)('a wish to %s is followed', async (disposition) => {
    const { stats } = await simulate(
      { sessions: sessions.slice(0, 1) },
      { ...memory, policy: 'infercept', dispositions: { slow: disposition } },
    );
    const counted = { preserve: 'preserved', swap: 'swapped', discard: 'discarded' } as const;
    expect(stats.interceptions[counted[disposition]]).toBe(1);
  });

  it('wishes name kinds of the workload and dispositions', async () => {
    await expect(simulate({ sessions }, { dispositions: { fast: 'swap' } })).rejects.toThrow('dispositions["fast"]');
    await expect(simulate({ sessions }, { dispositions: { slow: 'keep' as never } })).rejects.toThrow('preserve');
  });

  it('known durations change what adaptive gives up, and nothing under discard', async () => {
    const mix = { rate: 3, seconds: 60 };
    const run = (policy: 'adaptive' | 'discard', durationsKnown: boolean) =>
      simulate({ mix }, { policy, durationsKnown, untilMs: 80_000 });
    const [hidden, known] = await Promise.all([run('adaptive', false), run('adaptive', true)]);
    expect(known.stats).not.toEqual(hidden.stats);
    const [one, other] = await Promise.all([run('discard', false), run('discard', true)]);
    expect(other).toEqual(one);
  });

  it('what is learnt of durations changes what adaptive gives up, and is learnt unless told otherwise', async () => {
    const mix = { rate: 3, seconds: 60 };
    const run = (options: SimulateOptions) => simulate({ mix }, { ...options, untilMs: 80_000 });
    const [usual, learned, elapsed] = await Promise.all([
      run({}),
      run({ durationsLearned: true }),
      run({ durationsLearned: false }),
    ]);
    expect(learned).toEqual(usual);
    expect(elapsed.stats).not.toEqual(usual.stats);
  });

  it('returned tokens count as output for the paper', async () => {
    const report = await simulate({ sessions: sessions.slice(0, 1) });
    // 8 sampled, 4 returned.
    expect(report.normalizedLatencyMs.p50 / report.paperLatencyMs.p50).toBeCloseTo(12 / 8, 6);
  });
});

describe('traces', () => {
  const header = '{"format":"infercept-trace","version":1}';
  const session = fc.record(
    {
      arrivalMs: fc.double({ min: 0, max: 1e9, noNaN: true }).map((value) => value + 0), // no -0: JSON has none
      promptTokens: fc.integer({ min: 1, max: 1e6 }),
      prefix: fc.integer({ min: 0, max: 3 }),
      priority: fc.integer({ min: -2, max: 2 }),
      segments: fc.array(
        fc.record(
          {
            decodeTokens: fc.integer({ min: 1, max: 100 }),
            kind: fc.string(),
            durationMs: fc.integer({ min: 0, max: 10_000 }),
            returnedTokens: fc.integer({ min: 0, max: 100 }),
          },
          { requiredKeys: ['decodeTokens'] },
        ),
        { minLength: 1, maxLength: 4 },
      ),
    },
    { requiredKeys: ['arrivalMs', 'promptTokens', 'segments'] },
  );

  it('survive being written and read', () => {
    fc.assert(
      fc.property(fc.array(session), (sessions) => {
        expect(parseTrace(formatTrace(sessions as SimulatedSession[]))).toEqual(sessions);
      }),
    );
    const agents = agentSessions({ rate: 1, seconds: 20 });
    expect(parseTrace(formatTrace(agents))).toEqual(agents);
  });

  it('are one line per session', () => {
    const text = formatTrace([{ arrivalMs: 0, promptTokens: 3, segments: [{ decodeTokens: 2 }] }]);
    expect(text).toBe(`${header}\n{"arrivalMs":0,"promptTokens":3,"segments":[{"decodeTokens":2}]}\n`);
  });

  it.each([
    ['', /line 1 is not JSON/],
    ['{"format":"other"}', /first line must be/],
    [`${header}\n{"arrivalMs":0`, /line 2 is not JSON/],
    [`${header}\n\n{"arrivalMs":0,"promptTokens":0,"segments":[]}`, /line 3.promptTokens/],
    [`${header}\n{"arrivalMs":0,"promptTokens":1,"segments":[]}`, /line 2 lacks something/],
    [`${header}\n{"arrivalMs":0,"promptTokens":1,"segments":[{"kind":"x"}]}`, /line 2 lacks something/],
    [
      `${header}\n{"arrivalMs":0,"promptTokens":1,"segments":[{"decodeTokens":1}],"text":"secret"}`,
      /Unknown option `text`/,
    ],
  ])('%j is refused', (text, message) => {
    expect(() => parseTrace(text)).toThrow(message);
  });
});
