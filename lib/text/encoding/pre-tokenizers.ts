import { byteLetters } from '../token-bytes.js';
import type { TokenizerPart } from '../tokenizer-source.js';
import { matchesOf } from './matches.js';
import { patternOf } from './normalizers.js';
import { translatePattern } from './pattern.js';

/**
 * A text whose words are merged apart from each other. An empty one is no word: long texts have them where others may go on, so
 * that nobody waits for the next word of a text that has none.
 */
export interface Piece {
  text: string;
  /** Whether it stands at the beginning of the whole text. */
  first: boolean;
}

/** Cuts texts into words. Lazily: long texts are encoded in slices. */
export type PreTokenizer = (pieces: Iterable<Piece>) => Iterable<Piece>;

export interface PreTokenization {
  cut: PreTokenizer;
  /** Whether words are to be read as bytes, each byte as a letter; false if `cut` has done so, or nobody wants it. */
  bytesAsLetters: boolean;
}

/** GPT-2's pattern, built into byte-level pre-tokenizers. */
const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const punctuation = '[\\p{P}!-\\/:-@\\[-`\\{-~]';

/** Makes what `pre_tokenizer` of a tokenizer.json says. Throws an `Error` for what is not known. */
export function createPreTokenizer(part: TokenizerPart | null): PreTokenization {
  const parts = flatten(part);
  const last = parts.at(-1);
  // The usual place. Letters are made only for words that were not met before.
  const bytesAsLetters = last?.type === 'ByteLevel';
  const steps = parts.map((step) => stepOf(step, step === last));
  return { cut: (pieces) => steps.reduce((cut, step) => step(cut), pieces), bytesAsLetters };
}

function flatten(part: TokenizerPart | null): TokenizerPart[] {
  if (part === null) return [];
  return part.type === 'Sequence' ? ((part.pretokenizers ?? []) as TokenizerPart[]).flatMap(flatten) : [part];
}

function stepOf(part: TokenizerPart, isLast: boolean): PreTokenizer {
  switch (part.type) {
    case 'Split':
      return splitter(patternOf(part.pattern), String(part.behavior), part.invert === true);
    case 'ByteLevel':
      return byteLevel(part, isLast);
    case 'Metaspace':
      return metaspace(part);
    case 'Digits':
      return splitter(/\p{N}/gu, part.individual_digits === true ? 'Isolated' : 'Contiguous');
    case 'Punctuation':
      return splitter(new RegExp(punctuation, 'gv'), String(part.behavior ?? 'Isolated'));
    case 'Whitespace':
      return splitter(translatePattern('[\\w\\u200c\\u200d]+|[^\\w\\u200c\\u200d\\s]+'), 'Removed', true);
    case 'WhitespaceSplit':
      return splitter(/\p{White_Space}/gu, 'Removed');
    case 'CharDelimiterSplit':
      return splitter(patternOf({ String: part.delimiter }), 'Removed');
    case 'BertPreTokenizer': {
      const words = splitter(/\p{White_Space}/gu, 'Removed');
      const signs = splitter(new RegExp(punctuation, 'gv'), 'Isolated');
      return (pieces) => signs(words(pieces));
    }
    default:
      throw new Error(`pre-tokenizer ${part.type} is not known`);
  }
}

/** @param isLast then letters are made later */
function byteLevel({ add_prefix_space: prefix, use_regex: cuts }: TokenizerPart, isLast: boolean): PreTokenizer {
  const begun = prefix === true ? mapped((text) => (text.startsWith(' ') ? text : ` ${text}`)) : undefined;
  const words = cuts === false ? undefined : splitter(translatePattern(gpt2Pattern), 'Isolated');
  const letters = isLast ? undefined : mapped(byteLetters);
  const steps = [begun, words, letters].filter((step) => step !== undefined);
  return (pieces) => steps.reduce((cut, step) => step(cut), pieces);
}

/** Spaces become a sign, and words begin with it. */
function metaspace(part: TokenizerPart): PreTokenizer {
  const sign = String(part.replacement ?? '▁');
  const scheme = part.prepend_scheme ?? (part.add_prefix_space === false ? 'never' : 'always');
  const mark = mapped((text, first) => {
    const marked = text.replaceAll(' ', sign);
    const prepend = (scheme === 'always' || (scheme === 'first' && first)) && !marked.startsWith(sign);
    return prepend ? sign + marked : marked;
  });
  if (part.split === false) return mark;
  const words = splitter(patternOf({ String: sign }), 'MergedWithNext');
  return (pieces) => words(mark(cutAtSpaces(pieces)));
}

/** Characters that are marked at a time. */
const markedLength = 16_384;

/** Long texts in parts. Words begin at spaces, so parts do. */
function* cutAtSpaces(pieces: Iterable<Piece>): Iterable<Piece> {
  for (const { text, first } of pieces) {
    if (text === '') yield { text, first };
    for (let start = 0, end = 0; start < text.length; start = end) {
      const space = text.indexOf(' ', start + markedLength);
      end = space < 0 ? text.length : space;
      yield { text: text.slice(start, end), first: first && start === 0 };
    }
  }
}

function mapped(change: (text: string, first: boolean) => string): PreTokenizer {
  return function* (pieces) {
    for (const { text, first } of pieces) yield { text: text === '' ? '' : change(text, first), first };
  };
}

/** What a pattern matches, and what is between. */
interface Part {
  text: string;
  isMatch: boolean;
}

/** @param behavior what becomes of matches; @param invert exchanges matches and what is between */
function splitter(pattern: RegExp, behavior: string, invert = false): PreTokenizer {
  const join = Object.hasOwn(behaviors, behavior) ? behaviors[behavior]! : undefined;
  if (join === undefined) throw new Error(`a split that does "${behavior}" is not known`);
  return function* (pieces) {
    for (const { text, first } of pieces) {
      let isFirst = first;
      if (text === '') yield { text, first };
      for (const word of join(partsOf(text, pattern, invert))) {
        yield { text: word, first: isFirst };
        if (word !== '') isFirst = false;
      }
    }
  };
}

/** Where others may go on. */
const nothing: Part = { text: '', isMatch: false };

function* partsOf(text: string, pattern: RegExp, invert: boolean): Iterable<Part> {
  let end = 0;
  for (const match of matchesOf(text, pattern)) {
    if (match === undefined) {
      yield nothing;
      continue;
    }
    if (match.index > end) yield { text: text.slice(end, match.index), isMatch: invert };
    yield { text: match.text, isMatch: !invert };
    end = match.index + match.text.length;
  }
  if (end < text.length) yield { text: text.slice(end), isMatch: invert };
}

/** What a split makes of matches, by the names of tokenizer.json. */
const behaviors: Readonly<Record<string, (parts: Iterable<Part>) => Iterable<string>>> = {
  *Isolated(parts) {
    for (const { text } of parts) yield text;
  },
  *Removed(parts) {
    for (const { text, isMatch } of parts) if (!isMatch) yield text;
  },
  *Contiguous(parts) {
    yield* joined(parts, (part, previous) => part.isMatch === previous.isMatch);
  },
  *MergedWithPrevious(parts) {
    yield* joined(parts, (part, previous) => part.isMatch && !previous.isMatch);
  },
  *MergedWithNext(parts) {
    yield* joined(parts, (part, previous) => !part.isMatch && previous.isMatch);
  },
};

function* joined(parts: Iterable<Part>, joins: (part: Part, previous: Part) => boolean): Iterable<string> {
  let word = '';
  let previous: Part | undefined;
  for (const part of parts) {
    if (part === nothing) {
      yield '';
      continue;
    }
    if (previous !== undefined && !joins(part, previous)) {
      yield word;
      word = '';
    }
    word += part.text;
    previous = part;
  }
  yield word;
}
