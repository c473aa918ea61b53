// Goal: long texts are cut only where it changes nothing. Method: the corpus of many scripts in pieces, normalized and taken
// apart into graphemes piece by piece and as a whole.
import { expect, test } from 'vitest';
import { findSeam } from '../../lib/text/encoding/seams.js';
import { corpusLines } from './support/families.js';

function cut(text: string, length: number): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length; start += pieces.at(-1)!.length) {
    pieces.push(text.slice(start, findSeam(text, start + length)));
  }
  return pieces;
}

const lines = corpusLines().slice(0, 3000);
const text = lines.join('');

test.each(['NFC', 'NFD', 'NFKC', 'NFKD'])('what %s makes of pieces is what it makes of the whole', (form) => {
  const pieces = cut(text, 8);
  expect(pieces.length).toBeGreaterThan(2_000);
  expect(pieces.map((piece) => piece.normalize(form)).join('') === text.normalize(form)).toBe(true);
});

test('no grapheme is in two pieces', () => {
  const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });
  const graphemes = (part: string): string[] => Array.from(segmenter.segment(part), ({ segment }) => segment);
  const wrong = lines.filter((line) => {
    const pieces = cut(line, 4);
    return pieces.flatMap(graphemes).length !== graphemes(line).length;
  });
  expect(wrong).toEqual([]);
});

test('a text of marks alone is cut all the same, between characters', () => {
  const pieces = cut('\u{1e8d0}'.repeat(5_000), 1001);
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces.every((piece) => /^\p{M}+$/u.test(piece))).toBe(true);
});
