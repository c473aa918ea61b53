import { readFileSync } from 'node:fs';
import type { ModelSpec, RopeSpec } from '../../../lib/model-spec.js';
import { decode } from './tensor-decoders.js';

type Matrix = { rows: number; columns: number; values: Float64Array };

/**
 * A model in double precision, one token at a time, as plain as can be: the oracle for what a `ModelSpec` means.
 * Slow; for tiny models.
 */
export interface ReferenceModel {
  /** Logits of every position, [tokens][vocabularySize]. */
  logits(tokens: readonly number[]): Float64Array[];
}

export function createReferenceModel(spec: ModelSpec): ReferenceModel {
  const { layers, heads, kvHeads, headDim, normEpsilon, rope, tiedEmbeddings } = spec.hyperparameters;
  const tensors = readTensors(spec);
  const tensor = (name: string): Matrix => tensors.get(name)!;
  const frequencies = ropeFrequencies(rope, tensors.get('ropeFactors')?.values);

  function attention(layer: number, input: Float64Array, keys: Float64Array[], values: Float64Array[]): Float64Array {
    const name = `layers.${layer}.attention`;
    const query = multiply(tensor(`${name}.query`), input);
    const key = multiply(tensor(`${name}.key`), input);
    const position = keys.length;
    for (let head = 0; head < heads; head++) rotate(query.subarray(head * headDim), position, rope, frequencies);
    for (let head = 0; head < kvHeads; head++) rotate(key.subarray(head * headDim), position, rope, frequencies);
    keys.push(key);
    values.push(multiply(tensor(`${name}.value`), input));
    const mixed = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const shared = Math.floor(head / (heads / kvHeads)) * headDim;
      const slice = (vector: Float64Array) => vector.subarray(shared, shared + headDim);
      const own = query.subarray(head * headDim, (head + 1) * headDim);
      const weights = softmax(keys.map((past) => dot(own, slice(past)) / Math.sqrt(headDim)));
      for (const [past, weight] of weights.entries()) {
        for (const [index, value] of slice(values[past]!).entries()) mixed[head * headDim + index]! += weight * value;
      }
    }
    return multiply(tensor(`${name}.output`), mixed);
  }

  function feedForward(layer: number, input: Float64Array): Float64Array {
    const name = `layers.${layer}.feedForward`;
    const up = multiply(tensor(`${name}.up`), input);
    const hidden = multiply(tensor(`${name}.gate`), input).map(
      (gate, index) => (gate / (1 + Math.exp(-gate))) * up[index]!,
    );
    return multiply(tensor(`${name}.down`), hidden);
  }

  const norm = (name: string, input: Float64Array): Float64Array => rmsNorm(tensor(name).values, input, normEpsilon);

  return {
    logits(tokens) {
      const keys = Array.from({ length: layers }, (): Float64Array[] => []);
      const values = Array.from({ length: layers }, (): Float64Array[] => []);
      return tokens.map((token) => {
        const { values: embedding, columns } = tensor('embedding');
        let state = embedding.slice(token * columns, (token + 1) * columns);
        for (let layer = 0; layer < layers; layer++) {
          const attended = attention(layer, norm(`layers.${layer}.attentionNorm`, state), keys[layer]!, values[layer]!);
          state = state.map((value, index) => value + attended[index]!);
          const fed = feedForward(layer, norm(`layers.${layer}.feedForwardNorm`, state));
          state = state.map((value, index) => value + fed[index]!);
        }
        return multiply(tensor(tiedEmbeddings ? 'embedding' : 'output'), norm('outputNorm', state));
      });
    },
  };
}

function readTensors({ files, tensors }: ModelSpec): Map<string, Matrix> {
  const contents = files.map((path) => readFileSync(path));
  return new Map(
    tensors.map(({ name, dtype, shape: [rows, columns], file, offset, byteLength }) => {
      const bytes = contents[file]!.subarray(offset, offset + byteLength);
      return [name, { rows, columns, values: decode(dtype, bytes, rows * columns) }];
    }),
  );
}

function ropeFrequencies({ dimension, base, scaling }: RopeSpec, factors: Float64Array | undefined): number[] {
  const plain = Array.from({ length: dimension / 2 }, (_, index) => base ** ((-2 * index) / dimension));
  switch (scaling.kind) {
    case 'none':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'factors':
      return plain.map((frequency, index) => frequency / factors![index]!);
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextTokens } = scaling;
      return plain.map((frequency) => {
        const turns = (originalContextTokens * frequency) / (2 * Math.PI);
        const blend = Math.min(1, Math.max(0, (turns - low) / (high - low)));
        return frequency * ((1 - blend) / factor + blend);
      });
    }
    default:
      throw new Error(`The reference model has no scaling of kind ${scaling.kind}.`);
  }
}

function rotate(head: Float64Array, position: number, { dimension, layout }: RopeSpec, frequencies: number[]): void {
  for (const [index, frequency] of frequencies.entries()) {
    const [first, second] = layout === 'half' ? [index, index + dimension / 2] : [2 * index, 2 * index + 1];
    const [x, y] = [head[first]!, head[second]!];
    const angle = position * frequency;
    head[first] = x * Math.cos(angle) - y * Math.sin(angle);
    head[second] = x * Math.sin(angle) + y * Math.cos(angle);
  }
}

function multiply({ rows, columns, values }: Matrix, input: Float64Array): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) =>
    dot(values.subarray(row * columns, (row + 1) * columns), input),
  );
}

function dot(left: Float64Array, right: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < left.length; index++) sum += left[index]! * right[index]!;
  return sum;
}

function rmsNorm(weight: Float64Array, input: Float64Array, epsilon: number): Float64Array {
  const scale = 1 / Math.sqrt(dot(input, input) / input.length + epsilon);
  return input.map((value, index) => value * scale * weight[index]!);
}

function softmax(scores: number[]): number[] {
  const max = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - max));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
