import { InferceptError } from '../errors.js';
import { isReserved } from './ordinary-definition.js';
import type { AddedToken, TokenizerDefinition, TokenizerPart } from './tokenizer-source.js';

/** The bytes that each token stands for; a detokenizer needs nothing else. */
export interface TokenTable {
  /** All tokens' bytes, one after the other. */
  bytes: Uint8Array;
  /** [vocabularySize + 1]. Token `id` takes bytes [offsets[id], offsets[id + 1]). Ids that no token has take none. */
  offsets: Uint32Array;
}

/** Ids are positions in a table, so a file must not leave more of them unused than this. */
const unusedIdsMax = 65_536;

const encoder = new TextEncoder();

/** Lists the spelling of each token by id, added tokens included. Holes are empty strings. */
export function tokenSpellings({ model, added_tokens: added }: TokenizerDefinition): string[] {
  const { vocab } = model;
  const tokens = Array.isArray(vocab) ? vocab.map(([token]) => token) : Object.keys(vocab);
  const idMax = tokens.length + added.length + unusedIdsMax;
  const spellings: string[] = [];
  const set = (token: string, id: number): void => {
    if (!Number.isInteger(id) || id < 0 || id > idMax) {
      throw new InferceptError('ERR_MODEL_FORMAT', `Token ${JSON.stringify(token)} has id ${id}, not 0 to ${idMax}.`);
    }
    spellings[id] = token;
  };
  for (const [index, token] of tokens.entries()) set(token, Array.isArray(vocab) ? index : vocab[token]!);
  for (const { content, id } of added) set(content, id);
  return Array.from(spellings, (token) => token ?? '');
}

/** Makes the table from the spellings: in byte-level vocabularies a letter is a byte, in others a text is itself. */
export function tokenTable(definition: TokenizerDefinition, spellings: readonly string[]): TokenTable {
  const plain = new Set(definition.added_tokens.filter((token) => isPlain(token, definition)).map(({ id }) => id));
  const toBytes = spellingOf(definition);
  const tokens = spellings.map((token, id) => (plain.has(id) ? encoder.encode(token) : toBytes(token)));
  const offsets = new Uint32Array(tokens.length + 1);
  for (const [id, token] of tokens.entries()) offsets[id + 1] = offsets[id]! + token.length;
  const bytes = new Uint8Array(offsets[tokens.length]!);
  for (const [id, token] of tokens.entries()) bytes.set(token, offsets[id]);
  return { bytes, offsets };
}

/** Whether an added token is spelled as it is: all but white space in the vocabulary of SentencePiece. */
function isPlain(token: AddedToken, definition: TokenizerDefinition): boolean {
  return isReserved(token) || isByteLevel(definition);
}

function spellingOf(definition: TokenizerDefinition): (token: string) => Uint8Array {
  if (isByteLevel(definition)) return byteLevelBytes;
  return definition.model.type === 'WordPiece' ? wordBytes : pieceBytes;
}

/** "##" continues a word. */
function wordBytes(token: string): Uint8Array {
  return encoder.encode(token.startsWith('##') ? token.slice(2) : ` ${token}`);
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
 * Letter (its code) to byte in byte-level vocabularies (GPT-2's table): printable bytes of Latin-1 are themselves, the other 68 are
 * the letters from U+0100 on, in order.
 */
const byteOfLetter: ReadonlyMap<number, number> = new Map(
  (function* () {
    let next = 0x100;
    for (let byte = 0; byte < 256; byte++) {
      const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      yield [printable ? byte : next++, byte] as const;
    }
  })(),
);

const letterOfByte: Uint16Array = Uint16Array.from(
  Array.from(byteOfLetter)
    .sort(([, a], [, b]) => a - b)
    .map(([letter]) => letter),
);

/** Letters that become a string at once: as arguments of a call they fit its stack. */
const lettersAtOnce = 4096;

/** The bytes of a text as the letters of byte-level vocabularies. A long text is not put together letter by letter: that makes an object of each. */
export function byteLetters(text: string): string {
  const bytes = encoder.encode(text);
  const codes = new Uint16Array(bytes.length);
  for (let index = 0; index < bytes.length; index++) codes[index] = letterOfByte[bytes[index]!]!;
  let letters = '';
  for (let start = 0; start < codes.length; start += lettersAtOnce) {
    letters += String.fromCharCode(...codes.subarray(start, start + lettersAtOnce));
  }
  return letters;
}

function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index++) {
    const byte = byteOfLetter.get(token.charCodeAt(index));
    // A token with other letters was put into the vocabulary as plain text.
    if (byte === undefined) return encoder.encode(token);
    bytes[index] = byte;
  }
  return bytes;
}

function pieceBytes(token: string): Uint8Array {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? encoder.encode(token.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
}
