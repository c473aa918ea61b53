import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { InferceptError, throwIfAborted } from '../errors.js';
import { createEncodingWorker } from './encoding-worker.js';
import { isReserved, ordinaryDefinitions, prefixesEachSection } from './ordinary-definition.js';
import { type TokenTable, tokenSpellings, tokenTable } from './token-bytes.js';
import type { AddedToken, TokenDefaults, TokenizerSource } from './tokenizer-source.js';

/** A piece of text and whether it may spell control tokens. */
export interface Segment {
  text: string;
  /** True only for a chat template's own text. */
  trusted: boolean;
}

/**
 * Where a text stands. SentencePiece tokenizers put a space before a text at the `start`, and some before each that
 * stands `after-control`; a `continuation` never gets one. For byte-level tokenizers it makes no difference.
 */
export type TextPosition = 'start' | 'after-control' | 'continuation';

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
  /** Like {@link encodeText}; texts above 16 KiB are encoded on another thread. */
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
  /** Ends the thread for long texts, if there is one. */
  dispose(): void;
}

/** Shorter texts take less than about 10 ms. */
const asyncCharactersMin = 16_384;

/** What a list of segments consists of: ids of reserved tokens, and texts between them. */
type Section = { id: number } | { text: string; position: TextPosition };

/** Throws `ERR_MODEL_FORMAT` or `ERR_MODEL_UNSUPPORTED` if the definition makes no tokenizer. */
export function createTokenizer({ definition }: TokenizerSource, defaults: TokenDefaults): Tokenizer {
  const { start, continuation } = ordinaryDefinitions(definition);
  const library = build(() => new LibraryTokenizer(start, {}));
  const continuing = continuation === start ? library : build(() => new LibraryTokenizer(continuation, {}));
  const worker = createEncodingWorker([start, continuation]);
  const eachSection = prefixesEachSection(definition);
  const spellings = tokenSpellings(definition);
  const table = tokenTable(definition, spellings);
  const reserved = definition.added_tokens.filter(isReserved);
  const cut = sectionCutter(reserved);

  const wantsPrefix = (position: TextPosition): boolean =>
    position === 'start' || (position === 'after-control' && eachSection);

  function encodeSection(section: Section): ArrayLike<number> {
    if ('id' in section) return [section.id];
    const encoder = wantsPrefix(section.position) ? library : continuing;
    return encoder.encode(section.text, { add_special_tokens: false }).ids;
  }

  async function encodeSectionAsync(section: Section): Promise<ArrayLike<number>> {
    if ('id' in section || section.text.length < asyncCharactersMin) return encodeSection(section);
    return worker.encode(section.text, wantsPrefix(section.position) ? start : continuation);
  }

  function encodeSegments(segments: readonly Segment[], { position = 'continuation' }: EncodeOptions = {}): Int32Array {
    return join(cut(segments, position).map(encodeSection));
  }

  async function encodeSegmentsAsync(segments: readonly Segment[], options: EncodeOptions = {}): Promise<Int32Array> {
    const { position = 'continuation', signal } = options;
    throwIfAborted(signal, 'tokenizing');
    const ids = join(await Promise.all(cut(segments, position).map(encodeSectionAsync)));
    throwIfAborted(signal, 'tokenizing');
    return ids;
  }

  const tokenBytes = (id: number): Uint8Array => table.bytes.subarray(table.offsets[id], table.offsets[id + 1] ?? 0);
  const { bosTokenId } = defaults;
  return {
    vocabularySize: spellings.length,
    specialIds: new Set(reserved.filter(({ special }) => special === true).map(({ id }) => id)),
    reservedIds: new Set(reserved.map(({ id }) => id)),
    reservedTokens: reserved.map(({ content }) => content),
    eosTokenIds: new Set(defaults.eosTokenIds),
    bosTokenId,
    addBosToken: defaults.addBosToken,
    table,
    encodeText: (text, options) => encodeSegments([{ text, trusted: false }], options),
    encodeTextAsync: (text, options) => encodeSegmentsAsync([{ text, trusted: false }], options),
    async encodePromptAsync(text, options) {
      const ids = await encodeSegmentsAsync([{ text, trusted: false }], { ...options, position: 'start' });
      return defaults.addBosToken && bosTokenId !== undefined ? join([[bosTokenId], ids]) : ids;
    },
    encodeTemplate: (text, options) => encodeSegments([{ text, trusted: true }], options),
    encodeSegments,
    encodeSegmentsAsync,
    tokenBytes,
    idOf: vocabularyLookup(definition),
    decode: (ids) => new TextDecoder().decode(Buffer.concat(Array.from(ids, tokenBytes))),
    dispose: () => worker.dispose(),
  };
}

function build<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new InferceptError(
      'ERR_MODEL_UNSUPPORTED',
      `The model's tokenizer cannot be used: ${(cause as Error).message}.`,
      { cause },
    );
  }
}

/** Makes the function that finds reserved tokens in trusted text; at each place the longest one counts. */
function sectionCutter(reserved: readonly AddedToken[]) {
  const byContent = new Map(
    reserved.filter(({ content }) => content.length > 0).map((token) => [token.content, token]),
  );
  const pattern = spellingPattern([...byContent.keys()]);

  return (segments: readonly Segment[], position: TextPosition): Section[] => {
    const sections: Section[] = [];
    let text = '';
    let stripNext = false;
    const flush = (): void => {
      if (text.length === 0) return;
      const previous = sections.length > 0 ? 'after-control' : position;
      sections.push({ text, position: previous });
      text = '';
    };
    const append = (piece: string): void => {
      text += stripNext ? piece.trimStart() : piece;
      if (text.length > 0) stripNext = false;
    };
    for (const segment of segments) {
      let end = 0;
      for (const match of segment.trusted ? segment.text.matchAll(pattern) : []) {
        append(segment.text.slice(end, match.index));
        end = match.index + match[0].length;
        const { id, lstrip, rstrip } = byContent.get(match[0])!;
        if (lstrip === true) text = text.trimEnd();
        flush();
        sections.push({ id });
        stripNext = rstrip === true;
      }
      append(segment.text.slice(end));
    }
    flush();
    return sections;
  };
}

/** Matches any of the spellings, the longest first; nothing if there are none. */
export function spellingPattern(spellings: readonly string[]): RegExp {
  if (spellings.length === 0) return /(?!)/g;
  return new RegExp(
    [...spellings]
      .sort((a, b) => b.length - a.length)
      .map(escapePattern)
      .join('|'),
    'g',
  );
}

/** `text` as a regular expression that matches just it; also inside a character class. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
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

function join(parts: readonly ArrayLike<number>[]): Int32Array {
  const ids = new Int32Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    ids.set(part, offset);
    offset += part.length;
  }
  return ids;
}
