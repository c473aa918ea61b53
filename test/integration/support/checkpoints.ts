// Rebuilds the checkpoints of test/fixtures/make_architectures.py, which holds the same functions in Python.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixture } from '../../unit/support/fixtures.js';

export interface Checkpoint {
  /** config.json */
  config: object;
  /** What weights of norms are drawn around. */
  normCentre: number;
  /** Added to every tensor's seed. */
  salt: number;
  /** By tensor name. */
  shapes: Record<string, number[]>;
}

/** Writes a Hugging Face directory without weights. */
export function writeDirectory(directory: string, { config }: Pick<Checkpoint, 'config'>): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  symlinkSync(fixture('architectures/tokenizer.json'), join(directory, 'tokenizer.json'));
}

/** Writes a Hugging Face directory. */
export function writeCheckpoint(directory: string, { config, normCentre, salt, shapes }: Checkpoint): void {
  writeDirectory(directory, { config });
  const header: Record<string, object> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const values = draw(name, shape, normCentre, salt);
    const bytes = Buffer.from(values.buffer);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes.length] };
    parts.push(bytes);
    offset += bytes.length;
  }
  // Padded, so that the values are aligned.
  const unpadded = JSON.stringify(header);
  const text = Buffer.from(unpadded.padEnd(Math.ceil(unpadded.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(join(directory, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
}

function nameHash(name: string): number {
  let value = 2166136261;
  for (const byte of Buffer.from(name)) value = Math.imul(value ^ byte, 16777619);
  return value;
}

function mix(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

function draw(name: string, shape: number[], normCentre: number, salt: number): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const seed = (nameHash(name) + salt) | 0;
  const codes = Float32Array.from(
    { length: count },
    (_, index) => (mix((Math.imul(index, 0x9e3779b9) + seed) | 0) >>> 24) - 128,
  );
  if (shape.length > 1) {
    const spread = 2 ** (Math.round(Math.log2(2.6 / Math.sqrt(shape.at(-1)!))) - 7);
    return codes.map((code) => code * spread);
  }
  if (!/norm|ln_/.test(name)) return codes.map((code) => code / 128);
  const centre = name.endsWith('bias') ? 0 : normCentre;
  return codes.map((code) => Math.floor(code / 8) / 32 + centre);
}
