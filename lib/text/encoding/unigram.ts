import type { TokenizerModel } from '../tokenizer-source.js';
import type { IdList } from './id-list.js';
import { byteTokens, type WordModel } from './model.js';
import { createPairTable } from './pair-table.js';

/** How much worse an unknown character is than the worst token. SentencePiece's number. */
const unknownPenalty = 10;
/** Characters between two steps of a long word: well below a millisecond. */
const charactersPerStep = 2048;

/** Elements of an array that are set between two steps. */
const filledPerStep = 65_536;

/** Finds all tokens that a text goes on with. */
interface Trie {
  root: number;
  /** -1 if no token goes on so. */
  next(node: number, unit: number): number;
  /** The token that ends at a node; -1 if none does. */
  tokenAt(node: number): number;
}

/** Of all ways to spell a word with tokens, the one whose scores (logarithms of probabilities) have the largest sum. */
export function createUnigramModel(model: TokenizerModel): WordModel {
  const vocabulary = model.vocab as [string, number][];
  const scores = Float64Array.from(vocabulary, ([, score]) => score);
  const unknown = Number.isInteger(model.unk_id) ? (model.unk_id as number) : undefined;
  // Equally good ways are common, so rounding decides.
  const round = model.singlePrecision === true ? Math.fround : (sum: number) => sum;
  const worst = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY);
  const unknownScore = round(worst - unknownPenalty);
  const hidden = new Set(model.hidden);
  const trie = createTrie(vocabulary.map(([token], id) => (hidden.has(id) ? '' : token)));
  const ids = new Map(vocabulary.map(([token], id) => [token, id]));
  const bytes = model.byte_fallback === true ? byteTokens((token) => ids.get(token)) : undefined;
  const encoder = new TextEncoder();

  function appendUnknown(text: string, out: IdList): void {
    if (bytes !== undefined) for (const byte of encoder.encode(text)) out.push(bytes[byte]!);
    else if (unknown !== undefined) out.push(unknown);
    else throw new Error('a character has no token, and the tokenizer none for unknown ones');
  }

  /** Token and beginning of the best way to each position. */
  function* spell(word: string, out: IdList): Iterator<void> {
    const best = new Float64Array(word.length + 1);
    for (let begin = 0; begin < best.length; begin += filledPerStep) {
      if (begin > 0) yield;
      best.fill(Number.NEGATIVE_INFINITY, begin, begin + filledPerStep);
    }
    const begins = new Int32Array(word.length + 1);
    const tokens = new Int32Array(word.length + 1);
    best[0] = 0;
    let count = 0;
    for (let start = 0, length = 0; start < word.length; start += length) {
      length = word.codePointAt(start)! > 0xffff ? 2 : 1;
      let hasCharacter = false;
      const offer = (end: number, token: number, score: number): void => {
        const sum = round(best[start]! + score);
        if (sum <= best[end]!) return;
        best[end] = sum;
        begins[end] = start;
        tokens[end] = token;
      };
      for (let end = start, node = trie.root; end < word.length; ) {
        node = trie.next(node, word.charCodeAt(end++));
        if (node < 0) break;
        const token = trie.tokenAt(node);
        if (token < 0) continue;
        offer(end, token, scores[token]!);
        hasCharacter ||= end === start + length;
      }
      if (!hasCharacter) offer(start + length, -1, unknownScore);
      if (++count % charactersPerStep === 0) yield;
    }
    yield* append(word, { begins, tokens }, out);
  }

  function* append(
    word: string,
    { begins, tokens }: { begins: Int32Array; tokens: Int32Array },
    out: IdList,
  ): Generator<void> {
    // From the end back to the beginning, each token's beginning is turned into the end of the one behind it.
    let count = 0;
    for (let end = word.length, behind = -1; end >= 0; ) {
      const begin = end === 0 ? -1 : begins[end]!;
      begins[end] = behind;
      behind = end;
      end = begin;
      if (++count % charactersPerStep === 0) yield;
    }
    let unknownFrom = -1;
    const endUnknown = (end: number): void => {
      if (unknownFrom >= 0) appendUnknown(word.slice(unknownFrom, end), out);
      unknownFrom = -1;
    };
    for (let begin = 0, end = begins[0]!; end >= 0; begin = end, end = begins[end]!) {
      if (++count % charactersPerStep === 0) yield;
      const isUnknown = tokens[end] === -1 || tokens[end] === unknown;
      if (isUnknown && unknownFrom < 0) unknownFrom = begin;
      if (isUnknown) continue;
      endUnknown(begin);
      out.push(tokens[end]!);
    }
    endUnknown(word.length);
  }

  return {
    encode(word, out) {
      const steps = spell(word, out);
      return steps.next().done ? undefined : steps;
    },
  };
}

function createTrie(tokens: readonly string[]): Trie {
  const edges = createPairTable(tokens.reduce((total, { length }) => total + length, 0));
  const ends: number[] = [-1];
  for (const [id, token] of tokens.entries()) {
    let node = 0;
    for (let index = 0; index < token.length; index++) {
      const unit = token.charCodeAt(index);
      let next = edges.get(node, unit);
      if (next < 0) {
        next = ends.push(-1) - 1;
        edges.set(node, unit, next);
      }
      node = next;
    }
    // What has no text spells nothing.
    if (node !== 0) ends[node] = id;
  }
  const table = Int32Array.from(ends);
  return { root: 0, next: edges.get, tokenAt: (node) => table[node]! };
}
