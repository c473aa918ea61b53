import { throwIfAborted } from '../errors.js';
import { corrupt, type RandomAccessFile, truncated } from './random-access-file.js';

/** Bytes fetched at a time: a few reads for the vocabulary of a large model, one for a small model. */
const windowBytes = 1 << 20;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Walks through a file from its start, one window at a time. Call {@link need} before the plain readers; it proves that
 * the file has the bytes and brings them into the window.
 */
export class GgufCursor {
  /** Little-endian view of the window. Index with what {@link advance} returns. */
  view: DataView = new DataView(new ArrayBuffer(0));
  private window: Buffer = Buffer.alloc(0);
  /** Where the window begins in the file. */
  private windowStart = 0;
  /** Position in the window. */
  private position = 0;

  constructor(
    readonly file: RandomAccessFile,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Bytes from the start of the file. */
  get offset(): number {
    return this.windowStart + this.position;
  }

  /** Brings the next `length` bytes into the window. `what` names them in the error if the file has less. */
  async need(length: number, what: string): Promise<void> {
    if (this.position + length <= this.window.length) return;
    const { file, offset } = this;
    if (length > file.size - offset) throw truncated(file.path, file.size, offset, length, what);
    throwIfAborted(this.signal, `reading ${file.path}`);
    this.window = await file.read(offset, Math.min(Math.max(length, windowBytes), file.size - offset));
    this.view = new DataView(this.window.buffer, this.window.byteOffset, this.window.length);
    this.windowStart = offset;
    this.position = 0;
  }

  /** Steps over `length` bytes and returns where in the window they begin. */
  advance(length: number): number {
    const position = this.position;
    this.position += length;
    return position;
  }

  uint32(): number {
    return this.view.getUint32(this.advance(4), true);
  }

  /** A 64-bit number that must be exact in JavaScript; every true size is. */
  uint64(what: string): number {
    const start = this.offset;
    const value = this.view.getBigUint64(this.advance(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(this.file.path, start, `${what} is ${value}`);
    return Number(value);
  }

  /** A 64-bit number of things that take at least `bytesMin` bytes each of what is left of the file. */
  async count(what: string, bytesMin: number): Promise<number> {
    const start = this.offset;
    await this.need(8, what);
    const count = this.uint64(what);
    const left = this.file.size - this.offset;
    if (count * bytesMin > left) {
      throw corrupt(
        this.file.path,
        start,
        `${what} is ${count}, which takes ${count * bytesMin} bytes or more, but ${left} are left`,
      );
    }
    return count;
  }

  async bytes(length: number, what: string): Promise<Buffer> {
    await this.need(length, what);
    const start = this.advance(length);
    return this.window.subarray(start, start + length);
  }

  /** A string with its 64-bit length before it. */
  async string(what: string, lengthMax: number): Promise<string> {
    const start = this.offset;
    const length = await this.count(`length of ${what}`, 1);
    if (length > lengthMax) throw corrupt(this.file.path, start, `${what} has ${length} bytes, more than ${lengthMax}`);
    return utf8.decode(await this.bytes(length, what));
  }

  /** The next string if the window holds all of it; then it is read without a check of the file being necessary. */
  stringAtHand(): string | undefined {
    const { position, window } = this;
    if (position + 8 > window.length) return undefined;
    const length = Number(this.view.getBigUint64(position, true));
    const end = position + 8 + length;
    if (end > window.length) return undefined;
    this.position = end;
    return utf8.decode(window.subarray(position + 8, end));
  }
}
