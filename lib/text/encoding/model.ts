import type { IdList } from './id-list.js';

/** The last step of encoding: the tokens of one word. There is one file for each kind of model. */
export interface WordModel {
  /**
   * Appends the ids of a word's tokens. Long words take steps, so that other work can go on between them; most words are
   * done before the first one.
   */
  encode(word: string, ids: IdList): Iterator<void> | undefined;
}

/** Ids of `<0x00>` to `<0xFF>`, for characters without a token; undefined unless there are all of them. */
export function byteTokens(idOf: (token: string) => number | undefined): Int32Array | undefined {
  const ids = Array.from({ length: 256 }, (_, byte) => idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`));
  return ids.every((id) => id !== undefined) ? Int32Array.from(ids as number[]) : undefined;
}
