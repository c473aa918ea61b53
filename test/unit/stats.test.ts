// Statistics by kind: names for the native side's numbers, and nothing lost on the way.
import { describe, expect, it } from 'vitest';
import type { NativeKindWaste, NativeStats } from '../../lib/native-stats.js';
import { toEngineStats } from '../../lib/stats.js';

const none = { preserve: 0, swap: 0, discard: 0 };

function row(kind: number, recompute: number, interceptions = none): NativeKindWaste {
  const zeros = { preservedIdle: 0, stall: 0, swapWait: 0, pausedUnwanted: 0, regret: none };
  return { kind, recompute, interceptions, ...zeros };
}

function statsOf(...kinds: NativeKindWaste[]) {
  const recompute = kinds.reduce((sum, kind) => sum + kind.recompute, 0);
  const zeros = { preservedIdle: 0, stall: 0, swapWait: 0, pausedUnwanted: 0, paperPreserved: 0 };
  const native = { waste: { ...zeros, recompute, capacity: 1e6 }, kinds } as NativeStats;
  return toEngineStats(native, [
    ['tool:a', 1],
    ['human', 2],
  ]);
}

describe('waste by kind', () => {
  it('has the names of kinds, and one for preemptions', () => {
    const { byKind } = statsOf(row(1, 10), row(2, 20), row(0, 30), row(2 ** 32 - 1, 40)).waste;
    expect(Object.entries(byKind).map(([kind, { recompute }]) => [kind, recompute])).toEqual([
      ['tool:a', 10],
      ['human', 20],
      ['unknown', 30],
      ['preemption', 40],
    ]);
  });

  it('counts kinds whose names are forgotten as unknown', () => {
    const twice = { ...none, swap: 2 };
    const { waste, interceptions } = statsOf(row(0, 1, twice), row(77, 2, twice), row(78, 4));
    expect(waste.byKind).toMatchObject({
      unknown: { recompute: 7, interceptions: { preserve: 0, swap: 4, discard: 0 } },
    });
    expect(interceptions).toEqual({ total: 4, preserved: 0, swapped: 4, discarded: 0 });
  });

  it('leaves out what has cost nothing, but not what has only happened', () => {
    const { byKind } = statsOf(row(0, 1e-6), row(1, 0, { ...none, preserve: 1 }), row(2, 0)).waste;
    expect(Object.keys(byKind)).toEqual(['tool:a']);
  });
});
