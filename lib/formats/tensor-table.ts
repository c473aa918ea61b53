import { InferceptError } from '../errors.js';
import {
  type Hyperparameters,
  isQuantized,
  type ModelSpec,
  type QuantizedType,
  type TensorSpec,
  type TensorType,
  tensorTypes,
} from '../model-spec.js';
import type { ArchitectureRow, TensorRow, TensorRows } from './architectures/index.js';

/** A tensor as a file describes it. */
export interface FoundTensor {
  /** The format's name of the element type, e.g. "Q4_K" or "BF16". */
  type: string;
  /** [rows, columns]; vectors have one row. Undefined for more than two dimensions. */
  shape: [rows: number, columns: number] | undefined;
  /** As the file gives them; GGUF's are folded into `shape`. */
  dimensions?: readonly number[];
  /** Index into the model's files. */
  file: number;
  /** Bytes from the start of the file. */
  offset: number;
  /** What the file says it takes; undefined where the format does not say. */
  byteLength?: number;
}

export interface FoundTensors {
  format: 'gguf' | 'huggingFace';
  files: readonly { path: string; size: number }[];
  /** By the format's names. */
  tensors: ReadonlyMap<string, FoundTensor>;
}

/**
 * Finds every tensor that the architecture needs and proves its type, shape and place in the file. A tensor that it does
 * not know is refused: to ignore a bias or an adapter would give wrong results without a word.
 */
export function resolveTensors(
  architecture: ArchitectureRow,
  hyperparameters: Hyperparameters,
  found: FoundTensors,
): TensorSpec[] {
  const known = new Set<string>();
  const specs = architecture.tensors(hyperparameters).map((row) => {
    const name = row[found.format];
    const tensor = name === undefined ? undefined : found.tensors.get(name);
    if (name === undefined || tensor === undefined) throw missing(found, name ?? row.name);
    known.add(name);
    if (found.format === 'gguf' || row.huggingFaceRows === undefined) return resolve(row, name, tensor, found);
    if (row.huggingFaceRows.scales !== undefined) known.add(row.huggingFaceRows.scales);
    return resolveRows(row, row.huggingFaceRows, found);
  });
  // Writers may repeat the shared matrix of tied embeddings.
  if (hyperparameters.tiedEmbeddings) known.add('lm_head.weight');
  for (const [name, { file }] of found.tensors) {
    if (!known.has(name) && !architecture.ignored.test(name)) throw unknown(found, architecture, name, file);
  }
  return specs;
}

function resolve(row: TensorRow, name: string, tensor: FoundTensor, found: FoundTensors): TensorSpec {
  const { path, size } = found.files[tensor.file]!;
  const where = `${path}: tensor "${name}"`;
  const dtype = supportedType(tensor.type, where);
  const [rows, columns] = row.shape;
  const part = row.part ?? (found.format === 'gguf' ? row.ggufPart : undefined);
  const { firstRow, ofRows } = part ?? { firstRow: 0, ofRows: rows };
  if (tensor.shape?.[0] !== ofRows || tensor.shape[1] !== columns) {
    const shape = tensor.shape === undefined ? 'more than two dimensions' : `shape [${tensor.shape}]`;
    throw broken(`${where} has ${shape}, but the hyperparameters call for [${ofRows}, ${columns}].`);
  }
  const { blockElements, blockBytes } = tensorTypes[dtype];
  if (columns % blockElements !== 0) {
    throw broken(`${where} has ${columns} columns, not a multiple of the ${blockElements} in a block of ${dtype}.`);
  }
  const rowBytes = (columns / blockElements) * blockBytes;
  const wholeLength = ofRows * rowBytes;
  if (tensor.byteLength !== undefined && tensor.byteLength !== wholeLength) {
    throw broken(`${where} takes ${tensor.byteLength} bytes, but its shape calls for ${wholeLength}.`);
  }
  if (tensor.offset + wholeLength > size) {
    throw broken(
      `${where} takes bytes ${tensor.offset} to ${tensor.offset + wholeLength}, but the file has ${size}. ` +
        'It is truncated: download it again.',
    );
  }
  const offset = tensor.offset + firstRow * rowBytes;
  return { name: row.name, dtype, shape: row.shape, file: tensor.file, offset, byteLength: rows * rowBytes };
}

/** Bytes of codes for a block of MXFP4; its scale is one more. */
const codeBytes = 16;

/** A tensor that the native side gathers from rows of others. */
function resolveRows(
  row: TensorRow,
  { dimensions, firstRow, step, scales }: TensorRows,
  found: FoundTensors,
): TensorSpec {
  const tensor = find(found, row.huggingFace!, dimensions);
  const [rows, columns] = row.shape;
  const place = { file: tensor.file, rowStep: step };
  if (scales === undefined) {
    const dtype = supportedType(tensor.type, `${found.files[tensor.file]!.path}: tensor "${row.huggingFace}"`);
    const { blockBytes } = tensorTypes[dtype];
    const offset = tensor.offset + firstRow * blockBytes;
    return { name: row.name, dtype, shape: row.shape, ...place, offset, byteLength: columns * blockBytes };
  }
  const blocks = columns / tensorTypes.mxfp4.blockElements;
  const scaleTensor = find(found, scales, dimensions.slice(0, -1));
  for (const { type } of [tensor, scaleTensor]) {
    if (type !== 'U8')
      throw broken(`${row.huggingFace} and ${scales} are ${type}, not the U8 of codes and scales of MXFP4.`);
  }
  return {
    name: row.name,
    dtype: 'mxfp4',
    shape: row.shape,
    ...place,
    offset: tensor.offset + firstRow * blocks * codeBytes,
    byteLength: rows * blocks * (codeBytes + 1),
    scales: { file: scaleTensor.file, offset: scaleTensor.offset + firstRow * blocks },
  };
}

function find(found: FoundTensors, name: string, dimensions: readonly number[]): FoundTensor {
  const tensor = found.tensors.get(name);
  if (tensor === undefined) throw missing(found, name);
  if (String(tensor.dimensions) === String(dimensions)) return tensor;
  const path = found.files[tensor.file]!.path;
  throw broken(
    `${path}: tensor "${name}" has shape [${tensor.dimensions?.slice(0, 8)}], but the hyperparameters call for [${dimensions}].`,
  );
}

function supportedType(type: string, where: string): TensorType {
  const dtype = type.toLowerCase();
  if (Object.hasOwn(tensorTypes, dtype)) return dtype as TensorType;
  const names = Object.keys(tensorTypes).join(', ').toUpperCase();
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${where} has type ${type}; supported: ${names}. Use a file with one of these, for example a Q8_0 one.`,
    { details: { type } },
  );
}

/** @throws InferceptError `ERR_INVALID_ARGUMENT` for weights that are quantized already: quantizing twice loses twice */
export function assertNotQuantized({ files, tensors }: ModelSpec, quantize: QuantizedType): void {
  const other = tensors.find(({ dtype }) => isQuantized(dtype));
  if (other === undefined) return;
  const { dtype, file } = other;
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `\`quantize\` is "${quantize}", but the weights in ${files[file]} are quantized already (tensor "${other.name}" ` +
      `is ${dtype.toUpperCase()}). Leave the option out, or load a file with F32, F16 or BF16 weights.`,
    { details: { name: 'quantize', value: quantize, type: dtype } },
  );
}

function missing(found: FoundTensors, name: string): InferceptError {
  const paths = found.files.map(({ path }) => path);
  return broken(
    `${paths[0]}${paths.length > 1 ? ` and ${paths.length - 1} more files` : ''}: tensor "${name}" is missing.`,
  );
}

function unknown(found: FoundTensors, architecture: ArchitectureRow, name: string, file: number): InferceptError {
  return new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${found.files[file]!.path}: tensor "${name}" is not part of a supported ${architecture.name} model.`,
    { details: { tensor: name } },
  );
}

function broken(message: string): InferceptError {
  return new InferceptError('ERR_MODEL_FORMAT', message);
}
