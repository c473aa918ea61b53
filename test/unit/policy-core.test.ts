// infercept/policy: decisions for an engine that is not ours. What comes out is compared with the formulas of
// addon/sched/waste.h, worked out by hand for costs that are easy to calculate with; the native code is the real one.
import { describe, expect, it } from 'vitest';
import {
  argumentShape,
  type CostProfile,
  InferceptError,
  type PausedContext,
  PolicyCore,
  type PolicyCoreOptions,
  type PolicyName,
  profiles,
  type StepLoad,
} from '../../lib/policy.js';
import { simulate } from '../../lib/simulate.js';

/** A block of 16 tokens has 1600 bytes, and takes a millisecond. */
const profile: CostProfile = {
  step: 0.0105,
  perQueryToken: 50e-6,
  perKvToken: 0,
  copyStart: 0,
  secondsPerCopiedByte: 1e-3 / 1600,
  bytesPerToken: 100,
  saturationTokens: 400,
};
const load: StepLoad = { shortageBlocks: 0, runningTokens: 10_000, hostBlocksFree: 1000, swapOutBlocks: 10 };

const makeCore = (settings: Partial<PolicyCoreOptions> = {}) => new PolicyCore({ profile, ...settings });

function context(id: string, deviceBlocks: number, seconds: { elapsed?: number; expected?: number }): PausedContext {
  const { elapsed = 0, expected = 0 } = seconds;
  return { id, deviceBlocks, tokens: 16 * deviceBlocks, elapsedSeconds: elapsed, expectedSeconds: expected };
}

function decide(policy: PolicyName, paused: PausedContext[], more: Partial<StepLoad> = {}) {
  const decisions = makeCore({ policy }).decide({ paused, load: { ...load, ...more } });
  return decisions.map(
    ({ id, disposition, blocks, ahead }) => `${disposition} ${blocks} of ${id}${ahead > 0 ? `, copy ${ahead}` : ''}`,
  );
}

describe('waste', () => {
  const twenty = context('twenty', 20, { expected: 3 }); // 320 tokens
  const weigh = (paused: PausedContext[], more: Partial<StepLoad> = {}, settings: Partial<PolicyCoreOptions> = {}) =>
    makeCore(settings).weigh({ paused, load: { ...load, ...more } });

  it('follows the equations', () => {
    const [weighed, ...others] = weigh([twenty]);
    expect(others).toEqual([]);
    expect(weighed).toMatchObject({ id: 'twenty', residualSeconds: 3 });
    expect(weighed!.waste.preserve).toBeCloseTo(3 * 320 * 100, 6);
    // Its own memory half of the time on average, that of the 10,000 others all of it.
    expect(weighed!.waste.discard).toBeCloseTo(320 * 50e-6 * (320 / 2 + 10_000) * 100, 6);
    // 20 blocks do not fit into a budget of 10: out and in stall everybody for 40 ms.
    expect(weighed!.waste.swap).toBeCloseTo(0.04 * (10_000 + 320) * 100, 6);
  });

  it('of a swap is nothing inside the budget, if the host has the memory', () => {
    expect(weigh([twenty], { swapOutBlocks: 20 })[0]!.waste.swap).toBe(0);
    expect(weigh([twenty], { swapOutBlocks: 20, hostBlocksFree: 19 })[0]!.waste.swap).toBeGreaterThan(0);
  });

  it('of recomputing is of the whole context where blocks behind a window were released', () => {
    const windowed = { ...twenty, tokens: 3520 };
    const { preserve, discard } = weigh([windowed], {}, { windowTokens: 320 })[0]!.waste;
    expect(preserve).toBeCloseTo(3 * 320 * 100, 6);
    // Its memory grows to the window's 320 tokens and stays there; that of the 10,000 others is lost all the time.
    const held = 320 - (320 * 320) / (2 * 3520);
    expect(discard).toBeCloseTo(3520 * 50e-6 * (held + 10_000) * 100, 3);
  });

  it('counts other paused contexts, and those that are not asked about', () => {
    const paused = [twenty, context('ten', 10, { expected: 1 })];
    const [weighed] = weigh(paused, { otherPausedTokens: 5000 });
    expect(weighed!.waste.swap).toBeCloseTo(0.04 * (10_000 + 320 + 160 + 5000) * 100, 6);
  });

  it('of recomputing is only of what is on the device, behind the context that it attends to', () => {
    // 320 tokens of which the last 160 are on the host: positions 1 to 160 are computed again.
    const half: PausedContext = { ...twenty, deviceBlocks: 10 };
    const reads = (from: number, to: number) => ((to - from + 1) * (from + to)) / 2;
    const costly = { profile: { ...profile, perKvToken: 1e-7 } };
    const [weighed] = weigh([half], { runningTokens: 0 }, costly);
    expect(weighed!.waste.discard).toBeCloseTo((160 * 50e-6 + reads(161, 320) * 1e-7) * 80 * 100, 6);
  });
});

describe('policies', () => {
  it('that do the same to everybody do so in the order of the list', () => {
    const paused = [context('a', 5, {}), context('nothing', 0, {}), context('b', 7, {})];
    expect(decide('discard', paused)).toEqual(['discard 5 of a', 'discard 7 of b']);
    expect(decide('discard-requeue', paused)).toEqual(['discard 5 of a', 'discard 7 of b']);
    expect(decide('swap', paused)).toEqual(['swap 5 of a', 'swap 7 of b']);
    expect(decide('preserve', paused)).toEqual([]);
  });

  // Preserving b, c and a for as long again as they have lasted wastes 1,600,000, 1,280,000 and 16 byte-seconds, recomputing
  // them 8,064, 6,442 and 8,064.
  const three = [
    context('a', 10, { elapsed: 0.001, expected: 9 }),
    context('b', 10, { elapsed: 100, expected: 9 }),
    context('c', 8, { elapsed: 100, expected: 5 }),
  ];

  it('infercept swaps the largest waste inside the budget, and weighs the rest by elapsed times', () => {
    expect(decide('infercept', three)).toEqual(['swap 10 of b', 'discard 8 of c']);
    const [b, c] = makeCore({ policy: 'infercept' }).decide({ paused: three, load });
    expect(b!.waste.preserve).toBeCloseTo(1_600_000, 6);
    expect(b!.waste.discard).toBeCloseTo(160 * 50e-6 * (80 + 10_000) * 100, 6);
    expect(c!.waste.discard).toBeCloseTo(128 * 50e-6 * (64 + 10_000) * 100, 6);
    expect([b!.residualSeconds, c!.residualSeconds]).toEqual([9, 5]);
  });

  it('infercept moves a part of what is larger than the budget, nothing without a host', () => {
    expect(decide('infercept', three, { swapOutBlocks: 4 })).toEqual(['swap 4 of b', 'discard 8 of c']);
    expect(decide('infercept', three, { hostBlocksFree: 0 })).toEqual(['discard 10 of b', 'discard 8 of c']);
  });

  it('may copy for as long as the step takes', () => {
    const large = [context('a', 100, { elapsed: 100 })];
    const { swapOutBlocks: _, ...free } = load;
    const blocks = (more: Partial<StepLoad>) =>
      makeCore({ policy: 'infercept' }).decide({ paused: large, load: { ...free, ...more } })[0]!.blocks;
    expect(blocks({ queryTokens: 100 })).toBe(15); // 10.5 + 100 * 0.05 ms
    expect(blocks({ queryTokens: 5000 })).toBe(30); // no more than 400 tokens in a step
    expect(blocks({})).toBe(30); // idle
  });

  it('adaptive gives up nothing while nobody wants it, then what is missing of what waits longest', () => {
    const two = [context('soon', 10, { expected: 1 }), context('late', 10, { expected: 60 })];
    expect(decide('adaptive', two)).toEqual([]);
    expect(decide('adaptive', two, { shortageBlocks: 4 })).toEqual(['swap 4 of late']);
  });

  it('adaptive copies ahead what will be wanted, and then moves it out without the link', () => {
    const two = [context('soon', 10, { expected: 1 }), context('late', 10, { expected: 60 })];
    expect(decide('adaptive', two, { aheadBlocks: 6 })).toEqual(['preserve 0 of late, copy 6']);
    const backed = [two[0]!, { ...two[1]!, backedBlocks: 6 }];
    expect(decide('adaptive', backed, { shortageBlocks: 3, swapOutBlocks: 0 })).toEqual(['swap 3 of late']);
    // Back before it could be brought back: a millisecond per block, behind those that wait already.
    expect(decide('adaptive', two, { aheadBlocks: 20, swapOutBlocks: 20, returningBlocks: 1500 })).toEqual([
      'preserve 0 of late, copy 10',
    ]);
  });

  it('adaptive discards when the host is full: what is there first', () => {
    const full = { shortageBlocks: 100, hostBlocksFree: 0 };
    const late = context('late', 10, { expected: 60 });
    expect(decide('adaptive', [late], full)).toEqual(['discard 10 of late']);
    expect(decide('adaptive', [{ ...late, tokens: 16 * 15, hostBlocks: 5 }], full)).toEqual(['discard 5 of late']);
  });

  it('of equal contexts take the first', () => {
    const equal = ['a', 'b', 'c'].map((id) => context(id, 10, { elapsed: 50, expected: 60 }));
    expect(decide('adaptive', equal, { shortageBlocks: 1 })).toEqual(['swap 1 of a']);
    expect(decide('infercept', equal)).toEqual(['swap 10 of a', 'discard 10 of b', 'discard 10 of c']);
  });

  it('are asked about thousands at once, and again with the same answer', () => {
    const paused = Array.from({ length: 5000 }, (_, index) => ({
      ...context(`${index}`, 1 + (index % 60), { elapsed: (index * 7919) % 100 }),
      kind: `tool:${index % 12}`,
    }));
    const core = makeCore({ policy: 'infercept' });
    const decisions = core.decide({ paused, load: { ...load, swapOutBlocks: 500 } });
    expect(core.decide({ paused, load: { ...load, swapOutBlocks: 500 } })).toEqual(decisions);
    expect(new Set(decisions.map(({ id }) => id)).size).toBe(decisions.length);
    const swapped = decisions.filter(({ disposition }) => disposition === 'swap');
    expect(swapped.reduce((sum, { blocks }) => sum + blocks, 0)).toBe(500);
    // The rule, by each decision's own numbers: the largest min(preserve, discard) first, as soon as all are swapped or not.
    const smaller = decisions.map(({ waste }) => Math.min(waste.preserve, waste.discard));
    expect(smaller).toEqual([...smaller].sort((a, b) => b - a));
    for (const { disposition, waste } of decisions) {
      if (disposition === 'discard') expect(waste.discard).toBeLessThanOrEqual(waste.preserve);
    }
  });
});

describe('the scheduler in simulation', () => {
  // A session of 2,010 tokens pauses beside one that decodes on from 3,000, and there is no host. Under `infercept` its context
  // is worth keeping for a while; the core says for how long, and the scheduler has to agree.
  const device = { ...profiles['a100-gpt-j-6b'], hostTokens: 0 };
  const core = new PolicyCore({ policy: 'infercept', profile: device });
  const paused: PausedContext = { id: 'it', tokens: 2009, deviceBlocks: 126, elapsedSeconds: 0 };
  const gives = (elapsedSeconds: number) =>
    core.decide({
      paused: [{ ...paused, elapsedSeconds }],
      load: { shortageBlocks: 0, runningTokens: 3020, queryTokens: 1 },
    });

  /** By halving. */
  function longestKept(): number {
    let [kept, given] = [0, 100];
    while (given - kept > 1e-6) {
      const middle = (kept + given) / 2;
      if (gives(middle).length === 0) kept = middle;
      else given = middle;
    }
    return kept;
  }

  async function discarded(seconds: number): Promise<number> {
    const call = { decodeTokens: 10, durationMs: 1000 * seconds, returnedTokens: 10 };
    const report = await simulate(
      {
        sessions: [
          { arrivalMs: 0, promptTokens: 2000, segments: [call, { decodeTokens: 1 }] },
          { arrivalMs: 0, promptTokens: 3000, segments: [{ decodeTokens: 200 }] },
        ],
      },
      { policy: 'infercept', profile: device, prefixCache: false },
    );
    expect(report.stats.interceptions.total).toBe(1);
    return report.stats.interceptions.discarded;
  }

  it('keeps a context for as long as the core says', async () => {
    const seconds = longestKept();
    // 93.0 ms for the arithmetic and 4.2 for reading, times half of 2,009 and 3,020, over 2,016.
    expect(seconds).toBeCloseTo(0.194, 3);
    expect(await discarded(seconds - 0.001)).toBe(0);
    // The next step begins within 11 ms.
    expect(await discarded(seconds + 0.012)).toBe(1);
  });
});

describe('durations', () => {
  it('are taken to last as long again while nothing was seen', () => {
    expect(makeCore().residual({ kind: 'tool:search', elapsedSeconds: 7 })).toBe(7);
    expect(makeCore().residual({ elapsedSeconds: 0 })).toBe(0);
  });

  it('are what they were, less what has passed', () => {
    const core = makeCore();
    core.observeInterception({ kind: 'tool:search', seconds: 10 });
    for (const kind of ['tool:search', 'tool:other', 'human']) {
      expect(core.residual({ kind, elapsedSeconds: 0 })).toBeCloseTo(10, 6);
      expect(core.residual({ kind, elapsedSeconds: 4 })).toBeCloseTo(6, 6);
    }
    expect(core.residual({ elapsedSeconds: 4 })).toBeCloseTo(6, 6);
  });

  const schema = { type: 'object', properties: { depth: { type: 'integer' } } };
  const shapeOf = (depth: number) => argumentShape({ depth }, schema);

  function learned(): PolicyCore {
    const core = makeCore({ policy: 'adaptive' });
    for (let i = 0; i < 30; i += 1) {
      core.observeInterception({ kind: 'tool:search', shape: shapeOf(1), seconds: 1 + i / 100 });
      core.observeInterception({ kind: 'tool:search', shape: shapeOf(3), seconds: 30 + i });
      core.observeInterception({ kind: 'human', seconds: 300 });
    }
    return core;
  }

  it('are learnt by kind and by the shape of arguments', () => {
    const core = learned();
    const residual = (depth: number) =>
      core.residual({ kind: 'tool:search', shape: shapeOf(depth), elapsedSeconds: 0.1 });
    expect(residual(1)).toBeLessThan(2);
    expect(residual(3)).toBeGreaterThan(25);
    expect(residual(2)).toBeGreaterThan(residual(1));
    expect(residual(2)).toBeLessThan(residual(3));
    expect(core.residual({ kind: 'human:approval', elapsedSeconds: 0 })).toBeGreaterThan(200);
  });

  it('decide who gives way, unless somebody has said better', () => {
    const paused = [
      { ...context('deep', 10, { elapsed: 0.5 }), kind: 'tool:search', shape: shapeOf(3) },
      { ...context('flat', 10, { elapsed: 0.5 }), kind: 'tool:search', shape: shapeOf(1) },
    ];
    const short = { ...load, shortageBlocks: 3 };
    const [decision] = learned().decide({ paused, load: short });
    expect(decision).toMatchObject({ id: 'deep', disposition: 'swap', blocks: 3 });
    expect(decision!.residualSeconds).toBeGreaterThan(25);
    const announced = [{ ...paused[0]!, expectedSeconds: 0.2 }, paused[1]!];
    expect(learned().decide({ paused: announced, load: short })).toMatchObject([{ id: 'flat' }]);
  });

  it('are kept as JSON, under the names that an engine has, and taken up again', () => {
    const core = learned();
    const estimates = core.estimates();
    expect(JSON.parse(JSON.stringify(estimates))).toEqual(estimates);
    expect(estimates.keys.map(({ key }) => key).sort()).toEqual([
      '',
      'human',
      'tool',
      'tool:search',
      'tool:search(depth=1)',
      'tool:search(depth=3)',
    ]);
    const next = makeCore({ estimates });
    expect(next.estimates()).toEqual(estimates);
    for (const elapsedSeconds of [0, 0.5, 1.1, 40]) {
      const wait = { kind: 'tool:search', shape: shapeOf(3), elapsedSeconds };
      // Six digits are kept.
      expect(next.residual(wait) / core.residual(wait)).toBeCloseTo(1, 4);
    }
  });
});

describe('costs', () => {
  const steps = Array.from({ length: 300 }, (_, index) => ({
    queryTokens: 1 + ((index * 37) % 400),
    kvTokens: (index * 7919) % 50_000,
  }));
  const costly = { ...profile, perKvToken: 0.2e-6 };
  const seconds = (step: (typeof steps)[number]) =>
    costly.step + step.queryTokens * costly.perQueryToken + step.kvTokens * costly.perKvToken;

  it('are at first what the profile says', () => {
    const core = makeCore({ profile: costly });
    for (const step of steps) expect(core.stepSeconds(step)).toBeCloseTo(seconds(step), 9);
    expect(core.copySeconds({ direction: 'out', blocks: 7 })).toBeCloseTo(0.007, 9);
    expect(core.copyBlocksWithin({ direction: 'in', seconds: 0.0105 })).toBe(10);
    expect(core.copyBlocksWithin({ direction: 'in', seconds: 0 })).toBe(1);
    expect(core.saturationTokens).toBe(400);
    expect(core.relativeError).toBe(0);
    // Two thirds of the step are 0.0105 s / 50 µs * 2 tokens.
    expect(makeCore({ profile: { ...profile, saturationTokens: 0 } }).saturationTokens).toBe(420);
  });

  it('follow a machine that becomes half as fast', () => {
    const core = makeCore({ profile: costly });
    core.observeStep({ ...steps[0]!, seconds: 2 * seconds(steps[0]!) });
    expect(core.relativeError).toBeCloseTo(0.5 * 0.03, 6); // the first of an average over some thirty steps
    for (const step of steps) core.observeStep({ ...step, seconds: 2 * seconds(step) });
    for (const step of steps) expect(core.stepSeconds(step) / seconds(step)).toBeCloseTo(2, 1);
    expect(core.relativeError).toBeLessThan(0.02);
  });

  it('follow the link, each direction by itself', () => {
    const core = makeCore();
    for (let i = 0; i < 300; i += 1) {
      const blocks = 1 + ((i * 37) % 64);
      core.observeCopy({ direction: 'in', blocks, seconds: 0.002 * blocks });
    }
    expect(core.copySeconds({ direction: 'in', blocks: 32 })).toBeCloseTo(0.064, 2);
    expect(core.copySeconds({ direction: 'out', blocks: 32 })).toBeCloseTo(0.032, 9);
  });

  it('are data that another core takes up', () => {
    const core = makeCore({ profile: { ...costly, name: 'mine', queryTile: 4 } as CostProfile });
    for (const step of steps) core.observeStep({ ...step, seconds: 2 * seconds(step) });
    for (let blocks = 1; blocks < 60; blocks += 1)
      core.observeCopy({ direction: 'in', blocks, seconds: 0.002 * blocks });
    const fitted = core.profile();
    expect(fitted).toMatchObject({ name: 'mine', queryTile: 4, bytesPerToken: 100, saturationTokens: 400 });
    const next = makeCore({ profile: JSON.parse(JSON.stringify(fitted)) });
    for (const step of steps) expect(next.stepSeconds(step)).toBeCloseTo(core.stepSeconds(step), 9);
    for (const direction of ['in', 'out'] as const) {
      const copy = { direction, blocks: 20 };
      expect(next.copySeconds(copy)).toBeCloseTo(core.copySeconds(copy), 9);
    }
  });

  it('count what attention reads', () => {
    expect(makeCore().kvReads({ first: 100, count: 3 })).toBe(101 + 102 + 103);
    // In tiles of two: one reads up to its second token, and the last token is alone.
    expect(makeCore({ profile: { ...profile, queryTile: 2 } }).kvReads({ first: 100, count: 3 })).toBe(102 + 103);
  });

  it.each(Object.entries(profiles))('of %s are a profile', (_, device) => {
    expect(new PolicyCore({ profile: device }).stepSeconds({ queryTokens: 1, kvTokens: 0 })).toBeCloseTo(
      device.step + device.perQueryToken,
      9,
    );
  });
});

describe('what is wrong', () => {
  const core = makeCore();
  const right = context('a', 1, {});
  const ask = (wrong: object) => core.decide({ paused: [right, { ...right, ...wrong }], load });
  const asLoad = (wrong: object) => core.decide({ paused: [], load: { ...load, ...wrong } });

  it.each<[string, () => unknown]>([
    ['`profile` is undefined; it must be given', () => new PolicyCore(undefined as never)],
    ['`profile.step` is undefined; it must be given', () => makeCore({ profile: {} as never })],
    ['`profile.perKvToken` is -1; it must be', () => makeCore({ profile: { ...profile, perKvToken: -1 } })],
    ['`profile.copyIn.copyStart` is undefined', () => makeCore({ profile: { ...profile, copyIn: {} as never } })],
    ['Did you mean `policy`?', () => makeCore({ polcy: 'swap' } as never)],
    ['`policy` is "greedy"; it must be one of \'adaptive\'', () => makeCore({ policy: 'greedy' as never })],
    ['`blockTokens` is 0; it must be an integer from 1 to 1024', () => makeCore({ blockTokens: 0 })],
    ['`estimates.version` is 2', () => makeCore({ estimates: { version: 2, keys: [] } as never })],
    ['`paused` is undefined; it must be given', () => core.decide({ load } as never)],
    ['`paused` is an object; it must be an array', () => core.decide({ paused: {}, load } as never)],
    ['`load` is undefined; it must be given', () => core.decide({ paused: [] } as never)],
    ['`paused[0]` is null; it must be an object', () => core.decide({ paused: [null as never], load })],
    ['`paused[1].id` is undefined; it must be given', () => ask({ id: undefined })],
    ['`paused[1].tokens` is 1.5; it must be an integer from 0 to 4294967295', () => ask({ tokens: 1.5 })],
    ['`paused[1].deviceBlocks` is -1', () => ask({ deviceBlocks: -1 })],
    ['`paused[1].hostBlocks` is 0.5', () => ask({ hostBlocks: 0.5 })],
    ['`paused[1].backedBlocks` is 2; it must be at most its 1 device blocks', () => ask({ backedBlocks: 2 })],
    ['`paused[1].elapsedSeconds` is NaN', () => ask({ elapsedSeconds: Number.NaN })],
    ['`paused[1].expectedSeconds` is "3"', () => ask({ expectedSeconds: '3' })],
    ['`paused[1].kind` is 7; it must be a string', () => ask({ kind: 7 })],
    [
      'Unknown option `expectdSeconds` in `paused[1]`. Did you mean `expectedSeconds`?',
      () => ask({ expectdSeconds: 3 }),
    ],
    ['`load.shortageBlocks` is undefined; it must be given', () => asLoad({ shortageBlocks: undefined })],
    ['`load.hostBlocksFree` is Infinity', () => asLoad({ hostBlocksFree: Number.POSITIVE_INFINITY })],
    ['Unknown option `shortage` in `load`', () => asLoad({ shortage: 3 })],
    ['`kind` is ""', () => core.observeInterception({ kind: '', seconds: 1 })],
    ['`seconds` is -1', () => core.observeInterception({ kind: 'human', seconds: -1 })],
    ['`elapsedSeconds` is undefined', () => core.residual({ kind: 'human' } as never)],
    [
      "`direction` is \"up\"; it must be one of 'out', 'in'",
      () => core.copySeconds({ direction: 'up' as never, blocks: 1 }),
    ],
    ['`queryTokens` is undefined', () => core.observeStep({ kvTokens: 1, seconds: 1 } as never)],
  ])('is said: %s', (message, call) => {
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toSatisfy(InferceptError.isInstance);
    expect(thrown).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining(message) });
  });

  it('changes nothing', () => {
    expect(core.estimates().keys).toEqual([]);
    expect(core.relativeError).toBe(0);
  });
});
