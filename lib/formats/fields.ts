import { InferceptError } from '../errors.js';

/** Typed access to the settings of an untrusted header: every value is checked, every error names file and key. */
export interface Fields {
  readonly path: string;
  has(key: string): boolean;
  /** Whether the key is there and says that there is no such thing; it counts as absent otherwise. */
  isNull(key: string): boolean;
  /** An integer within [1, max]. Without `fallback` the key is required. */
  count(key: string, max: number, fallback?: number): number;
  /** A finite number above zero. Without `fallback` the key is required. */
  positive(key: string, fallback?: number): number;
  /** A positive integer; 0 if the key is absent, or holds 0. */
  countOrNone(key: string, max: number): number;
  string(key: string, fallback: string): string;
  /** Finite numbers above zero. The key is required. */
  positives(key: string): number[];
  /** Elements of a list; 0 without the key. */
  length(key: string): number;
  /** `undefined` without the key. */
  strings(key: string): string[] | undefined;
  boolean(key: string, fallback: boolean): boolean;
  /** The value is well-formed but not supported. `supported` says what is. */
  unsupported(key: string, value: unknown, supported: string): InferceptError;
}

/**
 * @param path the file that the values come from; for messages
 * @param lookup the value of a key; undefined and null count as absent
 */
export function createFields(path: string, lookup: (key: string) => unknown): Fields {
  const get = (key: string): unknown => lookup(key) ?? undefined;

  /** The value if `accept` takes it, else the fallback if the key is absent, else an error that says what was expected. */
  function checked<T>(key: string, expected: string, fallback: T | undefined, accept: (value: unknown) => boolean): T {
    const value = get(key);
    if (value === undefined && fallback !== undefined) return fallback;
    if (accept(value)) return value as T;
    const found = value === undefined ? 'is missing' : `is ${describe(value)}`;
    throw new InferceptError('ERR_MODEL_FORMAT', `${path}: ${key} ${found}; expected ${expected}.`, {
      details: { path, key, value },
    });
  }

  return {
    path,
    has: (key) => get(key) !== undefined,
    isNull: (key) => lookup(key) === null,
    count: (key, max, fallback) =>
      checked<number>(key, `an integer of 1 to ${max}`, fallback, (value) => isInteger(value, 1, max)),
    positive: (key, fallback) =>
      checked<number>(key, 'a number above zero', fallback, (value) => Number.isFinite(value) && (value as number) > 0),
    countOrNone: (key, max) =>
      checked<number>(key, `an integer of 0 to ${max}`, 0, (value) => isInteger(value, 0, max)),
    positives: (key) =>
      checked<number[]>(
        key,
        'numbers above zero',
        undefined,
        (value) => Array.isArray(value) && value.every((number) => Number.isFinite(number) && number > 0),
      ),
    length: (key) => checked<unknown[]>(key, 'a list', [], Array.isArray).length,
    strings: (key) =>
      get(key) === undefined
        ? undefined
        : checked<string[]>(
            key,
            'strings',
            undefined,
            (value) => Array.isArray(value) && value.every((element) => typeof element === 'string'),
          ),
    string: (key, fallback) => checked(key, 'a string', fallback, (value) => typeof value === 'string'),
    boolean: (key, fallback) => checked(key, 'true or false', fallback, (value) => typeof value === 'boolean'),
    unsupported: (key, value, supported) =>
      new InferceptError('ERR_MODEL_UNSUPPORTED', `${path}: ${key} is ${describe(value)}; supported: ${supported}.`, {
        details: { path, key, value },
      }),
  };
}

function isInteger(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** A value for a message: at most a line, whatever the file holds. */
function describe(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  const text =
    typeof value === 'object' && value !== null ? `a ${value.constructor?.name ?? 'object'}` : JSON.stringify(value);
  return text === undefined ? String(value) : text.slice(0, 80);
}
