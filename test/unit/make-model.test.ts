// Goal: the models that benchmarks make are models, in every type, and their activations neither vanish nor explode.
// Method: small ones are written, read like any file, and their weights decoded.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeModel, shapeSmall } from '../../bench/make-model.js';
import { readModel } from '../../lib/formats/load-model.js';
import { isQuantized, type TensorType, tensorTypes } from '../../lib/model-spec.js';
import { decode } from './support/tensor-decoders.js';

const folder = mkdtempSync(join(tmpdir(), 'infercept-make-model-'));
afterAll(() => rmSync(folder, { recursive: true }));

const path = join(folder, 'model.gguf');
const types = Object.keys(tensorTypes) as TensorType[];

describe('makeModel', () => {
  test.each(types)('%s', async (type) => {
    makeModel(path, shapeSmall, type);
    const { spec } = await readModel(path);
    const file = readFileSync(path);
    for (const { name, dtype, shape, offset, byteLength } of spec.tensors) {
      const [rows, columns] = shape;
      const values = decode(dtype, file.subarray(offset, offset + byteLength), rows * columns);
      if (rows === 1) {
        expect(dtype).toBe('f32');
        expect(values.every((value) => value === 1)).toBe(true);
        continue;
      }
      expect(dtype).toBe(type);
      const gain = Math.sqrt((values.reduce((sum, value) => sum + value * value, 0) / values.length) * columns);
      // Some thousand values with few scales; where only an exponent is chosen, half a power of two.
      const slack = isQuantized(type) && type !== 'mxfp4' ? 1.08 : 1.42;
      expect(gain, name).toBeGreaterThan(1 / slack);
      expect(gain, name).toBeLessThan(slack);
    }
  });

  test('the mixture of Q4_K_M', async () => {
    makeModel(path, { ...shapeSmall, layers: 8 }, 'q4_k_m');
    const { spec } = await readModel(path);
    const sixBits = spec.tensors.filter(({ dtype }) => dtype === 'q6_k').map(({ name }) => name);
    const layers = [0, 3, 6, 7].flatMap((layer) => [
      `layers.${layer}.attention.value`,
      `layers.${layer}.feedForward.down`,
    ]);
    expect(sixBits.sort()).toEqual([...layers, 'output'].sort());
    expect(spec.tensors.filter(({ dtype }) => dtype === 'q4_k')).toHaveLength(2 + 8 * 7 - sixBits.length);
  });

  test('rows that no block fits', async () => {
    makeModel(path, { ...shapeSmall, width: 96, heads: 3, kvHeads: 1 }, 'q4_k');
    const { spec } = await readModel(path);
    const typeOf = (name: string) => spec.tensors.find((tensor) => tensor.name === name)?.dtype;
    expect(typeOf('layers.0.feedForward.up')).toBe('q8_0');
    expect(typeOf('layers.0.feedForward.down')).toBe('q4_k');
  });

  test('the same bytes each time, others in each tensor', async () => {
    makeModel(path, shapeSmall, 'q4_0');
    const first = readFileSync(path);
    makeModel(path, shapeSmall, 'q4_0');
    expect(readFileSync(path).equals(first)).toBe(true);
    const { spec } = await readModel(path);
    const [gate, up] = ['gate', 'up'].map((part) => {
      const { offset, byteLength } = spec.tensors.find(({ name }) => name === `layers.0.feedForward.${part}`)!;
      return first.subarray(offset, offset + byteLength);
    });
    expect(gate!.equals(up!)).toBe(false);
  });
});
