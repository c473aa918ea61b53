import { join } from 'node:path';
import { InferceptError, throwIfAborted } from '../errors.js';
import { isJsonObject, parseJsonObject, readJsonFile } from './json-file.js';
import { corrupt, openFile, type RandomAccessFile, type RemoteFiles } from './random-access-file.js';
import type { FoundTensor, FoundTensors } from './tensor-table.js';

/** The format's own limit. */
const headerBytesMax = 100_000_000;
const shardsMax = 4096;

const singleFile = 'model.safetensors';
const indexFile = 'model.safetensors.index.json';

/** Bytes per element of the types that models use; of others the size is not checked, they are not supported anyway. */
const elementBytes: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I8: 1,
  U8: 1,
};

export interface ShardOptions {
  signal?: AbortSignal | undefined;
  /** Files that are not in the directory. */
  remote?: RemoteFiles;
  /** Called after each file. */
  onFile?(done: number, total: number): void;
}

/** Finds the weights of a Hugging Face directory, in one file or in shards, and reads their headers. */
export async function readSafetensorsDirectory(
  directory: string,
  names: ReadonlySet<string>,
  { signal, remote, onFile }: ShardOptions,
): Promise<FoundTensors> {
  const shards = await listShards(directory, names);
  const files: { path: string; size: number }[] = [];
  const tensors = new Map<string, FoundTensor>();
  for (const [index, shard] of shards.entries()) {
    throwIfAborted(signal, `reading ${directory}`);
    const file = await openFile(join(directory, shard), remote);
    try {
      for (const [name, tensor] of await readSafetensors(file)) {
        if (tensors.has(name)) throw corrupt(file.path, 8, `tensor "${name}" is in another shard, too`);
        tensors.set(name, { ...tensor, file: index });
      }
      files.push({ path: file.path, size: file.size });
    } finally {
      await file.close();
    }
    onFile?.(index + 1, shards.length);
  }
  return { format: 'huggingFace', files, tensors };
}

async function listShards(directory: string, names: ReadonlySet<string>): Promise<string[]> {
  if (names.has(singleFile)) return [singleFile];
  if (names.has(indexFile)) return shardsOfIndex(join(directory, indexFile));
  const other = [...names].find((name) => /\.(bin|pth|pt|gguf|safetensors)$/.test(name));
  throw new InferceptError(
    other === undefined ? 'ERR_MODEL_NOT_FOUND' : 'ERR_MODEL_UNSUPPORTED',
    `${directory} has neither ${singleFile} nor ${indexFile}${other === undefined ? '' : `, but ${other}`}. ` +
      'Save the model as safetensors, or load a GGUF file by its own path.',
    { details: { directory } },
  );
}

/** Names of the files that an index lists. */
export async function shardsOfIndex(path: string): Promise<string[]> {
  const { weight_map: map } = await readJsonFile(path);
  if (!isJsonObject(map)) throw corrupt(path, 0, 'weight_map is not an object');
  const shards = [...new Set(Object.values(map))].sort();
  if (shards.length === 0 || shards.length > shardsMax) {
    throw corrupt(path, 0, `weight_map names ${shards.length} files, not 1 to ${shardsMax}`);
  }
  for (const shard of shards) {
    // A name with a path in it could lead out of the directory.
    if (typeof shard !== 'string' || !/^[^/\\\0]+\.safetensors$/.test(shard)) {
      throw corrupt(path, 0, `weight_map names ${JSON.stringify(shard)}, which is no plain *.safetensors file name`);
    }
  }
  return shards as string[];
}

/** Reads the header of one safetensors file: 8 bytes of length, then that much JSON. */
export async function readSafetensors(file: RandomAccessFile): Promise<Map<string, FoundTensor>> {
  const { path, size } = file;
  const length = (await file.read(0, 8)).readBigUInt64LE();
  if (length > BigInt(Math.min(size - 8, headerBytesMax))) {
    throw corrupt(
      path,
      0,
      `the header claims ${length} bytes, but the file has ${size} and the format allows ${headerBytesMax}`,
    );
  }
  const dataStart = 8 + Number(length);
  const header = parseJsonObject(`The header of ${path}`, (await file.read(8, Number(length))).toString('utf8'));
  const tensors = new Map<string, FoundTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__') tensors.set(name, readEntry(path, name, entry, dataStart, size));
  }
  return tensors;
}

function readEntry(path: string, name: string, entry: unknown, dataStart: number, size: number): FoundTensor {
  const { dtype, shape, data_offsets: offsets } = isJsonObject(entry) ? entry : {};
  if (typeof dtype !== 'string' || !isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
    throw corrupt(path, 8, `tensor "${name}" lacks a valid dtype, shape or data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = elementBytes[dtype];
  const expected = shape.reduce((product, dimension) => product * dimension, bytes ?? 0);
  if (begin > end || dataStart + end > size || (bytes !== undefined && end - begin !== expected)) {
    throw corrupt(
      path,
      8,
      `tensor "${name}", ${dtype} [${shape.slice(0, 8)}], takes bytes ${begin} to ${end} of ${size - dataStart} bytes of data`,
    );
  }
  return {
    type: dtype,
    shape: matrixShape(shape),
    dimensions: shape,
    file: 0,
    offset: dataStart + begin,
    byteLength: end - begin,
  };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((element) => Number.isSafeInteger(element) && element >= 0);
}

function matrixShape(shape: number[]): [number, number] | undefined {
  if (shape.length === 1) return [1, shape[0]!];
  return shape.length === 2 ? [shape[0]!, shape[1]!] : undefined;
}
