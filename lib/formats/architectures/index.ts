import { InferceptError } from '../../errors.js';
import type { Architecture, Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import { gemma2, gemma3 } from './gemma.js';
import { gptOss } from './gpt-oss.js';
import { gptj } from './gptj.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { mixtral } from './mixtral.js';
import { phi3 } from './phi3.js';
import { qwen2, qwen3, qwen3Moe } from './qwen.js';
import { starcoder2 } from './starcoder2.js';

/** What a GGUF file says beside its settings and what some hyperparameters can only be read from. */
export interface TensorFacts {
  /** Rows of the token embedding. */
  embeddingRows: number;
  has(tensor: string): boolean;
  /** The values of a small tensor of f32; undefined if there is none. */
  floats(tensor: string): number[] | undefined;
}

/** One tensor of an architecture and what each format calls it. */
export interface TensorRow {
  /** Canonical name, see `TensorSpec`. */
  name: string;
  gguf?: string;
  /** Absent where Hugging Face has no such tensor. */
  huggingFace?: string;
  shape: [rows: number, columns: number];
  /** Where the tensor is some rows of the file's. */
  part?: TensorPart;
  /** The same in GGUF alone. */
  ggufPart?: TensorPart;
  /** Where Hugging Face's file has it among others in one tensor of more dimensions. */
  huggingFaceRows?: TensorRows;
}

/** Every `step`-th row of a tensor whose last dimensions are a row. */
export interface TensorRows {
  dimensions: number[];
  firstRow: number;
  step: number;
  /** Of a tensor of MXFP4's codes, [..., rows, blocks, 16]: where the scales are, [..., rows, blocks]. */
  scales?: string;
}

export interface TensorPart {
  firstRow: number;
  /** Rows of the file's tensor. */
  ofRows: number;
}

/** All that sets one architecture apart for the loader. To add one: a file beside `llama.ts` and a row below. */
export interface ArchitectureRow {
  name: Architecture;
  /** Value of `general.architecture`; also the prefix of its metadata keys. Absent where GGUF counts it as another. */
  gguf?: string;
  /** Values of `architectures` in config.json. */
  huggingFace: string[];
  /** Whether Hugging Face's files hold experts as MXFP4. */
  packedExperts?: true;
  /** @param fields metadata, keys without the architecture's prefix */
  fromGguf(fields: Fields, facts: TensorFacts): Hyperparameters;
  /** @param fields config.json, nested keys joined by dots */
  fromHuggingFace(fields: Fields): Hyperparameters;
  /** Every tensor that a model of these hyperparameters must have. */
  tensors(hyperparameters: Hyperparameters): TensorRow[];
  /** Names of tensors that files may hold and nothing needs. Any other unknown tensor is refused. */
  ignored: RegExp;
}

const architectures: readonly ArchitectureRow[] = [
  llama,
  gptj,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen3Moe,
  gemma2,
  gemma3,
  phi3,
  gptOss,
  starcoder2,
];

export function architectureOfGguf(path: string, name: string): ArchitectureRow {
  return find(path, name, (row) => row.gguf === name);
}

export function architectureOfHuggingFace(path: string, names: readonly string[]): ArchitectureRow {
  return find(path, names.join(', '), (row) => row.huggingFace.some((name) => names.includes(name)));
}

function find(path: string, name: string, matches: (row: ArchitectureRow) => boolean): ArchitectureRow {
  const row = architectures.find(matches);
  if (row !== undefined) return row;
  const supported = architectures.map(({ name, huggingFace }) => `${name} (${huggingFace.join(', ')})`).join('; ');
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${path}: architecture "${name.slice(0, 80)}" is not supported; supported: ${supported}.`,
    { details: { path, architecture: name } },
  );
}
