// Goal: the safetensors reader takes what the format allows and refuses the rest with a typed error. Method: headers
// written here, cut at every byte and damaged at random; whole model files cut and damaged and read as models.

import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { InferceptError } from '../../lib/errors.js';
import { readModel } from '../../lib/formats/load-model.js';
import { openFile } from '../../lib/formats/random-access-file.js';
import { readSafetensors } from '../../lib/formats/safetensors.js';
import { expectError, fixture } from './support/fixtures.js';

const directory = mkdtempSync(join(tmpdir(), 'infercept-safetensors-'));
afterAll(() => rmSync(directory, { recursive: true }));

async function read(bytes: Uint8Array) {
  const path = join(directory, 'test.safetensors');
  writeFileSync(path, bytes);
  const file = await openFile(path);
  return readSafetensors(file).finally(() => file.close());
}

function withHeader(header: unknown, dataBytes: number): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

const good = withHeader(
  {
    __metadata__: { format: 'pt' },
    matrix: { dtype: 'BF16', shape: [2, 3], data_offsets: [0, 12] },
    vector: { dtype: 'F32', shape: [5], data_offsets: [12, 32] },
  },
  32,
);

describe('readSafetensors', () => {
  test('matrices and vectors', async () => {
    const tensors = await read(good);
    const dataStart = good.length - 32;
    expect(tensors.get('matrix')).toMatchObject({ type: 'BF16', shape: [2, 3], offset: dataStart, byteLength: 12 });
    expect(tensors.get('vector')).toMatchObject({ type: 'F32', shape: [1, 5], offset: dataStart + 12, byteLength: 20 });
    expect(tensors.size).toBe(2);
  });

  test('cut at any byte', async () => {
    for (let size = 0; size < good.length; size++) {
      await expectError(read(good.subarray(0, size)), 'ERR_MODEL_FORMAT');
    }
  });

  const entry = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  test.each([
    ['a huge header', Buffer.concat([Buffer.alloc(8, 255), Buffer.alloc(99)]), /18446744073709551615/],
    ['an array for a header', withHeader([], 8), /object/],
    ['no dtype', withHeader({ t: { ...entry, dtype: undefined } }, 8), /"t" lacks/],
    ['a negative dimension', withHeader({ t: { ...entry, shape: [-2] } }, 8), /"t" lacks/],
    ['a broken dimension', withHeader({ t: { ...entry, shape: [1.5] } }, 8), /"t" lacks/],
    ['swapped offsets', withHeader({ t: { ...entry, data_offsets: [8, 0] } }, 8), /bytes 8 to 0/],
    ['too few bytes', withHeader({ t: { ...entry, data_offsets: [0, 4] } }, 8), /bytes 0 to 4/],
    ['bytes beyond the file', withHeader({ t: { ...entry, data_offsets: [4, 12] } }, 8), /bytes 4 to 12 of 8/],
  ])('%s', async (_, bytes, message) => {
    await expectError(read(bytes), 'ERR_MODEL_FORMAT', message);
  });
});

describe('damaged models', () => {
  /** A model in a directory of its own whose largest file is replaced. */
  function damaged(name: string, change: (bytes: Buffer) => Buffer): string {
    const copy = mkdtempSync(join(directory, 'model-'));
    const target = join(copy, name.endsWith('.gguf') ? 'model.gguf' : 'model.safetensors');
    if (name.endsWith('.gguf')) {
      writeFileSync(target, change(readFileSync(fixture(`models/${name}`))));
      return target;
    }
    for (const file of readdirSync(fixture(`models/${name}`)))
      copyFileSync(fixture(`models/${name}/${file}`), join(copy, file));
    writeFileSync(target, change(readFileSync(target)));
    return copy;
  }

  test.each(['scaled-bf16', 'plain-q8_0.gguf'])('%s cut short by one byte', async (name) => {
    const path = damaged(name, (bytes) => bytes.subarray(0, bytes.length - 1));
    await expectError(readModel(path), 'ERR_MODEL_FORMAT');
  });

  test.each(['scaled-bf16', 'plain-q8_0.gguf'])('%s damaged at random', async (name) => {
    const damage = fc.array(fc.tuple(fc.nat(12_000), fc.nat(255)), { minLength: 1, maxLength: 6 });
    const property = fc.asyncProperty(damage, async (changes) => {
      const path = damaged(name, (bytes) => {
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
      const error = await readModel(path).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error === undefined || InferceptError.isInstance(error), String(error)).toBe(true);
    });
    await fc.assert(property, { numRuns: 150 });
  });

  test('a split GGUF file names the remedy', async () => {
    const key = Buffer.from('general.name');
    const path = damaged('plain-q8_0.gguf', (bytes) => {
      // "general.name" (a string) becomes "split.countX"; the key must be exact, so write a whole new entry instead.
      const at = bytes.indexOf(key) - 8;
      const valueLength = Number(bytes.readBigUInt64LE(at + 8 + key.length + 4));
      const end = at + 8 + key.length + 4 + 8 + valueLength;
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(11n);
      const entry = Buffer.concat([length, Buffer.from('split.count'), Buffer.from([2, 0, 0, 0, 3, 0])]);
      return Buffer.concat([bytes.subarray(0, at), entry, bytes.subarray(end)]);
    });
    await expectError(readModel(path), 'ERR_MODEL_UNSUPPORTED', /3 parts.*--merge/);
  });

  test('a quantization that is not supported says which are', async () => {
    const path = damaged('plain-q8_0.gguf', (bytes) => {
      const name = Buffer.from('blk.0.ffn_up.weight');
      bytes.writeUInt32LE(16, bytes.indexOf(name) + name.length + 4 + 16);
      return bytes;
    });
    await expectError(readModel(path), 'ERR_MODEL_UNSUPPORTED', /IQ2_XXS.*Q8_0.*Q4_K/);
  });
});
