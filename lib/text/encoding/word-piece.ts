import type { TokenizerModel } from '../tokenizer-source.js';
import type { WordModel } from './model.js';

/** From the left, the longest token each time; a word that cannot be spelled so is unknown as a whole. */
export function createWordPieceModel(model: TokenizerModel): WordModel {
  const vocabulary = new Map(Object.entries(model.vocab as Record<string, number>));
  const unknown = vocabulary.get(String(model.unk_token));
  if (unknown === undefined)
    throw new Error(`the token for unknown words, ${String(model.unk_token)}, is not in the vocabulary`);
  const prefix = String(model.continuing_subword_prefix ?? '##');
  const charactersMax = Number(model.max_input_chars_per_word ?? 100);

  function spell(characters: readonly string[]): number[] | undefined {
    const ids: number[] = [];
    for (let start = 0, end = 0; start < characters.length; start = end) {
      let id: number | undefined;
      for (end = characters.length; end > start; end--) {
        id = vocabulary.get((start > 0 ? prefix : '') + characters.slice(start, end).join(''));
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  }

  return {
    encode(word, ids) {
      // A character has at most two units: what is much too long need not be taken apart.
      const characters = word.length > 2 * charactersMax ? undefined : Array.from(word);
      const found = characters && characters.length <= charactersMax ? spell(characters) : undefined;
      for (const id of found ?? [unknown]) ids.push(id);
      return undefined;
    },
  };
}
