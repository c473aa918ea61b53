import type { Merge } from '../tokenizer-source.js';
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
  /** What there is in place of the symbols from one position to another. */
  result(begin?: number, end?: number): number[];
}

/** Ranks are below this, and so are positions: both together are an exact number. */
const positionsMax = 2 ** 32;

export function createMerging({ rankOf, results }: Merges): Merging {
  /** -1 where a symbol was merged into one before it. */
  const symbols: number[] = [];
  /** Position of the symbol before and behind; merged ones are skipped. */
  const before: number[] = [];
  const behind: number[] = [];
  /** The merges to come, by rank and then position, as one number. Some are out of date. */
  const queue = createNumberQueue();

  function offer(position: number): void {
    const next = position < 0 ? symbols.length : behind[position]!;
    if (next >= symbols.length) return;
    const rank = rankOf(symbols[position]!, symbols[next]!);
    if (rank >= 0) queue.push(rank * positionsMax + position);
  }

  function merge(rank: number, position: number): void {
    const next = behind[position]!;
    if (symbols[position]! < 0 || next >= symbols.length) return;
    const present = rankOf(symbols[position]!, symbols[next]!);
    if (present < 0 || results[present] !== results[rank]) return;
    symbols[position] = results[rank]!;
    symbols[next] = -1;
    behind[position] = behind[next]!;
    if (behind[next]! < symbols.length) before[behind[next]!] = position;
    offer(before[position]!);
    offer(position);
  }

  return {
    add(symbol) {
      const position = symbols.push(symbol) - 1;
      before.push(position - 1);
      behind.push(position + 1);
      if (position > 0) offer(position - 1);
    },
    advance(mergesMax) {
      for (let count = 0; count < mergesMax; count++) {
        const first = queue.pop();
        if (first === undefined) return true;
        const rank = Math.floor(first / positionsMax);
        merge(rank, first - rank * positionsMax);
      }
      return false;
    },
    result: (begin, end) => symbols.slice(begin, end).filter((symbol) => symbol >= 0),
  };
}

/** A binary heap: the smallest number comes first. */
function createNumberQueue() {
  const heap: number[] = [];
  return {
    push(value: number): void {
      let index = heap.length;
      heap.push(value);
      while (index > 0) {
        const parent = (index - 1) >> 1;
        if (heap[parent]! <= value) break;
        heap[index] = heap[parent]!;
        index = parent;
      }
      heap[index] = value;
    },
    pop(): number | undefined {
      const smallest = heap[0];
      const value = heap.pop();
      if (heap.length === 0 || value === undefined) return smallest;
      let index = 0;
      for (;;) {
        let child = 2 * index + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
        if (heap[child]! >= value) break;
        heap[index] = heap[child]!;
        index = child;
      }
      heap[index] = value;
      return smallest;
    },
  };
}
