import { throwIfAborted } from '../errors.js';
import { isReserved } from './ordinary-definition.js';
import { createOrdinaryEncoder } from './ordinary-encoder.js';
import { createSectionCutter, type SectionCutter, type Segment, type TextPosition } from './sections.js';
import { type TokenTable, tokenSpellings, tokenTable } from './token-bytes.js';
import type { TokenDefaults, TokenizerDefinition, TokenizerSource } from './tokenizer-source.js';

export interface EncodeOptions {
  /** Default `continuation`. */
  position?: TextPosition;
  signal?: AbortSignal | undefined;
}

/**
 * Text to token ids. Text is never control: only trusted segments can produce reserved tokens (control tokens, and added
 * ones such as `<tool_call>`); in all other text their spellings are ordinary characters.
 */
export interface Tokenizer {
  /** Ids are below this. The model's own vocabulary may be larger (padding). */
  readonly vocabularySize: number;
  /** Control tokens: never shown as text. */
  readonly specialIds: ReadonlySet<number>;
  /** Tokens that only trusted text produces: `specialIds` and other added tokens. */
  readonly reservedIds: ReadonlySet<number>;
  /** Spellings of `reservedIds`. */
  readonly reservedTokens: readonly string[];
  /** Tokens that end a turn. */
  readonly eosTokenIds: ReadonlySet<number>;
  readonly bosTokenId: number | undefined;
  readonly addBosToken: boolean;
  /** The bytes of every token; what the native detokenizer works with. */
  readonly table: TokenTable;
  /** Text of users, tools and files. */
  encodeText(text: string, options?: EncodeOptions): Int32Array;
  /** Like {@link encodeText}; long texts are encoded in slices, so that the event loop goes on. */
  encodeTextAsync(text: string, options?: EncodeOptions): Promise<Int32Array>;
  /** A raw prompt: text at the start, after the BOS token if the model wants one. */
  encodePromptAsync(text: string, options?: Pick<EncodeOptions, 'signal'>): Promise<Int32Array>;
  /** Text in which control tokens count. Never pass what others wrote. */
  encodeTemplate(text: string, options?: EncodeOptions): Int32Array;
  /** Neighbouring segments are tokenized as one text, as the model saw it in training; trust goes character by character. */
  encodeSegments(segments: readonly Segment[], options?: EncodeOptions): Int32Array;
  encodeSegmentsAsync(segments: readonly Segment[], options?: EncodeOptions): Promise<Int32Array>;
  /** The raw bytes of a token; possibly a part of a character. Empty for ids that no token has. */
  tokenBytes(id: number): Uint8Array;
  /** The id of a token by its spelling in the vocabulary. */
  idOf(token: string): number | undefined;
  /** All ids' bytes as text, control tokens spelled out; invalid bytes become U+FFFD. */
  decode(ids: Iterable<number>): string;
  /** Gives up texts that are being encoded. */
  dispose(): void;
}

/** Throws `ERR_MODEL_FORMAT` or `ERR_MODEL_UNSUPPORTED` if the definition makes no tokenizer. */
export function createTokenizer({ definition }: TokenizerSource, defaults: TokenDefaults): Tokenizer {
  const spellings = tokenSpellings(definition);
  const table = tokenTable(definition, spellings);
  const reserved = definition.added_tokens.filter(isReserved);
  const { bosTokenId } = defaults;
  const tokenBytes = (id: number): Uint8Array => table.bytes.subarray(table.offsets[id], table.offsets[id + 1] ?? 0);
  return {
    vocabularySize: spellings.length,
    specialIds: new Set(reserved.filter(({ special }) => special === true).map(({ id }) => id)),
    reservedIds: new Set(reserved.map(({ id }) => id)),
    reservedTokens: reserved.map(({ content }) => content),
    eosTokenIds: new Set(defaults.eosTokenIds),
    bosTokenId,
    addBosToken: defaults.addBosToken,
    table,
    ...encodingMethods(definition, createSectionCutter(reserved), defaults.addBosToken ? bosTokenId : undefined),
    tokenBytes,
    idOf: vocabularyLookup(definition),
    decode: (ids) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(Array.from(ids, tokenBytes))),
  };
}

type EncodingMethods = Pick<
  Tokenizer,
  | 'encodeText'
  | 'encodeTextAsync'
  | 'encodePromptAsync'
  | 'encodeTemplate'
  | 'encodeSegments'
  | 'encodeSegmentsAsync'
  | 'dispose'
>;

/** @param promptStart the token that begins a raw prompt, if any */
function encodingMethods(
  definition: TokenizerDefinition,
  cut: SectionCutter,
  promptStart: number | undefined,
): EncodingMethods {
  const encoder = createOrdinaryEncoder(definition);

  const encodeSegments: Tokenizer['encodeSegments'] = (segments, { position = 'continuation' } = {}) =>
    encoder.encode(cut(segments, position));

  const encodeSegmentsAsync: Tokenizer['encodeSegmentsAsync'] = async (segments, options = {}) => {
    const { position = 'continuation', signal } = options;
    throwIfAborted(signal, 'tokenizing');
    return encoder.encodeAsync(cut(segments, position), signal);
  };

  return {
    encodeSegments,
    encodeSegmentsAsync,
    encodeText: (text, options) => encodeSegments([{ text, trusted: false }], options),
    encodeTextAsync: (text, options) => encodeSegmentsAsync([{ text, trusted: false }], options),
    encodeTemplate: (text, options) => encodeSegments([{ text, trusted: true }], options),
    async encodePromptAsync(text, options) {
      const ids = await encodeSegmentsAsync([{ text, trusted: false }], { ...options, position: 'start' });
      if (promptStart === undefined) return ids;
      const prompt = new Int32Array(ids.length + 1);
      prompt[0] = promptStart;
      prompt.set(ids, 1);
      return prompt;
    },
    dispose: () => encoder.dispose(),
  };
}

function vocabularyLookup({ model: { vocab }, added_tokens: added }: TokenizerSource['definition']) {
  const reserved = new Map(added.map(({ content, id }) => [content, id]));
  const unigram = Array.isArray(vocab) ? new Map(vocab.map(([token], id) => [token, id])) : undefined;
  return (token: string): number | undefined => {
    const ordinary = Array.isArray(vocab)
      ? unigram?.get(token)
      : Object.hasOwn(vocab, token)
        ? vocab[token]
        : undefined;
    return reserved.get(token) ?? ordinary;
  };
}
