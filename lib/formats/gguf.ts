import { InferceptError } from '../errors.js';
import { GgufCursor } from './gguf-cursor.js';
import { corrupt, type RandomAccessFile } from './random-access-file.js';

/** Arrays of numbers are typed arrays where JavaScript has one, so that a vocabulary costs what the file spends on it. */
export type GgufValue = number | bigint | boolean | string | GgufArray;
export type GgufArray = ArrayLike<number> | ArrayLike<bigint> | boolean[] | string[] | GgufArray[];

export interface GgufTensor {
  name: string;
  /** ggml's number for the element type. */
  type: number;
  /** Elements per dimension, the contiguous one first (as in the file). One to four entries. */
  dimensions: number[];
  /** Bytes from the start of the file. */
  offset: number;
  /** Bytes from the start of the file where this tensor's description stands; for messages. */
  describedAt: number;
}

export interface GgufHeader {
  version: number;
  metadata: Map<string, GgufValue>;
  tensors: GgufTensor[];
}

/** Longest key or tensor name. The format says 65,535 and 64 bytes; writers obey neither exactly. */
const nameBytesMax = 65_535;
/** An entry of the metadata takes at least a key length, a type and one byte. */
const metadataEntryBytesMin = 13;
/** A tensor takes at least a name length, a dimension count, one dimension, a type and an offset. */
const tensorBytesMin = 32;
const dimensionsMax = 4;
/** Arrays inside arrays inside arrays; no known file has even two levels. */
const arrayDepthMax = 4;
/** Arrays inside one array: each costs far more memory than its 12 bytes in the file. */
const innerArraysMax = 65_536;
const alignmentDefault = 32;
const alignmentMax = 1 << 20;

const magic = 0x46554747; // "GGUF" as a little-endian number

const stringType = 8;
const arrayType = 9;

/** One of the fixed-size types of metadata values. */
interface FixedType {
  bytes: number;
  read(view: DataView, at: number): number | bigint | boolean;
  /** Elements from bytes that are aligned and belong to nobody else. */
  array(buffer: ArrayBuffer): GgufArray;
}

/** By the format's number of the type. */
const fixedTypes: readonly (FixedType | undefined)[] = [
  { bytes: 1, read: (view, at) => view.getUint8(at), array: (buffer) => new Uint8Array(buffer) },
  { bytes: 1, read: (view, at) => view.getInt8(at), array: (buffer) => new Int8Array(buffer) },
  { bytes: 2, read: (view, at) => view.getUint16(at, true), array: (buffer) => new Uint16Array(buffer) },
  { bytes: 2, read: (view, at) => view.getInt16(at, true), array: (buffer) => new Int16Array(buffer) },
  { bytes: 4, read: (view, at) => view.getUint32(at, true), array: (buffer) => new Uint32Array(buffer) },
  { bytes: 4, read: (view, at) => view.getInt32(at, true), array: (buffer) => new Int32Array(buffer) },
  { bytes: 4, read: (view, at) => view.getFloat32(at, true), array: (buffer) => new Float32Array(buffer) },
  {
    bytes: 1,
    read: (view, at) => view.getUint8(at) !== 0,
    array: (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte !== 0),
  },
  undefined, // string
  undefined, // array
  { bytes: 8, read: (view, at) => narrow(view.getBigUint64(at, true)), array: (buffer) => new BigUint64Array(buffer) },
  { bytes: 8, read: (view, at) => narrow(view.getBigInt64(at, true)), array: (buffer) => new BigInt64Array(buffer) },
  { bytes: 8, read: (view, at) => view.getFloat64(at, true), array: (buffer) => new Float64Array(buffer) },
];

/** What one value takes at least: a string begins with its length, an array with a type and a length. */
function valueBytesMin(type: number): number | undefined {
  if (type === stringType) return 8;
  return type === arrayType ? 12 : fixedTypes[type]?.bytes;
}

/** A number where it is exact, else the bigint. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Reads the header of a GGUF file, version 2 or 3. Throws `ERR_MODEL_FORMAT` on anything that the file cannot back. */
export async function readGguf(file: RandomAccessFile, signal?: AbortSignal): Promise<GgufHeader> {
  const cursor = new GgufCursor(file, signal);
  const version = await readVersion(cursor);
  const tensorCount = await cursor.count('tensor count', tensorBytesMin);
  const metadataCount = await cursor.count('metadata count', metadataEntryBytesMin);
  const metadata = await readMetadata(cursor, metadataCount);
  const tensors = await readTensors(cursor, tensorCount);
  const alignment = readAlignment(file, metadata);
  const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
  for (const tensor of tensors) {
    if (tensor.offset % alignment !== 0) {
      throw corrupt(
        file.path,
        tensor.describedAt,
        `tensor "${tensor.name}" has offset ${tensor.offset}, not a multiple of ${alignment}`,
      );
    }
    tensor.offset += dataStart;
  }
  return { version, metadata, tensors };
}

async function readVersion(cursor: GgufCursor): Promise<number> {
  const { path } = cursor.file;
  await cursor.need(8, 'GGUF magic and version');
  const found = cursor.uint32();
  if (found !== magic) {
    throw corrupt(path, 0, `it begins with 0x${found.toString(16).padStart(8, '0')}, not with "GGUF"`);
  }
  const version = cursor.uint32();
  if (version === 2 || version === 3) return version;
  const bigEndian = version === 0x02000000 || version === 0x03000000;
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    bigEndian
      ? `${path} is a big-endian GGUF file; only little-endian ones are supported. Convert it for little-endian machines.`
      : `${path} has GGUF version ${version}; versions 2 and 3 are supported. Convert the model again.`,
    { details: { path, version } },
  );
}

async function readMetadata(cursor: GgufCursor, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  for (let index = 0; index < count; index++) {
    const start = cursor.offset;
    const key = await cursor.string('metadata key', nameBytesMax);
    if (metadata.has(key)) throw corrupt(cursor.file.path, start, `metadata key "${key}" occurs twice`);
    await cursor.need(4, `type of "${key}"`);
    metadata.set(key, await readValue(cursor, cursor.uint32(), key, 0));
  }
  return metadata;
}

async function readValue(cursor: GgufCursor, type: number, key: string, depth: number): Promise<GgufValue> {
  if (type === stringType) return cursor.string(`value of "${key}"`, cursor.file.size);
  if (type === arrayType) return readArray(cursor, key, depth);
  const fixed = fixedTypes[type];
  if (fixed === undefined)
    throw corrupt(cursor.file.path, cursor.offset - 4, `"${key}" has unknown value type ${type}`);
  await cursor.need(fixed.bytes, `value of "${key}"`);
  return fixed.read(cursor.view, cursor.advance(fixed.bytes));
}

async function readArray(cursor: GgufCursor, key: string, depth: number): Promise<GgufArray> {
  const { path } = cursor.file;
  const start = cursor.offset;
  await cursor.need(4, `element type of "${key}"`);
  const type = cursor.uint32();
  const bytesMin = valueBytesMin(type);
  if (bytesMin === undefined) throw corrupt(path, start, `"${key}" has unknown element type ${type}`);
  const count = await cursor.count(`element count of "${key}"`, bytesMin);
  if (type === stringType) return readStrings(cursor, key, count);
  if (type === arrayType) {
    if (depth + 1 >= arrayDepthMax) throw corrupt(path, start, `"${key}" nests arrays more than ${arrayDepthMax} deep`);
    if (count > innerArraysMax)
      throw corrupt(path, start, `"${key}" holds ${count} arrays, more than ${innerArraysMax}`);
    const arrays: GgufArray[] = [];
    for (let index = 0; index < count; index++) arrays.push(await readArray(cursor, key, depth + 1));
    return arrays;
  }
  const bytes = await cursor.bytes(count * bytesMin, `elements of "${key}"`);
  // The copy is aligned, and the window can be freed.
  return fixedTypes[type]!.array(new Uint8Array(bytes).buffer);
}

async function readStrings(cursor: GgufCursor, key: string, count: number): Promise<string[]> {
  const what = `element of "${key}"`;
  const strings: string[] = [];
  for (let index = 0; index < count; index++) {
    // Awaiting only when the window is used up makes a vocabulary of 128,000 tokens a matter of milliseconds.
    strings.push(cursor.stringAtHand() ?? (await cursor.string(what, cursor.file.size)));
  }
  return strings;
}

async function readTensors(cursor: GgufCursor, count: number): Promise<GgufTensor[]> {
  const tensors: GgufTensor[] = [];
  const names = new Set<string>();
  for (let index = 0; index < count; index++) {
    const tensor = await readTensor(cursor);
    if (names.has(tensor.name)) {
      throw corrupt(cursor.file.path, tensor.describedAt, `tensor "${tensor.name}" occurs twice`);
    }
    names.add(tensor.name);
    tensors.push(tensor);
  }
  return tensors;
}

async function readTensor(cursor: GgufCursor): Promise<GgufTensor> {
  const describedAt = cursor.offset;
  const name = await cursor.string('tensor name', nameBytesMax);
  await cursor.need(4, `dimension count of tensor "${name}"`);
  const dimensionCount = cursor.uint32();
  if (dimensionCount < 1 || dimensionCount > dimensionsMax) {
    throw corrupt(
      cursor.file.path,
      describedAt,
      `tensor "${name}" has ${dimensionCount} dimensions, not 1 to ${dimensionsMax}`,
    );
  }
  await cursor.need(8 * dimensionCount + 12, `dimensions, type and offset of tensor "${name}"`);
  const dimensions: number[] = [];
  for (let index = 0; index < dimensionCount; index++)
    dimensions.push(cursor.uint64(`dimension ${index} of tensor "${name}"`));
  const type = cursor.uint32();
  const offset = cursor.uint64(`offset of tensor "${name}"`);
  return { name, type, dimensions, offset, describedAt };
}

function readAlignment(file: RandomAccessFile, metadata: Map<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment') ?? alignmentDefault;
  if (typeof alignment === 'number' && alignment >= 1 && alignment <= alignmentMax && Number.isInteger(alignment)) {
    return alignment;
  }
  throw corrupt(file.path, 0, `general.alignment is ${alignment}, not an integer of 1 to ${alignmentMax}`);
}
