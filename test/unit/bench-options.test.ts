// The command line of benchmarks: what is read, and what is said of wrong ones.
import { describe, expect, it } from 'vitest';
import { readOptions, UsageError } from '../../bench/support/options.js';

describe('options of benchmarks', () => {
  it('have defaults', () => {
    const { threads, ...flags } = readOptions('kernels', []);
    expect(flags).toEqual({ quick: false, json: false, save: false });
    expect(threads).toBeGreaterThan(0);
  });

  it('are read', () => {
    const args = ['--quick', '--threads', '3', '--types', 'Q4_K, q8_0,q4_k', '--policies=preserve', '--kv-tokens=4096'];
    const options = readOptions('agents', args, ['types', 'policies', 'kv-tokens']);
    expect(options).toMatchObject({ quick: true, threads: 3, types: ['q4_k', 'q8_0'], policies: ['preserve'] });
    expect(options.kvTokens).toBe(4096);
  });

  it.each([
    [['--tpyes', 'q4_k'], /--tpyes/],
    [['--policies', 'adaptive'], /--policies/], // of another benchmark
    [['--threads', '0'], /--threads is '0'; it must be an integer from 1 to 1024/],
    [['--threads', 'two'], /--threads is 'two'/],
    [['--types', 'q4_k,,q8_0'], /--types: '' is not a name/],
    [['--types', '../q8_0'], /not a name/],
    [['q8_0'], /'q8_0' is not an option/],
  ])('%j is refused with the usage', (args, message) => {
    const read = () => readOptions('peer', args, ['types']);
    expect(read).toThrow(UsageError);
    expect(read).toThrow(message);
    expect(read).toThrow('usage: npm run bench -- peer');
  });

  it('name the policies there are', () => {
    expect(() => readOptions('agents', ['--policies', 'best'], ['policies'])).toThrow(
      /'best' is not a policy; .*adaptive/,
    );
  });
});
