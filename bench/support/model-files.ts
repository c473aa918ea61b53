// The models that benchmarks load: random weights in the shape of a 1.1 B Llama, made once and kept.
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelShape, makeModel, shape1B } from '../make-model.js';

/** Where files stay that are large and can be made again. */
export function benchFolder(): string {
  const folder = join(tmpdir(), 'infercept-bench');
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The path of the model with weights of this type. */
export function modelFile(type: string): string {
  const path = join(benchFolder(), `random-1b-${type}.gguf`);
  if (!existsSync(path)) {
    console.log(`making ${path}`);
    makeModel(path, shape1B);
  }
  return path;
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
