import { InferceptError } from '../errors.js';
import type { TokenizerDefinition, TokenizerPart } from './tokenizer-source.js';

/** The bytes that each token stands for; a detokenizer needs nothing else. */
export interface TokenTable {
  /** All tokens' bytes, one after the other. */
  bytes: Uint8Array;
  /** [vocabularySize + 1]. Token `id` takes bytes [offsets[id], offsets[id + 1]). Ids that no token has take none. */
  offsets: Uint32Array;
}

/** Ids are positions in a table, so a file must not claim arbitrary ones. Far beyond any vocabulary. */
const vocabularySizeMax = 1 << 24;

const encoder = new TextEncoder();

/** Lists the spelling of each token by id, added tokens included. Holes are empty strings. */
export function tokenSpellings({ model, added_tokens: added }: TokenizerDefinition): string[] {
  const entries: [string, number][] = Array.isArray(model.vocab)
    ? model.vocab.map(([token], id) => [token, id])
    : Object.entries(model.vocab);
  for (const { content, id } of added) entries.push([content, id]);
  let size = 0;
  for (const [token, id] of entries) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabularySizeMax) {
      throw new InferceptError('ERR_MODEL_FORMAT', `Token ${JSON.stringify(token)} has id ${id}, not 0 to 16,777,215.`);
    }
    size = Math.max(size, id + 1);
  }
  const spellings = new Array<string>(size).fill('');
  for (const [token, id] of entries) spellings[id] = token;
  return spellings;
}

/** Makes the table from the spellings: in byte-level vocabularies a letter is a byte, in others a text is itself. */
export function tokenTable(definition: TokenizerDefinition, spellings: readonly string[]): TokenTable {
  const added = new Set(definition.added_tokens.map(({ id }) => id));
  const toBytes = isByteLevel(definition) ? byteLevelBytes : pieceBytes;
  const tokens = spellings.map((token, id) => (added.has(id) ? encoder.encode(token) : toBytes(token)));
  const offsets = new Uint32Array(tokens.length + 1);
  for (const [id, token] of tokens.entries()) offsets[id + 1] = offsets[id]! + token.length;
  const bytes = new Uint8Array(offsets[tokens.length]!);
  for (const [id, token] of tokens.entries()) bytes.set(token, offsets[id]);
  return { bytes, offsets };
}

function isByteLevel({ decoder, pre_tokenizer: preTokenizer }: TokenizerDefinition): boolean {
  const mentions = (part: TokenizerPart | null): boolean => {
    if (part === null) return false;
    const inner = part.decoders ?? part.pretokenizers;
    return Array.isArray(inner) ? (inner as TokenizerPart[]).some(mentions) : part.type === 'ByteLevel';
  };
  return mentions(decoder) || mentions(preTokenizer);
}

/**
 * Letter to byte in byte-level vocabularies (GPT-2's table): printable bytes of Latin-1 are themselves, the other 68 are
 * the letters from U+0100 on, in order.
 */
const byteOfLetter: ReadonlyMap<string, number> = new Map(
  (function* () {
    let next = 0x100;
    for (let byte = 0; byte < 256; byte++) {
      const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      yield [String.fromCharCode(printable ? byte : next++), byte] as const;
    }
  })(),
);

function byteLevelBytes(token: string): Uint8Array {
  const bytes = Array.from(token, (letter) => byteOfLetter.get(letter));
  // A token with other letters was put into the vocabulary as plain text.
  return bytes.includes(undefined) ? encoder.encode(token) : Uint8Array.from(bytes as number[]);
}

function pieceBytes(token: string): Uint8Array {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? encoder.encode(token.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
}
