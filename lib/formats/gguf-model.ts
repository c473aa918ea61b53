import { InferceptError } from '../errors.js';
import type { ModelSpec } from '../model-spec.js';
import { architectureOfGguf } from './architectures/index.js';
import { createFields } from './fields.js';
import { type GgufHeader, type GgufTensor, readGguf } from './gguf.js';
import { readGgufTokenizer } from './gguf-tokenizer.js';
import type { LoadedModel, ReaderOptions } from './load-model.js';
import { openFile, type RandomAccessFile } from './random-access-file.js';
import { type FoundTensor, resolveTensors } from './tensor-table.js';

/** ggml's element types by number; null for numbers that were given up. */
const ggmlTypes = [
  ...['F32', 'F16', 'Q4_0', 'Q4_1', null, null, 'Q5_0', 'Q5_1', 'Q8_0', 'Q8_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'],
  ...['Q8_K', 'IQ2_XXS', 'IQ2_XS', 'IQ3_XXS', 'IQ1_S', 'IQ4_NL', 'IQ3_S', 'IQ2_S', 'IQ4_XS', 'I8', 'I16', 'I32'],
  ...['I64', 'F64', 'IQ1_M', 'BF16', null, null, null, 'TQ1_0', 'TQ2_0', null, null, null, 'MXFP4'],
] as const;

/** Reads one GGUF file. */
export async function readGgufModel(path: string, { signal, remote }: ReaderOptions): Promise<LoadedModel> {
  const file = await openFile(path, remote);
  try {
    const header = await readGguf(file, signal);
    refuseSplit(path, header);
    const { definition, defaults } = readGgufTokenizer(path, header.metadata);
    const chatTemplate = header.metadata.get('tokenizer.chat_template');
    return {
      spec: await specOf(file, header),
      tokenizer: { definition },
      ...(typeof chatTemplate === 'string' && { chatTemplate }),
      defaults,
    };
  } finally {
    await file.close();
  }
}

function refuseSplit(path: string, { metadata }: GgufHeader): void {
  const count = metadata.get('split.count');
  if (typeof count !== 'number' || count <= 1) return;
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${path} is one of ${count} parts of a split GGUF model. Join them into one file with llama-gguf-split --merge.`,
    { details: { path, count } },
  );
}

async function specOf(file: RandomAccessFile, { metadata, tensors }: GgufHeader): Promise<ModelSpec> {
  const { path, size } = file;
  const name = metadata.get('general.architecture');
  const architecture = architectureOfGguf(path, typeof name === 'string' ? name : '');
  const fields = createFields(path, (key) => uniform(metadata.get(`${architecture.gguf}.${key}`)));
  const found = new Map(tensors.map((tensor) => [tensor.name, foundTensor(tensor)]));
  const floats = await readFactors(file, tensors);
  const hyperparameters = architecture.fromGguf(fields, {
    embeddingRows: found.get('token_embd.weight')?.shape?.[0] ?? 0,
    has: (tensor) => found.has(tensor),
    floats: (tensor) => floats.get(tensor),
  });
  const files = [{ path, size }];
  return {
    architecture: architecture.name,
    hyperparameters,
    files: [path],
    tensors: resolveTensors(architecture, hyperparameters, { format: 'gguf', files, tensors: found }),
  };
}

/** Rotary factors that a choice of the engine's options depends on: they are settings that happen to be tensors. */
async function readFactors(
  file: RandomAccessFile,
  tensors: readonly GgufTensor[],
): Promise<ReadonlyMap<string, number[]>> {
  const factors = new Map<string, number[]>();
  for (const { name, type, dimensions, offset } of tensors) {
    const [count, ...rest] = dimensions;
    if (!/^rope_factors_(long|short)\.weight$/.test(name) || count === undefined || rest.some((size) => size > 1))
      continue;
    if (ggmlTypes[type] !== 'F32' || count > 4096) continue;
    const bytes = await file.read(offset, 4 * count);
    factors.set(
      name,
      Array.from({ length: count }, (_, index) => bytes.readFloatLE(4 * index)),
    );
  }
  return factors;
}

/** Some writers give one value per layer. Equal values are one value; others stay an array and are refused later. */
function uniform(value: unknown): unknown {
  if (!ArrayBuffer.isView(value)) return value;
  const values = value as unknown as ArrayLike<number>;
  return values.length > 0 && Array.from(values).every((element) => element === values[0]) ? values[0] : value;
}

function foundTensor({ type, dimensions, offset }: GgufTensor): FoundTensor {
  const [columns, rows = 1, ...rest] = dimensions as [number, ...number[]];
  return {
    type: ggmlTypes[type] ?? `number ${type}`,
    // Matrices of several experts lie one behind the other.
    shape: [rest.reduce((product, dimension) => product * dimension, rows), columns],
    file: 0,
    offset,
  };
}
