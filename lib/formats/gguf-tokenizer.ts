import { InferceptError } from '../errors.js';
import type { TokenDefaults, TokenizerDefinition } from '../text/tokenizer-source.js';
import type { GgufValue } from './gguf.js';
import { byteLevelParts, preTokenizerNames } from './gguf-pre-tokenizers.js';
import { addedTokens, pieceDefinition, pieceType, type Vocabulary, vocabularyObject } from './piece-definition.js';

type Metadata = ReadonlyMap<string, GgufValue>;

/** Control tokens of known model families that end a turn. Files often name only one of the several that a family has. */
const turnEnds = new Set([
  ...['<|im_end|>', '<|eot_id|>', '<|eom_id|>', '<|end|>', '<end_of_turn>', '<|end_of_turn|>'],
  ...['<|endoftext|>', '<|end_of_text|>'],
]);

/** Makes a tokenizer definition from the `tokenizer.*` metadata of a GGUF file. */
export function readGgufTokenizer(
  path: string,
  metadata: Metadata,
): { definition: TokenizerDefinition; defaults: TokenDefaults } {
  const model = String(metadata.get('tokenizer.ggml.model'));
  const read = Object.hasOwn(readers, model) ? readers[model] : undefined;
  if (read === undefined) {
    throw new InferceptError(
      'ERR_MODEL_UNSUPPORTED',
      `${path}: tokenizer.ggml.model is ${model.slice(0, 80)}; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE), ` +
        't5 (SentencePiece Unigram), bert (WordPiece).',
      { details: { path, model } },
    );
  }
  const vocabulary = readVocabulary(path, metadata);
  const { definition, addsBos } = read(path, metadata, vocabulary);
  return { definition, defaults: readDefaults(path, metadata, vocabulary, addsBos) };
}

interface ReadTokenizer {
  definition: TokenizerDefinition;
  /** Whether a raw prompt begins with the BOS token, where the file does not say. */
  addsBos: boolean;
}

/** By `tokenizer.ggml.model`. */
const readers: Readonly<Record<string, (path: string, metadata: Metadata, vocabulary: Vocabulary) => ReadTokenizer>> = {
  gpt2: byteLevelTokenizer,
  llama: (path, metadata, vocabulary) => pieceTokenizer(path, metadata, vocabulary, 'bpe'),
  t5: (path, metadata, vocabulary) => pieceTokenizer(path, metadata, vocabulary, 'unigram'),
  bert: wordPieceTokenizer,
};

function readVocabulary(path: string, metadata: Metadata): Vocabulary {
  const tokens = strings(path, metadata, 'tokenizer.ggml.tokens');
  const types = numbers(path, metadata, 'tokenizer.ggml.token_type', tokens.length) ?? new Uint8Array(tokens.length);
  return { tokens, types };
}

function byteLevelTokenizer(path: string, metadata: Metadata, vocabulary: Vocabulary): ReadTokenizer {
  const pre = String(metadata.get('tokenizer.ggml.pre') ?? 'default');
  const parts = byteLevelParts(pre);
  if (parts === undefined) {
    throw new InferceptError(
      'ERR_MODEL_UNSUPPORTED',
      `${path}: tokenizer.ggml.pre is "${pre.slice(0, 80)}"; supported: ${preTokenizerNames.join(', ')}.`,
      { details: { path, pre } },
    );
  }
  const definition: TokenizerDefinition = {
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
  return { definition, addsBos: parts.addsBos };
}

function pieceTokenizer(
  path: string,
  metadata: Metadata,
  vocabulary: Vocabulary,
  model: 'bpe' | 'unigram',
): ReadTokenizer {
  const scores = numbers(path, metadata, 'tokenizer.ggml.scores', vocabulary.tokens.length);
  if (scores === undefined) throw malformed(path, 'tokenizer.ggml.scores', 'missing');
  const definition = pieceDefinition(vocabulary, {
    model,
    scores,
    addsPrefix: metadata.get('tokenizer.ggml.add_space_prefix') !== false,
    removesExtraSpaces: metadata.get('tokenizer.ggml.remove_extra_whitespaces') === true,
    charsmap: readCharsmap(path, metadata),
  });
  return { definition, addsBos: model === 'bpe' };
}

function readCharsmap(path: string, metadata: Metadata): string | undefined {
  const map = metadata.get('tokenizer.ggml.precompiled_charsmap');
  if (map === undefined) return undefined;
  if (!(map instanceof Uint8Array) && !(map instanceof Int8Array)) {
    throw malformed(path, 'tokenizer.ggml.precompiled_charsmap', 'not an array of bytes');
  }
  return Buffer.from(map.buffer, map.byteOffset, map.byteLength).toString('base64');
}

/** BERT's. In the file, words begin with SentencePiece's space; in tokenizer.json, what continues them begins with "##". */
function wordPieceTokenizer(path: string, metadata: Metadata, { tokens, types }: Vocabulary): ReadTokenizer {
  const spelled = tokens.map((token, id) => {
    if (types[id] === pieceType.control || types[id] === pieceType.unknown) return token;
    return token.startsWith('▁') ? token.slice(1) : `##${token}`;
  });
  const unknown = tokenId(path, metadata, 'tokenizer.ggml.unknown_token_id', tokens.length);
  const lowercase = metadata.get('tokenizer.ggml.normalizer.lowercase') !== false;
  const definition: TokenizerDefinition = {
    normalizer: {
      type: 'BertNormalizer',
      lowercase,
      strip_accents: metadata.get('tokenizer.ggml.normalizer.strip_accents') ?? lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: null,
    decoder: { type: 'WordPiece' },
    model: {
      type: 'WordPiece',
      vocab: Object.assign(Object.create(null), Object.fromEntries(spelled.map((token, id) => [token, id]))),
      unk_token: unknown === undefined ? '[UNK]' : tokens[unknown]!,
    },
    added_tokens: addedTokens({ tokens, types }),
  };
  return { definition, addsBos: true };
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
    if (types[index] === pieceType.control && turnEnds.has(token)) ends.add(index);
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
