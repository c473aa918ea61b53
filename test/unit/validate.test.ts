// Options: what is accepted, and what the message of a refusal names.
import { describe, expect, it } from 'vitest';
import { checkLoadOptions, sampling, toNativeSampling } from '../../lib/options.js';
import { bytes, editDistance, integer, options, string } from '../../lib/validate.js';

describe('bytes', () => {
  it.each([
    [1024, 1024],
    ['512MiB', 512 * 2 ** 20],
    ['4 GiB', 4 * 2 ** 30],
    ['1.5GB', 1.5e9],
    ['10kb', 10_000],
    ['7', 7],
  ])('%j is %d', (text, expected) => {
    expect(bytes(text, 'size')).toBe(expected);
  });

  it.each(['', 'MiB', '1 XiB', '-1', '1e3', -1, 1.5, Number.NaN, {}, null])('%j is refused', (value) => {
    expect(() => bytes(value, 'kvCache.bytes')).toThrowError(/`kvCache.bytes` is .*512MiB/);
  });
});

describe('edit distance', () => {
  it.each([
    ['', '', 0],
    ['kitten', 'sitting', 3],
    ['abc', '', 3],
    ['flaw', 'lawn', 2],
  ])('of %j and %j is %d', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe('options', () => {
  const read = options({ maxTokens: integer(1, 10), name: string, inner: options({ deep: integer(0) }) });

  it('keeps what is given, and absent is as undefined', () => {
    expect(read({ maxTokens: 3, name: undefined }, 'run')).toEqual({ maxTokens: 3 });
    expect(read(undefined, 'run')).toEqual({});
  });

  it.each([
    [{ maxToken: 1 }, /Unknown option `maxToken` in `run`. Did you mean `maxTokens`\?/],
    [{ MAXTOKENS: 1 }, /Did you mean `maxTokens`/],
    [{ zzzzzzzz: 1 }, /Allowed: maxTokens, name, inner/],
    [{ inner: { deeep: 1 } }, /`deeep` in `run.inner`. Did you mean `deep`/],
    [{ inner: { deep: -1 } }, /`run.inner.deep` is -1; it must be an integer of at least 0/],
    [{ maxTokens: 11 }, /from 1 to 10/],
    [{ toString: 1 }, /Unknown option `toString`/],
    [[], /`run` is an array/],
    [null, /`run` is null/],
  ])('%j: %s', (value, message) => {
    expect(() => read(value, 'run')).toThrowError(message);
  });
});

describe('load options', () => {
  it.each(['auto', 'cpu', 'cuda', 'cuda:1'])('takes device %s', (device) => {
    expect(checkLoadOptions({ device }).device).toBe(device);
  });

  it.each([{ device: 'cuda:' }, { policy: 'best' }, { kvCache: { blockTokens: 0 } }, { signal: 1 }])(
    'refuses %j',
    (value) => {
      expect(() => checkLoadOptions(value)).toThrowError(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    },
  );

  it('takes a size of the KV cache that the load chooses', () => {
    expect(checkLoadOptions({ kvCache: { bytes: 'auto' } }).kvCache).toEqual({ bytes: undefined });
    expect(checkLoadOptions({ kvCache: { bytes: '1KiB' } }).kvCache).toEqual({ bytes: 1024 });
  });

  it('offers the host tier for the disk', () => {
    expect(() => checkLoadOptions({ swap: { disk: { path: '/x', bytes: 1 } } })).toThrowError(/swap\.hostBytes/);
  });
});

describe('sampling', () => {
  it('is greedy by default', () => {
    expect(toNativeSampling({})).toMatchObject({
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
      logprobs: -1,
    });
  });

  it('has a seed of 64 bits', () => {
    expect(sampling({ seed: 2n ** 64n - 1n }, 's').seed).toBe(2n ** 64n - 1n);
    expect(() => sampling({ seed: 2n ** 64n }, 's')).toThrowError(/seed/);
    expect(() => sampling({ seed: -1 }, 's')).toThrowError(/seed/);
  });

  it('takes biases by token id', () => {
    const native = toNativeSampling(sampling({ logitBias: { 7: -100, 9: 2 } }, 's'));
    expect(Array.from(native.logitBiasTokens)).toEqual([7, 9]);
    expect(Array.from(native.logitBiasValues)).toEqual([-100, 2]);
    expect(() => sampling({ logitBias: { hello: 1 } }, 's')).toThrowError(/logitBias/);
  });
});
