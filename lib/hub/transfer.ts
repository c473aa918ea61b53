import { createHash } from 'node:crypto';
import { constants, createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InferceptError, throwIfAborted } from '../errors.js';
import { responseError, unreachable } from './errors.js';

/** Large files are known by their SHA-256; small ones by the name that git gives them. */
export interface Checksum {
  algorithm: 'sha256' | 'git';
  value: string;
}

/** A file that is to arrive. */
export interface Transfer {
  url: string;
  headers: Record<string, string>;
  /** Where it will be; until it is complete, it is beside that, under the name of {@link incompletePath}. */
  path: string;
  size: number;
  checksum: Checksum;
  signal: AbortSignal | undefined;
  /** Called with the bytes that are there. */
  onBytes(arrived: number): void;
}

/** A connection that broke is taken up again so often, unless bytes have arrived since. */
export const failuresMax = 5;
/** Before the first new attempt; doubled each time. */
export const pauseMs = 200;

/** Python's `.incomplete` files are left to Python, which appends to them whatever others write. */
function incompletePath(path: string): string {
  return `${path}.infercept.incomplete`;
}

/**
 * Gets a file. What had arrived before is not asked for again.
 *
 * Several processes may do so at once. Each writes what it receives where it belongs, so what two of them write is the same, and
 * everything before the end of the file has arrived; whoever is first gives the file its name.
 */
export async function transfer(file: Transfer): Promise<void> {
  await mkdir(dirname(file.path), { recursive: true });
  const incomplete = incompletePath(file.path);
  await receiveAll(file, incomplete);
  try {
    await verify(file, incomplete);
    await rename(incomplete, file.path);
  } catch (error) {
    // Another process has verified and named it.
    if (!existsSync(file.path)) throw error;
  }
}

async function receiveAll(file: Transfer, incomplete: string): Promise<void> {
  for (let failures = 0, arrived = await sizeOf(incomplete); arrived !== file.size || arrived === 0; ) {
    throwIfAborted(file.signal, `downloading ${file.url}`);
    if (arrived > file.size) await rm(incomplete, { force: true });
    const error = await receive(file, incomplete).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    throwIfAborted(file.signal, `downloading ${file.url}`);
    if (InferceptError.isInstance(error)) throw error;
    const now = await sizeOf(incomplete);
    if (now === file.size || existsSync(file.path)) return;
    failures = now > arrived ? 1 : failures + 1;
    if (failures >= failuresMax) throw unreachable(file.url, error);
    arrived = now;
    await sleep(pauseMs * 2 ** failures, undefined, { signal: file.signal }).catch(() => undefined);
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

/** Writes what the hub sends, from where the file ends. */
async function receive({ url, headers, size, signal, onBytes }: Transfer, path: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT);
  try {
    let { size: arrived } = await file.stat();
    const response = await fetch(url, {
      headers: { ...headers, ...(arrived > 0 && { range: `bytes=${arrived}-` }) },
      ...(signal && { signal }),
    });
    if (!response.ok) throw await responseError(url, response);
    // Whoever does not know of ranges sends everything.
    if (response.status !== 206) arrived = 0;
    for await (const chunk of response.body ?? []) {
      await writeAt(file, chunk, arrived);
      arrived += chunk.length;
      if (arrived > size) throw new Error(`more than ${size} bytes arrived`);
      onBytes(arrived);
    }
  } finally {
    await file.close();
  }
}

/** The system may write less than it is given. */
async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
  }
}

async function verify({ url, size, checksum }: Transfer, path: string): Promise<void> {
  const { algorithm, value } = checksum;
  const hash = createHash(algorithm === 'git' ? 'sha1' : algorithm);
  if (algorithm === 'git') hash.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  const found = hash.digest('hex');
  if (found === value) return;
  await rm(path, { force: true });
  throw new InferceptError(
    'ERR_MODEL_FORMAT',
    `${url} arrived damaged: its hash is ${found}, not ${value}. Load it again.`,
    { details: { url, found, expected: value } },
  );
}
