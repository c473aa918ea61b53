// The head of a GGUF file, version 3: metadata and the table of tensors, little-endian.

import { type TensorType, tensorTypes } from '../lib/model-spec.js';

/** ggml's numbers of the element types. */
const typeNumbers: Readonly<Record<TensorType, number>> = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q5_0: 6,
  q5_1: 7,
  q8_0: 8,
  q2_k: 10,
  q3_k: 11,
  q4_k: 12,
  q5_k: 13,
  q6_k: 14,
  iq4_nl: 20,
  iq4_xs: 23,
  bf16: 30,
  mxfp4: 39,
};

export interface TensorHead {
  name: string;
  type: TensorType;
  /** Innermost first: [columns, rows]. */
  dimensions: number[];
}

export type MetadataValue =
  | { uint32: number }
  | { float32: number }
  | { bool: boolean }
  | { string: string }
  | { strings: readonly string[] }
  | { float32s: Float32Array }
  | { int32s: Int32Array };

const valueType = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** Tensors begin at multiples of this. */
export const alignment = 32;

export function padding(size: number): number {
  return (alignment - (size % alignment)) % alignment;
}

export function tensorBytes({ type, dimensions }: TensorHead): number {
  const { blockElements, blockBytes } = tensorTypes[type];
  return (dimensions.reduce((product, dimension) => product * dimension, 1) / blockElements) * blockBytes;
}

/** Everything before the first tensor's bytes. Tensors follow in order, each padded to `alignment`. */
export function ggufHead(metadata: readonly [string, MetadataValue][], tensors: readonly TensorHead[]): Buffer {
  const pieces = [Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(metadata.length)];
  for (const [key, value] of metadata) pieces.push(string(key), ...encode(value));
  let offset = 0;
  for (const tensor of tensors) {
    const { name, type, dimensions } = tensor;
    pieces.push(string(name), uint32(dimensions.length), ...dimensions.map(uint64));
    pieces.push(uint32(typeNumbers[type]), uint64(offset));
    offset += tensorBytes(tensor) + padding(tensorBytes(tensor));
  }
  const head = Buffer.concat(pieces);
  return Buffer.concat([head, Buffer.alloc(padding(head.length))]);
}

function encode(value: MetadataValue): Buffer[] {
  if ('uint32' in value) return [uint32(valueType.uint32), uint32(value.uint32)];
  if ('float32' in value) return [uint32(valueType.float32), Buffer.from(Float32Array.of(value.float32).buffer)];
  if ('bool' in value) return [uint32(valueType.bool), Buffer.of(value.bool ? 1 : 0)];
  if ('string' in value) return [uint32(valueType.string), string(value.string)];
  if ('strings' in value) return [...array(valueType.string, value.strings.length), ...value.strings.map(string)];
  if ('float32s' in value) return numbers(valueType.float32, value.float32s);
  return numbers(valueType.int32, value.int32s);
}

function numbers(type: number, values: Float32Array | Int32Array): Buffer[] {
  return [...array(type, values.length), Buffer.from(values.buffer, values.byteOffset, values.byteLength)];
}

function array(type: number, length: number): Buffer[] {
  return [uint32(valueType.array), uint32(type), uint64(length)];
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
