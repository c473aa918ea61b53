// Random weights of any type: random bits, of which only scales and exponents are chosen.
import { isQuantized, type QuantizedType, type TensorType, tensorTypes } from '../lib/model-spec.js';

/** Bytes that are the same in every block. */
interface Field {
  at: number;
  bytes: readonly number[];
}

/** What decides about the size of a block's values, so that they have about this deviation around zero. */
const scaleFields: Readonly<Record<QuantizedType, (deviation: number) => Field[]>> = {
  q8_0: scaled(0, 73.9),
  q4_0: scaled(0, 4.64),
  q4_1: scaled(0, 4.61, { at: 2, middle: -7.5 }),
  q5_0: scaled(0, 9.24),
  q5_1: scaled(0, 9.23, { at: 2, middle: -15.5 }),
  q2_k: scaled(80, 13.9, { at: 82, middle: 1.5 }),
  q3_k: scaled(108, 43.3),
  q4_k: scaled(0, 258, { at: 2, middle: 7.5 }),
  q5_k: scaled(0, 526, { at: 2, middle: 15.5 }),
  q6_k: scaled(208, 1366),
  iq4_nl: scaled(0, 67.4),
  iq4_xs: scaled(0, 1248),
  // The root mean square of the 16 levels is 5.85, in halves of 2^(exponent - 127).
  mxfp4: (deviation) => [{ at: 0, bytes: [Math.round(Math.log2(deviation / 5.85)) + 128] }],
};

/** Fraction bits and exponent of 1 in the 16 bits that begin with the sign. */
const floats = {
  f32: { fractionBits: 7, bias: 127 },
  bf16: { fractionBits: 7, bias: 127 },
  f16: { fractionBits: 10, bias: 15 },
} as const;

/** So many blocks; the same arguments give the same bytes. */
export function randomBlocks(type: TensorType, blocks: number, deviation: number, seed: number): Buffer {
  const { blockBytes } = tensorTypes[type];
  const bytes = randomBytes(blocks * blockBytes, seed);
  if (!isQuantized(type)) {
    setExponents(bytes, type, deviation);
    return bytes;
  }
  for (const field of scaleFields[type](deviation)) {
    for (const [index, byte] of field.bytes.entries()) {
      for (let at = field.at + index; at < bytes.length; at += blockBytes) bytes[at] = byte;
    }
  }
  return bytes;
}

function randomBytes(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13; // xorshift32 (Marsaglia 2003)
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer, 0, length);
}

/**
 * A 16-bit scale at byte `at`, and a minimum that puts the middle of the codes at zero.
 * @param spread root mean square of a block's values whose scale is 1 and whose other bits are random
 */
function scaled(at: number, spread: number, minimum?: { at: number; middle: number }) {
  return (deviation: number): Field[] => {
    const scale = deviation / spread;
    const fields = [{ at, bytes: halfBytes(scale) }];
    if (minimum !== undefined) fields.push({ at: minimum.at, bytes: halfBytes(scale * minimum.middle) });
    return fields;
  };
}

/**
 * Gives every float the same exponent; its sign and fraction stay random. The root mean square of numbers that are
 * evenly spread from 1 to 2 is sqrt(7 / 3).
 */
function setExponents(bytes: Buffer, type: keyof typeof floats, deviation: number): void {
  const { fractionBits, bias } = floats[type];
  const exponent = Math.round(Math.log2(deviation / Math.sqrt(7 / 3))) + bias;
  const kept = 0x8000 | ((1 << fractionBits) - 1);
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const stride = tensorTypes[type].blockBytes / 2;
  for (let index = stride - 1; index < halves.length; index += stride) {
    halves[index] = (halves[index]! & kept) | (exponent << fractionBits);
  }
}

/** Binary16, rounded down. Numbers below 2^-14 are subnormal: multiples of 2^-24. */
function halfBytes(value: number): [low: number, high: number] {
  const magnitude = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const fraction = Math.floor((magnitude / 2 ** exponent) * 1024);
  // The leading one of a normal number is not stored: adding it to the exponent field below counts it.
  const bits = ((exponent + 14) << 10) + fraction;
  return [bits & 0xff, (bits >> 8) | (value < 0 ? 0x80 : 0)];
}
