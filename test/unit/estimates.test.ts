// Names under which durations are learnt, and the JSON in which they are kept: bounded tables, and errors that say what is
// wrong where. That an engine learns and takes up what another has learnt is in test/integration/estimates.test.ts.
import { describe, expect, it } from 'vitest';
import { estimates, parseEstimates, toNativeDurations } from '../../lib/estimates.js';
import { familyOf, KindTable, kindsMax } from '../../lib/kind-table.js';

describe('KindTable', () => {
  it('numbers every level once', () => {
    const kinds = new KindTable();
    const path = kinds.path('tool:search', 'depth=3');
    expect(path).toEqual({ family: 1, kind: 2, shape: 3 });
    expect(kinds.path('tool:search', 'depth=1')).toEqual({ family: 1, kind: 2, shape: 4 });
    expect(kinds.path('human')).toEqual({ family: 5, kind: 0, shape: 0 });
    expect(kinds.path('human:approval')).toEqual({ family: 5, kind: 6, shape: 0 });
  });

  it.each([
    ['human', 'human'],
    ['model:critic', 'model'],
    ['environment:shell', 'environment'],
    ['tool:calculator', 'tool'],
    ['calculator', 'tool'],
    ['humane', 'tool'],
    ['x:human', 'tool'],
  ])('takes %j for a kind of %j', (kind, family) => expect(familyOf(kind)).toBe(family));

  it('gives the place of what was not used for longest away, under a new number', () => {
    const kinds = new KindTable();
    const first = kinds.path('tool:a', 'first');
    for (let index = 0; kinds.entries().length < kindsMax - 1; index += 1) kinds.path('tool:a', `shape ${index}`);
    const next = kinds.path('tool:a', 'new');
    expect(next).toEqual({ family: 1, kind: 2, shape: first.shape + kindsMax });
    // In use, however old: never lost.
    expect(kinds.path('tool:a')).toEqual({ family: 1, kind: 2, shape: 0 });
    expect(kinds.path('tool:a', 'first').shape).not.toBe(first.shape);
    expect(kinds.entries()).toHaveLength(kindsMax - 1);
    expect(new Set(kinds.entries().map(([, id]) => id % kindsMax)).size).toBe(kindsMax - 1);
  });

  it('finds what it knows without numbering what it does not', () => {
    const kinds = new KindTable();
    kinds.path('tool:search', 'depth=3');
    const before = kinds.entries();
    expect(kinds.find('tool:search', 'depth=3')).toEqual({ family: 1, kind: 2, shape: 3 });
    expect(kinds.find('tool:other', 'depth=3')).toEqual({ family: 1, kind: 0, shape: 0 });
    expect(kinds.find('human')).toEqual({ family: 0, kind: 0, shape: 0 });
    expect(kinds.entries()).toEqual(before);
  });

  it('cuts names that are too long to keep', () => {
    const kinds = new KindTable();
    expect(kinds.id('x'.repeat(5000))).toBe(kinds.id('x'.repeat(6000)));
    expect(kinds.entries()[0]![0]).toHaveLength(1024);
  });
});

describe('estimates', () => {
  const good = {
    version: 1,
    keys: [
      { key: '', durations: [[12.5, 3]] },
      { key: 'tool', durations: [[12.5, 3]] },
    ],
  };

  it('pass as they are, and to the native side and back', () => {
    const checked = estimates(JSON.parse(JSON.stringify(good)), 'estimates');
    expect(checked).toEqual(good);
    const kinds = new KindTable();
    const native = toNativeDurations(checked, kinds);
    expect(native).toEqual([
      { kind: 0, seconds: Float64Array.of(0.0125), weights: Float64Array.of(3) },
      { kind: 1, seconds: Float64Array.of(0.0125), weights: Float64Array.of(3) },
    ]);
    const json = JSON.stringify(
      native.map(({ kind, seconds, weights }) => ({ kind, bins: [...seconds].map((mean, i) => [mean, weights[i]]) })),
    );
    expect(parseEstimates(json, kinds.entries())).toEqual(good);
    expect(toNativeDurations(undefined, kinds)).toEqual([]);
  });

  it('leave out what has no name any more', () => {
    expect(parseEstimates('[{"kind":7,"bins":[[1,1]]},{"kind":8,"bins":[[1,1]]}]', [['tool', 8]])).toEqual({
      version: 1,
      keys: [{ key: 'tool', durations: [[1000, 1]] }],
    });
  });

  const many = (count: number) => Array.from({ length: count }, (_, index) => ({ key: `${index}`, durations: [] }));
  it.each([
    [7, '`estimates` is 7; it must be an object'],
    [{ keys: [] }, '`estimates.version` is undefined; it must be 1'],
    [{ version: 2, keys: [] }, '`estimates.version` is 2; it must be 1'],
    [{ version: 1, kyes: [] }, 'Did you mean `keys`?'],
    [{ version: 1, keys: {} }, '`estimates.keys` is an object; it must be an array'],
    [{ version: 1, keys: many(4097) }, '`estimates.keys.length` is 4097; it must be at most 4096'],
    [{ version: 1, keys: [{ durations: [] }] }, '`estimates.keys[0].key` is undefined; it must be given'],
    [{ version: 1, keys: [{ key: 5 }] }, '`estimates.keys[0].key` is 5; it must be a string'],
    [{ version: 1, keys: [{ key: 'x'.repeat(1025) }] }, '`estimates.keys[0].key.length` is 1025'],
    [{ version: 1, keys: [{ key: 'a', durations: [[1]] }] }, '`estimates.keys[0].durations[0]` is an array'],
    [{ version: 1, keys: [{ key: 'a', durations: [[-1, 1]] }] }, '`estimates.keys[0].durations[0][0]` is -1'],
    [{ version: 1, keys: [{ key: 'a', durations: [[1, Number.NaN]] }] }, '`estimates.keys[0].durations[0][1]` is NaN'],
    [
      { version: 1, keys: [{ key: 'a', durations: new Array(63).fill([1, 1]) }] },
      '`estimates.keys[0].durations.length`',
    ],
  ])('of a wrong form are refused by name: %j', (value, message) => {
    let thrown: unknown;
    try {
      estimates(value, 'estimates');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining(message) });
  });
});
