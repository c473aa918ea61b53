import { byteLetters } from '../token-bytes.js';
import type { Merge, TokenizerModel } from '../tokenizer-source.js';
import type { IdList } from './id-list.js';
import { createMerging, partsOfMerge, readMerges } from './merging.js';
import { byteTokens, type WordModel } from './model.js';

/** Words up to this length are remembered. Longer ones hardly come again. */
const rememberedLengthMax = 48;
/** Remembered words; when there are more, all are forgotten. About 5 MB; a map of more takes milliseconds each time it grows. */
const rememberedMax = 32_768;
/** Parts of long words up to this length are merged at once. */
const shortLengthMax = 512;
/** A character is at most that many letters or bytes for each of its UTF-16 units. */
const symbolsPerUnit = 3;
/** Merges, letters of parts, and characters or symbols between two steps of a long word: each some tenths of a millisecond. */
const mergesPerStep = 1024;
const partLettersPerStep = 2048;
const lettersPerStep = 4096;

/**
 * Byte-pair encoding: of all neighbouring tokens that may be merged, those of the lowest rank go first, from left to right.
 * @param bytesAsLetters words are read as bytes, each a letter
 */
export function createMergingModel(model: TokenizerModel, bytesAsLetters: boolean): WordModel {
  const vocabulary = new Map(Object.entries(model.vocab as Record<string, number>));
  const affixes = affixesOf(model);
  const bytes = model.byte_fallback === true ? byteTokens((token) => vocabulary.get(token)) : undefined;
  const merges = readMerges(model.merges ?? [], vocabulary, affixes.prefix.length);
  const symbolsOf = createSymbols(model, { vocabulary, affixes, bytes });
  const lettersOf = bytesAsLetters ? byteLetters : (text: string): string => text;
  // Without tokens for bytes, neighbouring unknown characters may become one.
  const isAlikeInParts = affixes.prefix === '' && affixes.suffix === '' && (bytesAsLetters || bytes !== undefined);
  const partsOf = isAlikeInParts
    ? createSeamFinder(model.merges ?? [])
    : (text: string): Iterable<string | undefined> => [text];
  /** Ids by word, and by part of a long word; they differ where words are taken whole. */
  const words = createMemory();
  const parts = createMemory();
  /** For all short texts: one is merged at a time. */
  const shortMerging = createMerging(merges, shortLengthMax * symbolsPerUnit ** 2);

  function mergeAtOnce(letters: string): number[] {
    shortMerging.clear();
    for (const symbol of symbolsOf(letters)) shortMerging.add(symbol);
    shortMerging.advance(Number.POSITIVE_INFINITY);
    const found: number[] = [];
    shortMerging.result(0, shortMerging.count(), (id) => found.push(id));
    return found;
  }

  function encodeShort(word: string): number[] {
    const letters = lettersOf(word);
    const whole = model.ignore_merges === true ? vocabulary.get(letters) : undefined;
    return whole === undefined ? mergeAtOnce(letters) : [whole];
  }

  function* encodeLong(word: string, ids: IdList): Iterator<void> {
    let letters = '';
    for (const piece of slicesOf(word)) {
      letters += lettersOf(piece);
      yield;
    }
    const whole = model.ignore_merges === true ? vocabulary.get(letters) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    let done = 0;
    for (const part of partsOf(letters)) {
      if (part === undefined) {
        yield;
        continue;
      }
      if (part.length > shortLengthMax) yield* mergeInSteps(part, ids);
      else if (part.length > rememberedLengthMax) for (const id of mergeAtOnce(part)) ids.push(id);
      else parts.append(part, mergeAtOnce, ids);
      // Each is as much work as some letters more.
      done += part.length + 8;
      if (done < partLettersPerStep) continue;
      done = 0;
      yield;
    }
  }

  function* mergeInSteps(letters: string, ids: IdList): Generator<void> {
    const merging = createMerging(merges, bytes === undefined ? letters.length : Buffer.byteLength(letters));
    for (const symbol of symbolsOf(letters)) {
      merging.add(symbol);
      if (merging.count() % mergesPerStep === 0) yield;
    }
    while (!merging.advance(mergesPerStep)) yield;
    for (let begin = 0; begin < merging.count(); begin += lettersPerStep) {
      merging.result(begin, begin + lettersPerStep, (id) => ids.push(id));
      yield;
    }
  }

  return {
    encode(word, ids) {
      if (word.length > rememberedLengthMax) return encodeLong(word, ids);
      words.append(word, encodeShort, ids);
      return undefined;
    },
  };
}

/**
 * What short texts became. The ids of all are in one array: tens of thousands of small ones that stay would make each collection
 * of garbage take long.
 */
function createMemory() {
  /** Where in `stored` there are the number of a text's ids, and they. */
  const known = new Map<string, number>();
  const stored = new Int32Array(rememberedMax * 4);
  let used = 0;

  function remember(text: string, ids: readonly number[]): void {
    if (known.size >= rememberedMax || used + ids.length >= stored.length) {
      known.clear();
      used = 0;
    }
    known.set(text, used);
    stored[used++] = ids.length;
    for (const id of ids) stored[used++] = id;
  }

  return {
    /** Appends the ids of `text`, which `make` makes if they are not known. */
    append(text: string, make: (text: string) => readonly number[], ids: IdList): void {
      let at = known.get(text);
      if (at === undefined) {
        remember(text, make(text));
        at = known.get(text)!;
      }
      const end = at + stored[at]!;
      while (at < end) ids.push(stored[++at]!);
    },
  };
}

/** A long text in pieces, none of which begins or ends within a character. */
function* slicesOf(text: string): Iterable<string> {
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + lettersPerStep, text.length);
    if (isLowSurrogate(text.charCodeAt(end))) end--;
    yield text.slice(start, end);
    start = end;
  }
}

/** What is written before each character of a word but the first, and behind the last one. */
interface Affixes {
  prefix: string;
  suffix: string;
}

function affixesOf({ continuing_subword_prefix: prefix, end_of_word_suffix: suffix }: TokenizerModel): Affixes {
  return { prefix: typeof prefix === 'string' ? prefix : '', suffix: typeof suffix === 'string' ? suffix : '' };
}

/** The ids that a word begins with: those of its characters, or of their bytes. */
type Symbols = (word: string) => Iterable<number>;

interface SymbolSettings {
  vocabulary: ReadonlyMap<string, number>;
  affixes: Affixes;
  /** The tokens of bytes, for characters that are no tokens. */
  bytes: Int32Array | undefined;
}

function createSymbols(model: TokenizerModel, { vocabulary, affixes, bytes }: SymbolSettings): Symbols {
  const { prefix, suffix } = affixes;
  const unknown = typeof model.unk_token === 'string' ? vocabulary.get(model.unk_token) : undefined;
  const fuses = model.fuse_unk === true;
  const encoder = new TextEncoder();

  return function* (word) {
    let position = 0;
    let afterUnknown = false;
    for (const character of word) {
      const begun = position === 0 ? character : prefix + character;
      position += character.length;
      const id = vocabulary.get(position === word.length ? begun + suffix : begun);
      if (id !== undefined) yield id;
      else if (bytes !== undefined) for (const byte of encoder.encode(character)) yield bytes[byte]!;
      else if (unknown !== undefined && !(fuses && afterUnknown)) yield unknown;
      afterUnknown = id === undefined && bytes === undefined;
    }
  };
}

/**
 * Finds where no merge can ever join two characters: no token has them side by side. A text without words (families of
 * SentencePiece do not cut it) falls into short parts there, and the result is the same. Undefined where none was found for long.
 */
function createSeamFinder(merges: readonly Merge[]): (text: string) => Iterable<string | undefined> {
  let neighbours: ReadonlySet<number> | undefined;
  return function* (text) {
    // Byte-level vocabularies meet long words seldom, and some never.
    neighbours ??= neighboursIn(merges);
    let start = 0;
    for (let index = 1; index < text.length; index++) {
      if ((index - start) % lettersPerStep === 0) yield undefined;
      if (neighbours.has(pairOf(text, index)) || isLowSurrogate(text.charCodeAt(index))) continue;
      yield text.slice(start, index);
      start = index;
    }
    yield text.slice(start);
  };
}

function neighboursIn(merges: readonly Merge[]): Set<number> {
  const pairs = new Set<number>();
  for (const merge of merges) {
    const token = partsOfMerge(merge).join('');
    for (let index = 1; index < token.length; index++) pairs.add(pairOf(token, index));
  }
  return pairs;
}

/** The characters before and at `index`, as one number. */
function pairOf(text: string, index: number): number {
  // Two 16-bit units; as a signed number it stays small.
  return (text.charCodeAt(index - 1) << 16) | text.charCodeAt(index);
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
