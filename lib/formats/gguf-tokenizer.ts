import { InferceptError } from '../errors.js';
import type { AddedToken, TokenDefaults, TokenizerDefinition } from '../text/tokenizer-source.js';
import type { GgufValue } from './gguf.js';
import { byteLevelParts, preTokenizerNames } from './gguf-pre-tokenizers.js';

type Metadata = ReadonlyMap<string, GgufValue>;

/** Values of `tokenizer.ggml.token_type`. */
const tokenType = { unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;

/** Control tokens of known model families that end a turn. Files often name only one of the several that a family has. */
const turnEnds = new Set([
  ...['<|im_end|>', '<|eot_id|>', '<|eom_id|>', '<|end|>', '<end_of_turn>', '<|end_of_turn|>'],
  ...['<|endoftext|>', '<|end_of_text|>'],
]);

interface Vocabulary {
  tokens: readonly string[];
  types: ArrayLike<number>;
}

/** Makes a tokenizer definition from the `tokenizer.*` metadata of a GGUF file. */
export function readGgufTokenizer(
  path: string,
  metadata: Metadata,
): { definition: TokenizerDefinition; defaults: TokenDefaults } {
  const model = metadata.get('tokenizer.ggml.model');
  const vocabulary = readVocabulary(path, metadata);
  if (model === 'gpt2') {
    const pre = metadata.get('tokenizer.ggml.pre') ?? 'default';
    const definition = byteLevelDefinition(path, metadata, vocabulary, String(pre));
    return { definition, defaults: readDefaults(path, metadata, vocabulary, pre === 'llama-bpe') };
  }
  if (model === 'llama') {
    const definition = sentencePieceDefinition(path, metadata, vocabulary);
    return { definition, defaults: readDefaults(path, metadata, vocabulary, true) };
  }
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${path}: tokenizer.ggml.model is ${String(model)}; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE).`,
    { details: { path, model } },
  );
}

function readVocabulary(path: string, metadata: Metadata): Vocabulary {
  const tokens = strings(path, metadata, 'tokenizer.ggml.tokens');
  const types = numbers(path, metadata, 'tokenizer.ggml.token_type', tokens.length) ?? new Uint8Array(tokens.length);
  return { tokens, types };
}

function byteLevelDefinition(
  path: string,
  metadata: Metadata,
  vocabulary: Vocabulary,
  pre: string,
): TokenizerDefinition {
  const parts = byteLevelParts(pre);
  if (parts === undefined) {
    throw new InferceptError(
      'ERR_MODEL_UNSUPPORTED',
      `${path}: tokenizer.ggml.pre is "${pre.slice(0, 80)}"; supported: ${preTokenizerNames.join(', ')}.`,
      { details: { path, pre } },
    );
  }
  return {
    normalizer: parts.normalizer,
    pre_tokenizer: parts.preTokenizer,
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: vocabularyObject(vocabulary),
      merges: strings(path, metadata, 'tokenizer.ggml.merges'),
      ignore_merges: parts.ignoreMerges,
      byte_fallback: false,
    },
    added_tokens: addedTokens(vocabulary),
  };
}

function sentencePieceDefinition(path: string, metadata: Metadata, vocabulary: Vocabulary): TokenizerDefinition {
  const { tokens, types } = vocabulary;
  const scores = numbers(path, metadata, 'tokenizer.ggml.scores', tokens.length);
  if (scores === undefined) throw malformed(path, 'tokenizer.ggml.scores', 'missing');
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const prefix = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const unknown = tokens.find((_, id) => types[id] === tokenType.unknown);
  return {
    normalizer: { type: 'Sequence', normalizers: [...(prefix ? [{ type: 'Prepend', prepend: '▁' }] : []), spaces] },
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
    model: {
      type: 'BPE',
      vocab: vocabularyObject(vocabulary),
      merges: mergesFromScores(vocabulary, scores),
      byte_fallback: true,
      fuse_unk: true,
      ...(unknown !== undefined && { unk_token: unknown }),
    },
    added_tokens: addedTokens(vocabulary),
  };
}

/**
 * The merges that make BPE join pieces as SentencePiece does: the pair whose joined piece scores highest goes first.
 * Control and byte tokens are no pieces.
 */
function mergesFromScores({ tokens, types }: Vocabulary, scores: ArrayLike<number>): [string, string][] {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    const type = types[id];
    if (type !== tokenType.control && type !== tokenType.byte && type !== tokenType.unknown) ids.set(token, id);
  }
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
function vocabularyObject({ tokens, types }: Vocabulary): Record<string, number> {
  const vocabulary: Record<string, number> = Object.create(null);
  for (let id = tokens.length - 1; id >= 0; id--) {
    if (types[id] !== tokenType.control && types[id] !== tokenType.userDefined) vocabulary[tokens[id]!] = id;
  }
  return vocabulary;
}

function addedTokens({ tokens, types }: Vocabulary): AddedToken[] {
  const added: AddedToken[] = [];
  for (const [id, content] of tokens.entries()) {
    const type = types[id];
    const special = type === tokenType.control || type === tokenType.unknown;
    if ((special || type === tokenType.userDefined) && content.length > 0) {
      added.push({ id, content, special, normalized: false, lstrip: false, rstrip: false, single_word: false });
    }
  }
  return added;
}

function readDefaults(
  path: string,
  metadata: Metadata,
  { tokens, types }: Vocabulary,
  bosDefault: boolean,
): TokenDefaults {
  const id = (name: string): number | undefined =>
    tokenId(path, metadata, `tokenizer.ggml.${name}_token_id`, tokens.length);
  const ends = new Set([id('eos'), id('eot'), id('eom')].filter((end) => end !== undefined));
  for (const [index, token] of tokens.entries()) {
    if (types[index] === tokenType.control && turnEnds.has(token)) ends.add(index);
  }
  const bosTokenId = id('bos');
  const addBos = metadata.get('tokenizer.ggml.add_bos_token') ?? bosDefault;
  return {
    eosTokenIds: [...ends],
    ...(bosTokenId !== undefined && { bosTokenId }),
    addBosToken: addBos === true && bosTokenId !== undefined,
  };
}

function tokenId(path: string, metadata: Metadata, key: string, count: number): number | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw malformed(path, key, 'not an integer');
  // Writers give -1 (as an unsigned number) for "none".
  if (value < 0 || value === 0xffffffff) return undefined;
  if (value >= count) throw malformed(path, key, `${value}, but the vocabulary has ${count} tokens`);
  return value;
}

function strings(path: string, metadata: Metadata, key: string): string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value) || value.some((element) => typeof element !== 'string')) {
    throw malformed(path, key, value === undefined ? 'missing' : 'not an array of strings');
  }
  return value as string[];
}

function numbers(path: string, metadata: Metadata, key: string, length: number): ArrayLike<number> | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (!ArrayBuffer.isView(value) || value instanceof BigUint64Array || value instanceof BigInt64Array) {
    throw malformed(path, key, 'not an array of numbers');
  }
  const array = value as unknown as ArrayLike<number>;
  if (array.length !== length) throw malformed(path, key, `of ${array.length} elements for ${length} tokens`);
  return array;
}

function malformed(path: string, key: string, problem: string): InferceptError {
  return new InferceptError('ERR_MODEL_FORMAT', `${path}: ${key} is ${problem}. Convert the model again.`, {
    details: { path, key },
  });
}
