// Goal: the GGUF reader takes what the format allows and refuses, with a typed error, whatever a file cannot back.
// Method: headers written here byte by byte, cut at every byte, and damaged at random.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InferceptError } from '../../lib/errors.js';
import { readGguf } from '../../lib/formats/gguf.js';
import { type RandomAccessFile, truncated } from '../../lib/formats/random-access-file.js';
import { expectError, fixture } from './support/fixtures.js';

function inMemory(bytes: Uint8Array): RandomAccessFile {
  const buffer = Buffer.from(bytes);
  return {
    path: 'memory.gguf',
    size: buffer.length,
    read: async (offset, length) => {
      if (offset + length > buffer.length) throw truncated('memory.gguf', buffer.length, offset, length, 'data');
      return Buffer.from(buffer.subarray(offset, offset + length));
    },
    close: async () => {},
  };
}

const u8 = (value: number) => Buffer.from([value]);
const u32 = (value: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};
const u64 = (value: number | bigint) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
};
const f32 = (value: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return buffer;
};
const f64 = (value: number) => {
  const buffer = Buffer.alloc(8);
  buffer.writeDoubleLE(value);
  return buffer;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const entry = (key: string, type: number, ...value: Buffer[]) => Buffer.concat([text(key), u32(type), ...value]);
const arrayOf = (type: number, elements: Buffer[]) =>
  Buffer.concat([u32(type), u64(elements.length), Buffer.concat(elements)]);
const array = (type: number, ...elements: Buffer[]) => arrayOf(type, elements);
const tensor = (name: string, dimensions: number[], type: number, offset: number | bigint) =>
  Buffer.concat([text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)]);

function header(entries: Buffer[], tensors: Buffer[] = [], version = 3): Buffer {
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(tensors.length),
    u64(entries.length),
    ...entries,
    ...tensors,
  ]);
}

const everyType = [
  entry('u8', 0, u8(200)),
  entry('i8', 1, u8(200)),
  entry('u16', 2, Buffer.from([1, 2])),
  entry('i16', 3, Buffer.from([255, 255])),
  entry('u32', 4, u32(4_000_000_000)),
  entry('i32', 5, u32(0xffffffff)),
  entry('f32', 6, f32(0.5)),
  entry('bool', 7, u8(1)),
  entry('string', 8, text('grüße ▁')),
  entry('u64', 10, u64(1n << 60n)),
  entry('i64', 11, u64(7)),
  entry('f64', 12, f64(Math.PI)),
  entry('strings', 9, array(8, text('a'), text(''), text('ccc'))),
  entry('floats', 9, array(6, f32(1), f32(-2))),
  entry('bools', 9, array(7, u8(0), u8(1))),
  entry('nested', 9, array(9, array(0, u8(1), u8(2)), array(8, text('x')), array(0))),
  entry('empty', 9, array(8)),
];
const complete = Buffer.concat([
  header(everyType, [tensor('first', [4, 2], 0, 0), tensor('second', [8], 1, 32)]),
  Buffer.alloc(100),
]);

describe('readGguf', () => {
  test.each([2, 3])('every type of value, version %i', async (version) => {
    const { metadata, tensors } = await readGguf(inMemory(header(everyType, [tensor('t', [3, 5], 8, 64)], version)));
    const values = Object.fromEntries(metadata);
    expect(values).toMatchObject({
      u8: 200,
      i8: -56,
      u16: 513,
      i16: -1,
      u32: 4_000_000_000,
      i32: -1,
      f32: 0.5,
      bool: true,
    });
    expect(values).toMatchObject({ string: 'grüße ▁', u64: 1n << 60n, i64: 7, f64: Math.PI });
    expect(values).toMatchObject({ strings: ['a', '', 'ccc'], bools: [false, true], empty: [] });
    expect(values.floats).toEqual(new Float32Array([1, -2]));
    expect(values.nested).toEqual([new Uint8Array([1, 2]), ['x'], new Uint8Array()]);
    expect(tensors).toMatchObject([{ name: 't', dimensions: [3, 5], type: 8 }]);
    expect(tensors[0]!.offset % 32).toBe(0);
  });

  test('the alignment of the file counts', async () => {
    const bytes = header([entry('general.alignment', 4, u32(4096))], [tensor('t', [1], 0, 4096)]);
    expect((await readGguf(inMemory(bytes))).tensors[0]!.offset).toBe(8192);
  });

  test('a header larger than the window', async () => {
    const words = Array.from({ length: 200_000 }, (_, index) => text(`word ${index}`));
    const { metadata } = await readGguf(
      inMemory(header([entry('words', 9, arrayOf(8, words)), entry('after', 4, u32(1))])),
    );
    expect((metadata.get('words') as string[])[199_999]).toBe('word 199999');
    expect(metadata.get('after')).toBe(1);
  });

  test('cut at any byte of its header', async () => {
    const { length } = header(everyType, [tensor('first', [4, 2], 0, 0), tensor('second', [8], 1, 32)]);
    for (let size = 0; size < length; size++) {
      await expectError(readGguf(inMemory(complete.subarray(0, size))), 'ERR_MODEL_FORMAT', /byte \d+/);
    }
  });

  test.each([
    ['not GGUF', Buffer.concat([Buffer.from('GGML'), Buffer.alloc(64)]), /byte 0.*"GGUF"/],
    ['a key twice', header([entry('a', 0, u8(1)), entry('a', 0, u8(1))]), /"a" occurs twice/],
    ['a tensor twice', header([], [tensor('t', [1], 0, 0), tensor('t', [1], 0, 0)]), /"t" occurs twice/],
    ['an unknown type', header([entry('a', 13, u64(0))]), /unknown value type 13/],
    ['an unknown element type', header([entry('a', 9, u32(77), u64(0))]), /unknown element type 77/],
    ['a huge string', header([entry('a', 8, u64(1n << 40n))]), /1099511627776/],
    ['an inexact length', header([entry('a', 8, u64(0xffffffffffffffffn))]), /18446744073709551615/],
    ['a huge array', header([entry('a', 9, u32(4), u64(1n << 50n))]), /1125899906842624/],
    ['a huge tensor count', Buffer.concat([Buffer.from('GGUF'), u32(3), u64(1n << 40n), u64(0)]), /tensor count/],
    ['no dimensions', header([], [Buffer.concat([tensor('t', [], 0, 0), Buffer.alloc(8)])]), /0 dimensions/],
    ['five dimensions', header([], [tensor('t', [1, 1, 1, 1, 1], 0, 0)]), /5 dimensions/],
    ['an odd offset', header([], [tensor('t', [1], 0, 1)]), /multiple of 32/],
    ['an alignment of zero', header([entry('general.alignment', 4, u32(0))]), /general\.alignment is 0/],
    ['deep arrays', header([entry('a', 9, array(9, array(9, array(9, array(9, array(0))))))]), /deep/],
  ])('%s', async (_, bytes, message) => {
    await expectError(readGguf(inMemory(bytes)), 'ERR_MODEL_FORMAT', message);
  });

  test.each([
    ['version 1', header([], [], 1), /version 1/],
    ['the other byte order', header([], [], 0x03000000), /big-endian/],
  ])('%s', async (_, bytes, message) => {
    await expectError(readGguf(inMemory(bytes)), 'ERR_MODEL_UNSUPPORTED', message);
  });

  test('random damage gives a header or a typed error, quickly', async () => {
    const sources = [complete, readFileSync(fixture('models/plain-q8_0.gguf')).subarray(0, 20_000)];
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 });
    const property = fc.asyncProperty(fc.constantFrom(...sources), damage, fc.nat(), async (source, changes, cut) => {
      const bytes = Buffer.from(source.subarray(0, cut % 3 === 0 ? cut % source.length : source.length));
      if (bytes.length > 0) for (const [at, value] of changes) bytes[at % Math.min(bytes.length, 6000)] = value;
      const error = await readGguf(inMemory(bytes)).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error === undefined || InferceptError.isInstance(error), String(error)).toBe(true);
    });
    await fc.assert(property, { numRuns: 2000 });
  });
});
