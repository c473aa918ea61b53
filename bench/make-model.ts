// Writes a GGUF file with random Q8_0 weights: the shape and the cost of a real model without its bytes.
//   npx tsx bench/make-model.ts PATH
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { ggufHead, type MetadataValue, padding, type TensorHead, tensorBytes } from './gguf-writer.js';

/** The shape of a Llama model. */
export interface ModelShape {
  layers: number;
  width: number;
  heads: number;
  kvHeads: number;
  ffnWidth: number;
  vocabularySize: number;
  contextTokens: number;
}

/** 1.1 billion parameters, 1.17 GB in Q8_0. */
export const shape1B: ModelShape = {
  layers: 22,
  width: 2048,
  heads: 32,
  kvHeads: 4,
  ffnWidth: 5632,
  vocabularySize: 32_000,
  contextTokens: 4096,
};

/** Writes the file; a reader never sees half of it. The same shape gives the same bytes. */
export function makeModel(path: string, shape: ModelShape): void {
  const tensors = tensorsOf(shape);
  const part = `${path}.part`;
  const file = openSync(part, 'w');
  try {
    writeSync(file, ggufHead(metadataOf(shape), tensors));
    for (const [index, tensor] of tensors.entries()) {
      const data = dataOf(tensor, index + 1);
      const bytes = tensorBytes(tensor);
      for (let written = 0; written < bytes; written += data.length) {
        writeSync(file, data, 0, Math.min(data.length, bytes - written));
      }
      writeSync(file, Buffer.alloc(padding(bytes)));
    }
  } finally {
    closeSync(file);
  }
  renameSync(part, path);
}

function tensorsOf(shape: ModelShape): TensorHead[] {
  const { width, ffnWidth, vocabularySize } = shape;
  const kvWidth = (width / shape.heads) * shape.kvHeads;
  const norm = (name: string): TensorHead => ({ name: `${name}.weight`, type: 'f32', dimensions: [width] });
  const matrix = (name: string, columns: number, rows: number): TensorHead => ({
    name: `${name}.weight`,
    type: 'q8_0',
    dimensions: [columns, rows],
  });
  const layers = Array.from({ length: shape.layers }, (_, layer): TensorHead[] => [
    norm(`blk.${layer}.attn_norm`),
    matrix(`blk.${layer}.attn_q`, width, width),
    matrix(`blk.${layer}.attn_k`, width, kvWidth),
    matrix(`blk.${layer}.attn_v`, width, kvWidth),
    matrix(`blk.${layer}.attn_output`, width, width),
    norm(`blk.${layer}.ffn_norm`),
    matrix(`blk.${layer}.ffn_gate`, width, ffnWidth),
    matrix(`blk.${layer}.ffn_up`, width, ffnWidth),
    matrix(`blk.${layer}.ffn_down`, ffnWidth, width),
  ]);
  const embedding = matrix('token_embd', width, vocabularySize);
  return [embedding, ...layers.flat(), norm('output_norm'), matrix('output', width, vocabularySize)];
}

function metadataOf(shape: ModelShape): [string, MetadataValue][] {
  return [
    ['general.architecture', { string: 'llama' }],
    ['general.name', { string: 'random weights' }],
    ['llama.block_count', { uint32: shape.layers }],
    ['llama.context_length', { uint32: shape.contextTokens }],
    ['llama.embedding_length', { uint32: shape.width }],
    ['llama.feed_forward_length', { uint32: shape.ffnWidth }],
    ['llama.attention.head_count', { uint32: shape.heads }],
    ['llama.attention.head_count_kv', { uint32: shape.kvHeads }],
    ['llama.rope.dimension_count', { uint32: shape.width / shape.heads }],
    ['llama.vocab_size', { uint32: shape.vocabularySize }],
    ['llama.attention.layer_norm_rms_epsilon', { float32: 1e-5 }],
    ['llama.rope.freq_base', { float32: 10_000 }],
    ...tokenizerMetadata(shape.vocabularySize),
  ];
}

/** A SentencePiece vocabulary that spells any text: three special tokens, 256 bytes, and pieces that no text contains. */
function tokenizerMetadata(vocabularySize: number): [string, MetadataValue][] {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const named = ['<unk>', '<s>', '</s>', ...bytes];
  const [normal, unknown, control, byte] = [1, 2, 3, 6]; // tokenizer.ggml.token_type
  const typeOf = (id: number) => (id === 0 ? unknown : id < 3 ? control : id < named.length ? byte : normal);
  const ids = Array.from({ length: vocabularySize }, (_, id) => id);
  return [
    ['tokenizer.ggml.model', { string: 'llama' }],
    ['tokenizer.ggml.tokens', { strings: ids.map((id) => named[id] ?? `\u{e000}${id}`) }],
    ['tokenizer.ggml.scores', { float32s: Float32Array.from(ids, (id) => -id) }],
    ['tokenizer.ggml.token_type', { int32s: Int32Array.from(ids, (id) => typeOf(id) ?? 1) }],
    ['tokenizer.ggml.bos_token_id', { uint32: 1 }],
    ['tokenizer.ggml.add_space_prefix', { bool: false }],
  ];
}

/** Bytes of the tensor, or so many of its first rows that repeating them changes the cost of nothing. */
function dataOf({ type, dimensions: [columns = 0] }: TensorHead, seed: number): Buffer {
  if (type === 'f32') return Buffer.from(new Float32Array(columns).fill(1).buffer);
  return randomBlocks((256 * columns) / 32, columns, seed);
}

/** Q8_0 blocks of uniform int8 whose products with inputs of deviation 1 have deviation 1. */
function randomBlocks(blocks: number, columns: number, seed: number): Buffer {
  const blockBytes = 34;
  const words = new Uint32Array((blocks * blockBytes) / 4);
  let state = seed;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13; // xorshift32 (Marsaglia 2003)
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  const bytes = Buffer.from(words.buffer);
  const deviation = 256 / Math.sqrt(12);
  const scale = toHalf(1 / (deviation * Math.sqrt(columns)));
  for (let block = 0; block < blocks; block++) bytes.writeUInt16LE(scale, block * blockBytes);
  return bytes;
}

/** A positive number in binary16's normal range, rounded down. */
function toHalf(value: number): number {
  const exponent = Math.floor(Math.log2(value));
  return ((exponent + 15) << 10) | Math.floor((value / 2 ** exponent - 1) * 1024);
}

const [, script, path] = process.argv;
if (script !== undefined && import.meta.url === pathToFileURL(script).href) {
  if (path === undefined) throw new Error('usage: tsx bench/make-model.ts PATH');
  makeModel(path, shape1B);
}
