import type { Merge } from '../tokenizer-source.js';
import { createNumberQueue } from './number-queue.js';
import { createPairTable } from './pair-table.js';

/** Which tokens are merged, and in which order. */
export interface Merges {
  /** The order of the merge of two tokens; -1 if they are not merged. */
  rankOf(left: number, right: number): number;
  /** What a merge makes, by its order. */
  results: Int32Array;
}

/** @param prefixLength of what the right token begins with, but what they make has not */
export function readMerges(
  merges: readonly Merge[],
  vocabulary: ReadonlyMap<string, number>,
  prefixLength: number,
): Merges {
  const table = createPairTable(merges.length);
  const results = new Int32Array(merges.length);
  for (const [rank, merge] of merges.entries()) {
    const [left, right] = partsOfMerge(merge);
    const ids = [left, right, left + right.slice(prefixLength)].map((token) => vocabulary.get(token));
    if (ids.includes(undefined)) continue;
    table.set(ids[0]!, ids[1]!, rank);
    results[rank] = ids[2]!;
  }
  return { rankOf: table.get, results };
}

export function partsOfMerge(merge: Merge): readonly [string, string] {
  if (typeof merge !== 'string') return merge;
  // A token may begin with a space, but holds none.
  const space = merge.indexOf(' ', 1);
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** The merging of one word: first all its symbols are added, then it advances. */
export interface Merging {
  add(symbol: number): void;
  /** Does at most that many merges; true when there are no more. */
  advance(mergesMax: number): boolean;
  /** Calls `use` with what there is in place of the symbols from one position to another, in their order. */
  result(begin: number, end: number, use: (symbol: number) => void): void;
  /** How many symbols were added. */
  count(): number;
  /** Forgets all symbols: another word can be merged. */
  clear(): void;
}

/** Ranks are below this, and so are positions: both together are an exact number. */
const positionsMax = 2 ** 32;

/** @param symbolsMax how many a word has at most. Arrays that grow are copied, which takes long for a word of a megabyte. */
export function createMerging({ rankOf, results }: Merges, symbolsMax: number): Merging {
  /** -1 where a symbol was merged into one before it. */
  const symbols = new Int32Array(symbolsMax);
  /** Position of the symbol before and behind; merged ones are skipped. */
  const before = new Int32Array(symbolsMax);
  const behind = new Int32Array(symbolsMax);
  let count = 0;
  /** The merges to come, by rank and then position, as one number. Some are out of date. */
  const queue = createNumberQueue();

  function offer(position: number): void {
    const next = position < 0 ? count : behind[position]!;
    if (next >= count) return;
    const rank = rankOf(symbols[position]!, symbols[next]!);
    if (rank >= 0) queue.push(rank * positionsMax + position);
  }

  function merge(rank: number, position: number): void {
    const next = behind[position]!;
    if (symbols[position]! < 0 || next >= count) return;
    const present = rankOf(symbols[position]!, symbols[next]!);
    if (present < 0 || results[present] !== results[rank]) return;
    symbols[position] = results[rank]!;
    symbols[next] = -1;
    behind[position] = behind[next]!;
    if (behind[next]! < count) before[behind[next]!] = position;
    offer(before[position]!);
    offer(position);
  }

  return {
    add(symbol) {
      const position = count++;
      symbols[position] = symbol;
      before[position] = position - 1;
      behind[position] = position + 1;
      if (position > 0) offer(position - 1);
    },
    advance(mergesMax) {
      for (let merges = 0; merges < mergesMax; merges++) {
        const first = queue.pop();
        if (first < 0) return true;
        const rank = Math.floor(first / positionsMax);
        merge(rank, first - rank * positionsMax);
      }
      return false;
    },
    result(begin, end, use) {
      for (let position = begin; position < Math.min(end, count); position++) {
        if (symbols[position]! >= 0) use(symbols[position]!);
      }
    },
    count: () => count,
    clear() {
      count = 0;
    },
  };
}
