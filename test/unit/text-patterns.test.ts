// Goal: patterns of tokenizer.json mean the same in JavaScript, and find the same in texts of any length. Method: hand-picked
// patterns whose meaning differs between the two languages; windows against `matchAll`.
import { describe, expect, test } from 'vitest';
import { matchesOf } from '../../lib/text/encoding/matches.js';
import { literalPattern, translatePattern } from '../../lib/text/encoding/pattern.js';
import { corpusLines } from './support/families.js';

const found = (pattern: string, text: string) =>
  Array.from(text.matchAll(translatePattern(pattern)), ([match]) => match);

describe('a pattern', () => {
  test.each([
    ['\\s', 'a\u0085b\ufeffc\u00a0', ['\u0085', '\u00a0']],
    ['\\d+', '12 ١٢x½', ['12', '١٢']],
    ["(?i:'s|'LL)", "'s'S'ſ'll'Ll'x", ["'s", "'S", "'ſ", "'ll", "'Ll"]],
    ['(?i:[k-l])', 'kKlLm', ['k', 'K', 'l', 'L']],
    ['a++a', 'aaa', []],
    ['a?+b', 'ab b', ['ab', 'b']],
    ['(?>a|ab)c', 'ac abc', ['ac']],
    ['a{,2}', 'aaa', ['aa', 'a', '']],
    ['[\\p{L}&&[^\\p{Han}a-c]]+', 'abcd漢xyé', ['d', 'xyé']],
    ['\\p{Han}+', 'x漢字y', ['漢字']],
    ['[^(\\s|[.,])]+', 'ab,c (d)|e', ['ab', 'c', 'd', 'e']],
    ['[]a-]+', ']-a', [']-a']],
    ['\\w+\\b', 'ab² c', ['ab²', 'c']],
    ['^.', 'a\nb', ['a', 'b']],
    ['.$', 'ab\ncd', ['b', 'd']],
    ['\\x{1F600}|\\u0041', '😀A', ['😀', 'A']],
    ['[!-/:-@\\[-`{-~]', 'a!b[c`d~', ['!', '[', '`', '~']],
  ])('%s', (pattern, text, matches) => {
    expect(found(pattern, text)).toEqual(matches);
  });

  test.each(['(a', 'a)', '[a', '\\k', '(?x)a', '\\'])('that cannot be translated: %s', (pattern) => {
    expect(() => translatePattern(pattern)).toThrow(SyntaxError);
  });

  test('of plain text', () => {
    expect('a.b[c'.replace(literalPattern('.b['), '_')).toBe('a_c');
    expect('x 😀'.replace(literalPattern('😀'), '_')).toBe('x _');
  });
});

const allMatches = (text: string, pattern: RegExp) =>
  Array.from(matchesOf(text, pattern)).filter((match) => match !== undefined);

describe('matches in a long text', () => {
  const long = corpusLines().join('\n').slice(0, 300_000);

  test.each([
    "'s| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    '\\d{1,3}(?=(?:\\d{3})*\\b)',
    '(?=(\\d{3})+(?!\\d))',
    '漢',
    '\\s+$',
    '^.',
  ])('%s', (source) => {
    const pattern = translatePattern(source);
    const whole = Array.from(long.matchAll(pattern), (match) => ({ index: match.index, text: match[0] }));
    expect(allMatches(long, pattern)).toEqual(whole);
  });

  test('a word of many windows is whole, up to a limit', () => {
    const pattern = translatePattern('a+|b');
    const lengths = (text: string) => allMatches(text, pattern).map((match) => match.text.length);
    expect(lengths(`b${'a'.repeat(100_000)}b`)).toEqual([1, 100_000, 1]);
    const cut = lengths(`b${'a'.repeat(5_000_000)}b`);
    expect(cut.reduce((total, length) => total + length, 0)).toBe(5_000_002);
    expect(Math.max(...cut)).toBeGreaterThan(100_000);
  });
});
