import { type FileHandle, open } from 'node:fs/promises';
import { InferceptError } from '../errors.js';

/** A file read at any offset. Readers check every range against `size` before they ask for it. */
export interface RandomAccessFile {
  /** As given; for messages. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes [offset, offset + length). Throws `ERR_MODEL_FORMAT` if the file ends before. */
  read(offset: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** Files that are elsewhere, by the paths that stand for them. */
export type RemoteFiles = ReadonlyMap<string, () => RandomAccessFile>;

/** Opens a file for reading. Throws `ERR_MODEL_NOT_FOUND` if that is not possible. */
export async function openFile(path: string, remote?: RemoteFiles): Promise<RandomAccessFile> {
  const elsewhere = remote?.get(path);
  if (elsewhere !== undefined) return elsewhere();
  const handle = await openHandle(path);
  const { size } = await handle.stat();
  return {
    path,
    size,
    read: (offset, length) => readRange(handle, path, size, offset, length),
    close: () => handle.close(),
  };
}

async function openHandle(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    throw notFound(path, cause);
  }
}

/** The error for a path that cannot be opened. */
export function notFound(path: string, cause: unknown): InferceptError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new InferceptError('ERR_MODEL_NOT_FOUND', `Cannot open ${path}: ${reason}. Check the path.`, {
    details: { path },
    cause,
  });
}

async function readRange(
  handle: FileHandle,
  path: string,
  size: number,
  offset: number,
  length: number,
): Promise<Buffer> {
  if (offset + length > size) throw truncated(path, size, offset, length, 'data');
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) throw truncated(path, offset + filled, offset, length, 'data');
    filled += bytesRead;
  }
  return buffer;
}

/** The error for a file that ends inside something. `what` is that thing, as in "tensor name". */
export function truncated(path: string, size: number, offset: number, length: number, what: string): InferceptError {
  return new InferceptError(
    'ERR_MODEL_FORMAT',
    `${path} is truncated or corrupt: ${what} at byte ${offset} needs ${length} bytes, but the file has ${size}. ` +
      'Download or convert it again.',
    { details: { path, offset, length, size } },
  );
}

/** The error for bytes that cannot be what the format demands. */
export function corrupt(path: string, offset: number, problem: string): InferceptError {
  return new InferceptError('ERR_MODEL_FORMAT', `${path} is corrupt at byte ${offset}: ${problem}.`, {
    details: { path, offset },
  });
}
