// Goal: a ModelSpec means what transformers computes, in each format and type. Method: the double-precision reference
// model, run from the spec alone, against logits by transformers in float32.
import { describe, expect, test } from 'vitest';
import { readModel } from '../../lib/formats/load-model.js';
import { fixture, fixtureJson } from './support/fixtures.js';
import { createReferenceModel } from './support/reference-model.js';

interface Golden {
  prompt: number[];
  logits: Record<string, number[]>;
  greedy: number[];
}

/** transformers computes in float32: sums of some hundred products of about 1. */
const tolerance = 2e-4;

const goldens: [string, Golden][] = Object.entries(fixtureJson('models/logits.golden.json'));

describe.each(goldens)('%s', (name, { prompt, logits, greedy }) => {
  test('logits and greedy tokens', async () => {
    const model = createReferenceModel((await readModel(fixture(`models/${name}`))).spec);
    const rows = model.logits([...prompt, ...greedy]);
    for (const [position, expected] of Object.entries(logits)) {
      const found = rows[Number(position)]!;
      for (const [token, value] of expected.entries()) {
        expect(Math.abs(found[token]! - value), `${position}, ${token}`).toBeLessThan(tolerance);
      }
    }
    const argmax = (row: Float64Array) => row.indexOf(Math.max(...row));
    expect(rows.slice(prompt.length - 1, -1).map(argmax)).toEqual(greedy);
  });
});
