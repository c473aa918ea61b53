import { byteLetters } from '../token-bytes.js';
import type { TokenizerPart } from '../tokenizer-source.js';
import { createCharsmap } from './charsmap.js';
import { matchesOf } from './matches.js';
import { literalPattern, translatePattern } from './pattern.js';
import { findSeam } from './seams.js';

/** What happens to a text before it is cut into words. In steps, for long texts. */
export type Normalizer = (text: string) => Generator<void, string>;

/** Makes what `normalizer` of a tokenizer.json says. Throws an `Error` for what is not known. */
export function createNormalizer(part: TokenizerPart | null): Normalizer {
  if (part === null) return atOnce((text) => text);
  const make = Object.hasOwn(makers, part.type) ? makers[part.type] : undefined;
  if (make === undefined) throw new Error(`normalizer ${part.type} is not known`);
  return make(part);
}

/** Work that is fast, or that has to see the whole text. */
function atOnce(change: (text: string) => string): Normalizer {
  // biome-ignore lint/correctness/useYield: there is one step only.
  return function* (text) {
    return change(text);
  };
}

/** Less than a millisecond's work: on some scripts several passes take a tenth of a microsecond for a character. */
const plainBlockLength = 4096;
/** The same where graphemes are looked at one by one. */
const graphemeBlockLength = 1024;

/** Slow work on characters and their neighbours. */
function inBlocks(change: (text: string) => string, blockLength = plainBlockLength): Normalizer {
  return function* (text) {
    if (text.length <= blockLength) return change(text);
    const blocks: string[] = [];
    for (let start = 0; start < text.length; ) {
      const end = findSeam(text, start + blockLength);
      blocks.push(change(text.slice(start, end)));
      start = end;
      yield;
    }
    return blocks.join('');
  };
}

/** Matches between two steps: some tenths of a millisecond. */
const matchesPerStep = 1024;

/** What a pattern matches becomes `content`. */
function replaced(pattern: RegExp, content: string): Normalizer {
  // What looks around itself may have to see the whole text.
  if (/[\^$]|\(\?[<=!]|\\b/i.test(pattern.source)) return atOnce((text) => text.replace(pattern, () => content));
  return function* (text) {
    const blocks: string[] = [];
    let parts: string[] = [];
    let end = 0;
    for (const match of matchesOf(text, pattern)) {
      if (match === undefined) {
        yield;
        continue;
      }
      parts.push(text.slice(end, match.index), content);
      end = match.index + match.text.length;
      if (parts.length < 2 * matchesPerStep) continue;
      blocks.push(parts.join(''));
      parts = [];
      yield;
    }
    return `${blocks.join('')}${parts.join('')}${text.slice(end)}`;
  };
}

const unicodeForm = (form: string) => () => inBlocks((text) => text.normalize(form));

const makers: Readonly<Record<string, (part: TokenizerPart) => Normalizer>> = {
  Sequence(part) {
    const steps = ((part.normalizers ?? []) as TokenizerPart[]).map(createNormalizer);
    return function* (text) {
      let normalized = text;
      for (const step of steps) normalized = yield* step(normalized);
      return normalized;
    };
  },
  NFC: unicodeForm('NFC'),
  NFD: unicodeForm('NFD'),
  NFKC: unicodeForm('NFKC'),
  NFKD: unicodeForm('NFKD'),
  Lowercase: () => inBlocks(lowercase),
  StripAccents: () => inBlocks((text) => text.replace(/\p{M}/gu, '')),
  Strip: ({ strip_left: left, strip_right: right }) =>
    atOnce((text) => {
      const begun = left === false ? text : text.replace(whiteSpaceStart, '');
      return right === false ? begun : begun.replace(whiteSpaceEnd, '');
    }),
  Prepend: ({ prepend }) => atOnce((text) => (text.length > 0 ? `${String(prepend)}${text}` : text)),
  Replace({ pattern, content }) {
    return replaced(patternOf(pattern), String(content));
  },
  ByteLevel: () => inBlocks(byteLetters),
  Precompiled: (part) => inBlocks(createCharsmap(part), graphemeBlockLength),
  BertNormalizer: (part) => inBlocks(bertNormalizer(part)),
};

/** Unicode's idea of white space; JavaScript's differs. */
export const whiteSpaceStart = /^\p{White_Space}+/u;
export const whiteSpaceEnd = /(?<!\p{White_Space})\p{White_Space}+$/u;

/** A pattern is written as text, or as a regular expression. */
export function patternOf(pattern: unknown): RegExp {
  const { String: text, Regex: source } = (pattern ?? {}) as { String?: unknown; Regex?: unknown };
  if (typeof text === 'string') return literalPattern(text);
  if (typeof source === 'string') return translatePattern(source);
  throw new Error('a pattern is neither a String nor a Regex');
}

/** Letter by letter: at the end of a word, JavaScript would give a sigma its final form. */
function lowercase(text: string): string {
  return text.includes('Σ') ? text.split('Σ').map(lowercase).join('σ') : text.toLowerCase();
}

/** Ideographs, which BERT sets apart by spaces. The ranges are those of BERT's own code. */
const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bertNormalizer(part: TokenizerPart): (text: string) => string {
  const steps: ((text: string) => string)[] = [];
  if (part.clean_text !== false) {
    steps.push((text) =>
      text.replace(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\ufffd]/gu, '').replace(/\p{White_Space}/gu, ' '),
    );
  }
  if (part.handle_chinese_chars !== false) steps.push((text) => text.replace(ideographs, ' $& '));
  if (part.strip_accents ?? part.lowercase !== false)
    steps.push((text) => text.normalize('NFD').replace(/\p{Mn}/gu, ''));
  if (part.lowercase !== false) steps.push(lowercase);
  return (text) => steps.reduce((normalized, step) => step(normalized), text);
}
