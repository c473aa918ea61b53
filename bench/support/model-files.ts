// The models that benchmarks load: random weights in the shape of a 1.1 B Llama, made once and kept.
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TensorType, tensorTypes } from '../../lib/model-spec.js';
import { tensorBytes } from '../gguf-writer.js';
import { type ModelShape, type ModelWeights, makeModel, shape1B } from '../make-model.js';
import { UsageError } from './options.js';

/** Where files stay that are large and can be made again. */
export function benchFolder(): string {
  const folder = join(tmpdir(), 'infercept-bench');
  mkdirSync(folder, { recursive: true });
  return folder;
}

const modelWeights: readonly ModelWeights[] = [...(Object.keys(tensorTypes) as TensorType[]), 'q4_k_m'];

/** @throws UsageError */
export function toModelWeights(name: string): ModelWeights {
  const weights = modelWeights.find((known) => known === name);
  if (weights !== undefined) return weights;
  throw new UsageError(`There are no weights of type '${name}'; there are ${modelWeights.join(', ')}.`);
}

/** The path of the model with such weights. */
export function modelFile(weights: ModelWeights): string {
  const path = join(benchFolder(), `random-1b-${weights}.gguf`);
  if (!existsSync(path)) {
    console.log(`making ${path}`);
    makeModel(path, shape1B, weights);
  }
  return path;
}

/** What a step reads of the model: all of the file but the embedding. */
export function stepBytes(weights: ModelWeights): number {
  const embedding: TensorType = weights === 'q4_k_m' ? 'q4_k' : weights;
  const dimensions = [shape1B.width, shape1B.vocabularySize];
  return statSync(modelFile(weights)).size - tensorBytes({ name: 'token_embd', type: embedding, dimensions });
}

/** Bytes of keys and values of one token in float16. */
export const kvTokenBytes = shape1B.layers * 2 * kvWidth(shape1B) * 2;

/** Parameters in all matrices, in those of the layers, and in the one that makes logits (as large as the embedding). */
export const parameters = countParameters(shape1B);

function kvWidth(shape: ModelShape): number {
  return (shape.width / shape.heads) * shape.kvHeads;
}

function countParameters(shape: ModelShape) {
  const { width, ffnWidth } = shape;
  const layers = shape.layers * width * (2 * width + 2 * kvWidth(shape) + 3 * ffnWidth);
  const output = shape.vocabularySize * width;
  return { layers, output, all: layers + 2 * output };
}
