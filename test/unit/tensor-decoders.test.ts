// Goal: the decoders that other tests trust are right for every type. Method: the gguf package's values
// (made by test/fixtures/make_quantized.py), up to its float32 rounding.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type TensorType, tensorTypes } from '../../lib/model-spec.js';
import { fixture } from './support/fixtures.js';
import { decode } from './support/tensor-decoders.js';

const quantized = (Object.keys(tensorTypes) as TensorType[]).filter((type) => tensorTypes[type].blockElements > 1);

describe('decode', () => {
  test.each(quantized)('%s', (type) => {
    const values = new Float32Array(new Uint8Array(readFileSync(fixture(`quantized/${type}.values`))).buffer);
    const decoded = decode(type, readFileSync(fixture(`quantized/${type}.blocks`)), values.length);
    const peak = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [index, value] of values.entries()) {
      // Three roundings; a difference with a minimum rounds in units of the larger one.
      const tolerance = 2 ** -23 * (Math.abs(value) + (type === 'mxfp4' ? 0 : peak));
      expect(Math.abs(decoded[index]! - value), `${index}: ${decoded[index]}, ${value}`).toBeLessThanOrEqual(tolerance);
    }
  });
});
