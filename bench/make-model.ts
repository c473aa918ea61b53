// Writes a GGUF file with random weights: the shape and the cost of a real model without its bytes.
//   npx tsx bench/make-model.ts PATH [--type q8_0|q4_k|q4_k_m|bf16|…] [--shape 1b|small]
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type TensorType, tensorTypes } from '../lib/model-spec.js';
import { ggufHead, type MetadataValue, padding, type TensorHead, tensorBytes } from './gguf-writer.js';
import { randomBlocks } from './random-blocks.js';

/** What matrices are stored as: all in one type, or mixed as llama.cpp's Q4_K_M mixes. */
export type ModelWeights = TensorType | 'q4_k_m';

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

/** For tests: rows of 256 and 512 weights, so that every type fits. */
export const shapeSmall: ModelShape = {
  layers: 2,
  width: 256,
  heads: 8,
  kvHeads: 2,
  ffnWidth: 512,
  vocabularySize: 512,
  contextTokens: 512,
};

/**
 * Writes the file; a reader never sees half of it. The same shape and type give the same bytes. Matrices whose rows are
 * no whole number of the type's blocks are Q8_0.
 */
export function makeModel(path: string, shape: ModelShape, weights: ModelWeights = 'q8_0'): void {
  const tensors = tensorsOf(shape, weights);
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

/** Q4_K_M spends six bits on the output and, in these layers, on values and on what leads back to the residual stream. */
function hasMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

function typeOf(weights: ModelWeights, name: string, columns: number, layers: number): TensorType {
  const layer = /^blk\.(\d+)\.(attn_v|ffn_down)$/.exec(name)?.[1];
  const moreBits = name === 'output' || (layer !== undefined && hasMoreBits(Number(layer), layers));
  const mixed = moreBits ? 'q6_k' : 'q4_k';
  const type = weights === 'q4_k_m' ? mixed : weights;
  return columns % tensorTypes[type].blockElements === 0 ? type : 'q8_0';
}

function tensorsOf(shape: ModelShape, weights: ModelWeights): TensorHead[] {
  const { width, ffnWidth, vocabularySize } = shape;
  const kvWidth = (width / shape.heads) * shape.kvHeads;
  const norm = (name: string): TensorHead => ({ name: `${name}.weight`, type: 'f32', dimensions: [width] });
  const matrix = (name: string, columns: number, rows: number): TensorHead => ({
    name: `${name}.weight`,
    type: typeOf(weights, name, columns, shape.layers),
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
function dataOf({ type, dimensions: [columns = 0, rows] }: TensorHead, seed: number): Buffer {
  if (rows === undefined) return Buffer.from(new Float32Array(columns).fill(1).buffer); // a norm
  return randomBlocks(type, (256 * columns) / tensorTypes[type].blockElements, 1 / Math.sqrt(columns), seed);
}

const shapes: Readonly<Record<string, ModelShape>> = { '1b': shape1B, small: shapeSmall };

function main(): void {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { type: { type: 'string', default: 'q8_0' }, shape: { type: 'string', default: '1b' } },
  });
  const [path] = positionals;
  const shape = shapes[values.shape];
  const types = [...Object.keys(tensorTypes), 'q4_k_m'];
  if (path === undefined || shape === undefined || !types.includes(values.type)) {
    throw new Error(
      `usage: tsx bench/make-model.ts PATH [--type ${types.join('|')}] [--shape ${Object.keys(shapes).join('|')}]`,
    );
  }
  makeModel(path, shape, values.type as ModelWeights);
}

const [, script] = process.argv;
if (script !== undefined && import.meta.url === pathToFileURL(script).href) main();
