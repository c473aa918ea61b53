import { spellingPattern } from '../sections.js';
import type { AddedToken, TokenizerDefinition } from '../tokenizer-source.js';
import type { IdList } from './id-list.js';
import { createMergingModel } from './merging-model.js';
import type { WordModel } from './model.js';
import { createNormalizer } from './normalizers.js';
import { createPreTokenizer, type Piece } from './pre-tokenizers.js';
import { createUnigramModel } from './unigram.js';
import { createWordPieceModel } from './word-piece.js';

/**
 * Text to ids as `tokenizers` does it: added tokens are found, what is between them is normalized, cut into words, and each
 * word becomes tokens. All of it in steps, so that others can work between them; whoever takes the steps decides how many.
 */
export interface Encoder {
  /** Appends the ids of `text`. Done when the iterator is. */
  steps(text: string, ids: IdList): Iterator<void>;
}

/** Half surrogates become U+FFFD, as in UTF-8. Node has the method, TypeScript's library for ES2023 has not. */
function wellFormed(text: string): string {
  return (text as string & { toWellFormed(): string }).toWellFormed();
}

/** Added tokens between two steps. */
const tokensPerStep = 256;
/** Characters between two steps, a word counted as some more: some tens of microseconds if the words were met before. */
const charactersPerStep = 2048;
const charactersOfWord = 4;

/**
 * @param model as {@link createWordModel} makes it of this definition, or of one that differs in what comes before words
 * Throws an `Error` for a part that is not known, a `SyntaxError` for a pattern that cannot be translated.
 */
export function createEncoder(definition: TokenizerDefinition, model: WordModel): Encoder {
  const normalize = createNormalizer(definition.normalizer);
  const { cut } = createPreTokenizer(definition.pre_tokenizer);
  const cutRaw = createTokenCutter(definition.added_tokens.filter(({ normalized }) => normalized !== true));
  const normalized = (text: string): string => {
    const steps = normalize(text);
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  };
  const cutNormalized = createTokenCutter(
    definition.added_tokens
      .filter(({ normalized }) => normalized === true)
      .map((token) => (token.escaped === true ? token : { ...token, content: normalized(token.content) })),
  );

  function* encodePiece(piece: Piece, ids: IdList): Generator<void> {
    let characters = 0;
    for (const { text } of cut([piece])) {
      if (text === '') {
        yield;
        continue;
      }
      const steps = model.encode(text, ids);
      if (steps !== undefined) while (!steps.next().done) yield;
      characters += text.length + charactersOfWord;
      if (characters < charactersPerStep) continue;
      characters = 0;
      yield;
    }
  }

  return {
    *steps(text, ids) {
      let first = true;
      let tokens = 0;
      const whole = wellFormed(text);
      if (text.length > charactersPerStep) yield;
      for (const raw of cutRaw(whole)) {
        const normalized = typeof raw === 'number' ? raw : yield* normalize(raw);
        // Of a long text, what is done with the whole of it takes a millisecond each.
        if (text.length > charactersPerStep) yield;
        for (const section of typeof normalized === 'number' ? [normalized] : cutNormalized(normalized)) {
          if (section === '') continue;
          if (typeof section === 'string') yield* encodePiece({ text: section, first }, ids);
          else ids.push(section);
          if (++tokens % tokensPerStep === 0) yield;
          first = false;
        }
      }
    },
  };
}

/** The large part of an encoder. Throws an `Error` for a kind of model that is not known. */
export function createWordModel({ model, pre_tokenizer: preTokenizer }: TokenizerDefinition): WordModel {
  const { bytesAsLetters } = createPreTokenizer(preTokenizer);
  const type = model.type ?? (Array.isArray(model.vocab) ? 'Unigram' : 'BPE');
  if (type === 'BPE') return createMergingModel(model, bytesAsLetters);
  if (type === 'Unigram') return createUnigramModel(model);
  if (type === 'WordPiece') return createWordPieceModel(model);
  throw new Error(`model ${type} is not known`);
}

/** Finds added tokens, at each place the longest. */
function createTokenCutter(tokens: readonly AddedToken[]): (text: string) => Iterable<string | number> {
  if (tokens.length === 0) return (text) => [text];
  const ids = new Map(tokens.map(({ content, id }) => [content, id]));
  ids.delete('');
  const pattern = spellingPattern([...ids.keys()]);
  return function* (text) {
    let end = 0;
    for (const match of text.matchAll(pattern)) {
      yield text.slice(end, match.index);
      yield ids.get(match[0])!;
      end = match.index + match[0].length;
    }
    yield text.slice(end);
  };
}
