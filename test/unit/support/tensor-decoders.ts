import { type TensorType, tensorTypes } from '../../../lib/model-spec.js';

/** The values of a tensor in double precision, from GGUF's description of its type: one value at a time, slow and plain. */
export function decode(type: TensorType, bytes: Buffer, count: number): Float64Array {
  const { blockElements, blockBytes } = tensorTypes[type];
  return Float64Array.from({ length: count }, (_, index) => {
    const block = Math.floor(index / blockElements) * blockBytes;
    return decoders[type](bytes.subarray(block, block + blockBytes), index % blockElements);
  });
}

/** Element `index` of one block. */
const decoders: Record<TensorType, (block: Buffer, index: number) => number> = {
  f32: (block) => block.readFloatLE(0),
  f16: (block) => half(block, 0),
  bf16: (block) => Buffer.from([0, 0, ...block]).readFloatLE(0),
  q8_0: (block, index) => half(block, 0) * block.readInt8(2 + index),
  q4_0: (block, index) => half(block, 0) * (halved(block, 2, index) - 8),
  q4_1: (block, index) => half(block, 0) * halved(block, 4, index) + half(block, 2),
  q5_0: (block, index) => half(block, 0) * (halved(block, 6, index) + 16 * bit(block, 2, index) - 16),
  q5_1: (block, index) => half(block, 0) * (halved(block, 8, index) + 16 * bit(block, 4, index)) + half(block, 2),
  q2_k: (block, index) => {
    const scales = block[Math.floor(index / 16)]!;
    return half(block, 80) * (scales & 15) * shared(block, 16, index, 2) - half(block, 82) * (scales >> 4);
  },
  q3_k: (block, index) => {
    const code = shared(block, 32, index, 2) + 4 * shared(block, 0, index, 1);
    return half(block, 108) * (q3Scale(block, Math.floor(index / 16)) - 32) * (code - 4);
  },
  q4_k: (block, index) => {
    const { scale, minimum } = runScales(block, Math.floor(index / 32));
    return scale * shared(block, 16, index, 4) - minimum;
  },
  q5_k: (block, index) => {
    const { scale, minimum } = runScales(block, Math.floor(index / 32));
    return scale * (shared(block, 48, index, 4) + 16 * shared(block, 16, index, 1)) - minimum;
  },
  q6_k: (block, index) => {
    // Bytes of the low bits hold elements that are 64 apart.
    const low = block[64 * Math.floor(index / 128) + (index % 64)]!;
    const code = (index % 128 < 64 ? low & 15 : low >> 4) + 16 * shared(block, 128, index, 2);
    return half(block, 208) * block.readInt8(192 + Math.floor(index / 16)) * (code - 32);
  },
  iq4_nl: (block, index) => half(block, 0) * iq4Levels[halved(block, 2, index)]!,
  iq4_xs: (block, index) => {
    const run = Math.floor(index / 32);
    const low = (block[4 + (run >> 1)]! >> (4 * (run % 2))) & 15;
    const high = (block.readUInt16LE(2) >> (2 * run)) & 3;
    return half(block, 0) * (low + 16 * high - 32) * iq4Levels[halved(block, 8 + 16 * run, index % 32)]!;
  },
  mxfp4: (block, index) => 2 ** (block[0]! - 128) * mxfp4Levels[halved(block, 1, index)]!,
};

const iq4Levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const mxfp4Levels = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** Elements 0 to 15 in the low halves of 16 bytes, 16 to 31 in the high halves. */
function halved(block: Buffer, at: number, index: number): number {
  const byte = block[at + (index % 16)]!;
  return index < 16 ? byte & 15 : byte >> 4;
}

function bit(block: Buffer, at: number, index: number): number {
  return (block[at + (index >> 3)]! >> (index & 7)) & 1;
}

/** Codes of `bits` bits: runs of 32 elements, as many of which as fit share 32 bytes. */
function shared(block: Buffer, at: number, index: number, bits: number): number {
  const run = Math.floor(index / 32);
  const runs = 8 / bits;
  const byte = block[at + 32 * Math.floor(run / runs) + (index % 32)]!;
  return (byte >> (bits * (run % runs))) & (2 ** bits - 1);
}

/** Scale and minimum of a run of Q4_K and Q5_K: six bits each, those of runs 4 to 7 in two pieces. */
function runScales(block: Buffer, run: number): { scale: number; minimum: number } {
  const scales = block.subarray(4, 16);
  const [scale, minimum] =
    run < 4
      ? [scales[run]! & 63, scales[run + 4]! & 63]
      : [(scales[run + 4]! & 15) + 16 * (scales[run - 4]! >> 6), (scales[run + 4]! >> 4) + 16 * (scales[run]! >> 6)];
  return { scale: half(block, 0) * scale, minimum: half(block, 2) * minimum };
}

function q3Scale(block: Buffer, run: number): number {
  const scales = block.subarray(96, 108);
  const low = (scales[run % 8]! >> (run < 8 ? 0 : 4)) & 15;
  return low + 16 * ((scales[8 + (run % 4)]! >> (2 * (run >> 2))) & 3);
}

function half(block: Buffer, at: number): number {
  const bits = block.readUInt16LE(at);
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return exponent === 31 ? Number.NaN : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
