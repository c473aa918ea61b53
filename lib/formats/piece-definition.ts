import type { AddedToken, TokenizerDefinition, TokenizerPart } from '../text/tokenizer-source.js';

/** Kinds of pieces: SentencePiece's numbers, which are also the values of `tokenizer.ggml.token_type`. */
export const pieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Vocabulary {
  tokens: readonly string[];
  /** Of {@link pieceType}; empty if the file does not say. */
  types: ArrayLike<number>;
}

/** A vocabulary of SentencePiece, and how it normalizes. */
export interface PieceSettings {
  model: 'bpe' | 'unigram';
  scores: ArrayLike<number>;
  /** Whether a text begins with a space that is not its own. */
  addsPrefix: boolean;
  /** Whether spaces at the ends go, and several in a row become one. */
  removesExtraSpaces: boolean;
  /** SentencePiece's compiled map, as base64. */
  charsmap?: string | undefined;
}

/** What tokenizer.json would say of a vocabulary of SentencePiece. */
export function pieceDefinition(vocabulary: Vocabulary, settings: PieceSettings): TokenizerDefinition {
  return {
    normalizer: { type: 'Sequence', normalizers: normalizers(settings) },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
      ],
    },
    model:
      settings.model === 'bpe' ? mergingModel(vocabulary, settings.scores) : unigramModel(vocabulary, settings.scores),
    added_tokens: addedTokens(vocabulary).map(asNormalized),
  };
}

function normalizers({ addsPrefix, removesExtraSpaces, charsmap }: PieceSettings): TokenizerPart[] {
  const replace = (pattern: { String: string } | { Regex: string }, content: string): TokenizerPart => ({
    type: 'Replace',
    pattern,
    content,
  });
  return [
    ...(charsmap ? [{ type: 'Precompiled', precompiled_charsmap: charsmap, algorithm: 'sentencepiece' }] : []),
    ...(removesExtraSpaces ? [replace({ Regex: '\\A +| +\\z' }, ''), replace({ Regex: ' {2,}' }, ' ')] : []),
    ...(addsPrefix ? [{ type: 'Prepend', prepend: '▁' }] : []),
    replace({ String: ' ' }, '▁'),
  ];
}

function mergingModel(vocabulary: Vocabulary, scores: ArrayLike<number>): TokenizerDefinition['model'] {
  const unknown = unknownPiece(vocabulary);
  return {
    type: 'BPE',
    vocab: vocabularyObject(vocabulary),
    merges: mergesFromScores(vocabulary, scores),
    byte_fallback: true,
    fuse_unk: true,
    ...(unknown >= 0 && { unk_token: vocabulary.tokens[unknown]! }),
  };
}

function unigramModel(vocabulary: Vocabulary, scores: ArrayLike<number>): TokenizerDefinition['model'] {
  const { tokens, types } = vocabulary;
  const unknown = unknownPiece(vocabulary);
  return {
    type: 'Unigram',
    vocab: tokens.map((token, id): [string, number] => [token, scores[id]!]),
    hidden: tokens.flatMap((_, id) => (isSpelled(types[id]) ? [] : [id])),
    singlePrecision: true,
    byte_fallback: tokens.some((_, id) => types[id] === pieceType.byte),
    ...(unknown >= 0 && { unk_id: unknown }),
  };
}

function unknownPiece({ tokens, types }: Vocabulary): number {
  return tokens.findIndex((_, id) => types[id] === pieceType.unknown);
}

/** Whether text can spell the piece. */
function isSpelled(type: number | undefined): boolean {
  return type !== pieceType.control && type !== pieceType.byte && type !== pieceType.unknown;
}

/** The merges that make BPE join pieces as SentencePiece does: the pair whose joined piece scores highest goes first. */
function mergesFromScores({ tokens, types }: Vocabulary, scores: ArrayLike<number>): [string, string][] {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (isSpelled(types[id])) ids.set(token, id);
  const merges: { left: number; right: number; score: number }[] = [];
  for (const [token, id] of ids) {
    for (let cut = 1; cut < token.length; cut++) {
      const left = ids.get(token.slice(0, cut));
      const right = left === undefined ? undefined : ids.get(token.slice(cut));
      if (left !== undefined && right !== undefined) merges.push({ left, right, score: scores[id]! });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ left, right }) => [tokens[left]!, tokens[right]!]);
}

/**
 * What merges may lead to; control tokens are listed apart, in `added_tokens`. Of equal tokens the first counts, as in
 * ggml. The object has no prototype, so that "__proto__" is a token like any other.
 */
export function vocabularyObject({ tokens, types }: Vocabulary): Record<string, number> {
  const vocabulary: Record<string, number> = Object.create(null);
  for (let id = tokens.length - 1; id >= 0; id--) {
    if (types[id] !== pieceType.control && types[id] !== pieceType.userDefined) vocabulary[tokens[id]!] = id;
  }
  return vocabulary;
}

export function addedTokens({ tokens, types }: Vocabulary): AddedToken[] {
  const added: AddedToken[] = [];
  for (const [id, content] of tokens.entries()) {
    const special = types[id] === pieceType.control || types[id] === pieceType.unknown;
    if ((special || types[id] === pieceType.userDefined) && content.length > 0) {
      added.push({ id, content, special, normalized: false, lstrip: false, rstrip: false, single_word: false });
    }
  }
  return added;
}

/** SentencePiece looks for pieces that users defined in the normalized text, and spells them so. */
function asNormalized(token: AddedToken): AddedToken {
  return token.special === true ? token : { ...token, normalized: true, escaped: true };
}
