import { InferceptError } from '../errors.js';
import type { TokenDefaults, TokenizerDefinition } from '../text/tokenizer-source.js';
import { type PieceSettings, pieceDefinition, pieceType, type Vocabulary } from './piece-definition.js';
import { corrupt, openFile } from './random-access-file.js';

/** The largest known model, of 256,000 pieces, has 5 MB. */
const modelBytesMax = 64 << 20;

/** A field of a protocol buffer: bytes of a message or text, or the bits of a number. */
type Field = { number: number; bytes: Buffer } | { number: number; value: number };

/** Names of the files, in the order in which they are looked for. */
export const sentencePieceFiles = ['tokenizer.model', 'spiece.model'] as const;

/** Reads a model of SentencePiece: a protocol buffer of the message ModelProto. */
export async function readSentencePiece(
  path: string,
): Promise<{ definition: TokenizerDefinition; defaults: TokenDefaults }> {
  const file = await openFile(path);
  try {
    if (file.size > modelBytesMax) throw corrupt(path, 0, `it has ${file.size} bytes, more than ${modelBytesMax}`);
    return parseSentencePiece(path, await file.read(0, file.size));
  } finally {
    await file.close();
  }
}

/** @param path for errors */
export function parseSentencePiece(
  path: string,
  data: Buffer,
): { definition: TokenizerDefinition; defaults: TokenDefaults } {
  const { vocabulary, settings } = readPieces(path, data);
  const control = (...names: string[]): number | undefined => {
    const id = vocabulary.tokens.findIndex(
      (token, at) => names.includes(token) && vocabulary.types[at] === pieceType.control,
    );
    return id < 0 ? undefined : id;
  };
  const bosTokenId = control('<s>', '<bos>');
  const eos = control('</s>', '<eos>');
  return {
    definition: pieceDefinition(vocabulary, settings),
    defaults: {
      eosTokenIds: eos === undefined ? [] : [eos],
      ...(bosTokenId !== undefined && { bosTokenId }),
      // The file does not say. Decoders, whose models are of this kind, begin texts so.
      addBosToken: bosTokenId !== undefined && settings.model === 'bpe',
    },
  };
}

/** The pieces of a model, and how it normalizes. */
export function readPieces(path: string, data: Buffer): { vocabulary: Vocabulary; settings: PieceSettings } {
  const model = [...fields(path, data)];
  const pieces = model.flatMap((field) =>
    field.number === 1 && 'bytes' in field ? [readPiece(path, field.bytes)] : [],
  );
  if (pieces.length === 0) throw corrupt(path, 0, 'it has no pieces');
  const trainer = message(path, model, 2);
  const normalizer = message(path, model, 3);
  const charsmap = bytesOf(normalizer, 2);
  return {
    vocabulary: { tokens: pieces.map(({ piece }) => piece), types: pieces.map(({ type }) => type) },
    settings: {
      model: modelKind(path, numberOf(trainer, 3, 1)),
      scores: pieces.map(({ score }) => score),
      addsPrefix: numberOf(normalizer, 3, 1) !== 0,
      removesExtraSpaces: numberOf(normalizer, 4, 1) !== 0,
      ...(charsmap !== undefined && charsmap.length > 0 && { charsmap: charsmap.toString('base64') }),
    },
  };
}

function modelKind(path: string, type: number): 'bpe' | 'unigram' {
  if (type === 1) return 'unigram';
  if (type === 2) return 'bpe';
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${path}: SentencePiece's model type ${type} is not supported; supported: 1 (unigram), 2 (BPE).`,
    { details: { path, type } },
  );
}

function readPiece(path: string, data: Buffer): { piece: string; score: number; type: number } {
  const inner = [...fields(path, data)];
  const score = new DataView(new ArrayBuffer(4));
  score.setUint32(0, numberOf(inner, 2, 0));
  return {
    piece: bytesOf(inner, 1)?.toString('utf8') ?? '',
    score: score.getFloat32(0),
    type: numberOf(inner, 3, pieceType.normal),
  };
}

/** All fields of the message in field `number`; none if there is no such field. */
function message(path: string, outer: readonly Field[], number: number): Field[] {
  const bytes = bytesOf(outer, number);
  return bytes === undefined ? [] : [...fields(path, bytes)];
}

function bytesOf(message: readonly Field[], number: number): Buffer | undefined {
  const field = message.findLast((candidate) => candidate.number === number);
  return field !== undefined && 'bytes' in field ? field.bytes : undefined;
}

function numberOf(message: readonly Field[], number: number, missing: number): number {
  const field = message.findLast((candidate) => candidate.number === number);
  return field !== undefined && 'value' in field ? field.value : missing;
}

/** Each field: its number and kind as a variable-length number, then its contents. */
function* fields(path: string, data: Buffer): Iterable<Field> {
  let offset = 0;
  const damaged = () => corrupt(path, offset, 'it is no SentencePiece model');

  /** Seven bits a byte, the lowest first; the highest bit says that there are more. */
  function variable(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = data[offset++];
      if (byte === undefined || scale > 2 ** 63) throw damaged();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  function take(length: number): Buffer {
    if (offset + length > data.length) throw damaged();
    offset += length;
    return data.subarray(offset - length, offset);
  }

  while (offset < data.length) {
    const key = variable();
    const number = Math.floor(key / 8);
    const kind = key % 8;
    if (kind === 0) yield { number, value: variable() };
    else if (kind === 1) take(8);
    else if (kind === 2) yield { number, bytes: take(variable()) };
    else if (kind === 5) yield { number, value: take(4).readUInt32LE() };
    else throw damaged();
  }
}
