import { setTimeout as sleep } from 'node:timers/promises';
import { InferceptError, throwIfAborted } from '../errors.js';
import { type RandomAccessFile, truncated } from '../formats/random-access-file.js';
import { responseError, unreachable } from './errors.js';
import { failuresMax, pauseMs } from './transfer.js';

/** A file that stays on the hub. */
export interface RemoteSource {
  url: string;
  headers: Record<string, string>;
  /** Where it would be if it were here; for messages. */
  path: string;
  size: number;
  signal: AbortSignal | undefined;
}

/** Bytes asked for at a time: enough for the header of most files. */
const windowBytes = 256 * 1024;

/** Reads ranges of a file where it is. */
export function openRemoteFile(source: RemoteSource): RandomAccessFile {
  const { path, size } = source;
  let window: { offset: number; bytes: Buffer } = { offset: 0, bytes: Buffer.alloc(0) };
  return {
    path,
    size,
    async read(offset, length) {
      if (offset + length > size) throw truncated(path, size, offset, length, 'data');
      if (offset < window.offset || offset + length > window.offset + window.bytes.length) {
        const end = Math.min(offset + Math.max(length, windowBytes), size);
        window = { offset, bytes: await readRange(source, offset, end) };
      }
      return window.bytes.subarray(offset - window.offset, offset - window.offset + length);
    },
    close: async () => {},
  };
}

async function readRange(source: RemoteSource, begin: number, end: number): Promise<Buffer> {
  for (let failures = 1; ; failures++) {
    throwIfAborted(source.signal, `reading ${source.url}`);
    try {
      return await request(source, begin, end);
    } catch (error) {
      throwIfAborted(source.signal, `reading ${source.url}`);
      if (InferceptError.isInstance(error)) throw error;
      if (failures >= failuresMax) throw unreachable(source.url, error);
    }
    await sleep(pauseMs * 2 ** failures, undefined, { signal: source.signal }).catch(() => undefined);
  }
}

async function request({ url, headers, signal }: RemoteSource, begin: number, end: number): Promise<Buffer> {
  const range = `bytes=${begin}-${end - 1}`;
  const response = await fetch(url, { headers: { ...headers, range }, ...(signal && { signal }) });
  if (!response.ok) throw await responseError(url, response);
  if (response.status !== 206) {
    await response.body?.cancel();
    throw new InferceptError(
      'ERR_MODEL_NOT_FOUND',
      `${url}: the hub sends no parts of files, so headers cannot be read without the weights. Load the model, and inspect it then.`,
      { details: { status: response.status } },
    );
  }
  const bytes = Buffer.from(await response.arrayBuffer());
  if (bytes.length !== end - begin) throw new Error(`${bytes.length} bytes arrived instead of ${end - begin}`);
  return bytes;
}
