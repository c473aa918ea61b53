/**
 * Checks for values that callers supply. A check returns the value in its final type or throws `ERR_INVALID_ARGUMENT`
 * with the option's full name, what was given and what is allowed.
 */
import { InferceptError } from './errors.js';

/** Turns an unknown value into a `T`, or throws. `name` is the full path, as in "kvCache.bytes". */
export type Check<T> = (value: unknown, name: string) => T;

/** The value types of a table of checks. */
export type Checked<Checks extends Record<string, Check<unknown>>> = {
  [Key in keyof Checks]?: ReturnType<Checks[Key]>;
};

/** A number of bytes, or a string such as `'512MiB'`, `'4 GiB'`, `'1.5GB'`. */
export type Bytes = number | string;

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}

export function invalid(name: string, value: unknown, expected: string): InferceptError {
  return new InferceptError('ERR_INVALID_ARGUMENT', `\`${name}\` is ${show(value)}; it must be ${expected}.`, {
    details: { name, value },
  });
}

export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, name) => {
    if (Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum) {
      return value as number;
    }
    const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
    throw invalid(name, value, `an integer ${range}`);
  };
}

export function real(minimum: number, maximum: number): Check<number> {
  return (value, name) => {
    if (typeof value === 'number' && value >= minimum && value <= maximum) return value;
    throw invalid(name, value, `a number from ${minimum} to ${maximum}`);
  };
}

export function oneOf<const Value extends string>(...values: Value[]): Check<Value> {
  return (value, name) => {
    if ((values as unknown[]).includes(value)) return value as Value;
    throw invalid(name, value, `one of ${values.map((allowed) => `'${allowed}'`).join(', ')}`);
  };
}

export const string: Check<string> = (value, name) => {
  if (typeof value === 'string') return value;
  throw invalid(name, value, 'a string');
};

export const nonEmptyString: Check<string> = (value, name) => {
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(name, value, 'a string that is not empty');
};

export const boolean: Check<boolean> = (value, name) => {
  if (typeof value === 'boolean') return value;
  throw invalid(name, value, 'true or false');
};

/** A callback; its own signature is the type's promise. */
export function callback<Callback>(): Check<Callback> {
  return (value, name) => {
    if (typeof value === 'function') return value as Callback;
    throw invalid(name, value, 'a function');
  };
}

export const abortSignal: Check<AbortSignal> = (value, name) => {
  if (value instanceof AbortSignal) return value;
  throw invalid(name, value, 'an AbortSignal');
};

/** Passes a value on that is checked elsewhere. */
export function anything<Value>(): Check<Value> {
  return (value) => value as Value;
}

export function arrayOf<Item>(item: Check<Item>): Check<Item[]> {
  return (value, name) => {
    if (!Array.isArray(value)) throw invalid(name, value, 'an array');
    return value.map((entry, index) => item(entry, `${name}[${index}]`));
  };
}

/** Token ids: an array or a typed array of integers from 0. */
export const tokenIds: Check<number[]> = (value, name) => {
  if (!Array.isArray(value) && !(value instanceof Int32Array) && !(value instanceof Uint32Array)) {
    throw invalid(name, value, 'an array of token ids');
  }
  return Array.from(value, (entry, index) => integer(0, 2 ** 31 - 1)(entry, `${name}[${index}]`));
};

const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

export const bytes: Check<number> = (value, name) => {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  const match = typeof value === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value) : null;
  const unit = match && byteUnits[match[2]!.toLowerCase()];
  if (!match || unit === undefined || unit === null) {
    throw invalid(name, value, "a number of bytes or a string such as '512MiB' or '4GiB'");
  }
  return Math.floor(Number(match[1]) * unit);
};

/** Levenshtein distance. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[j]! + 1, current[j - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

function nearest(name: string, allowed: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  const ranked = allowed
    .map((candidate) => ({ candidate, distance: editDistance(lower, candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  // Farther than about half of the word, a suggestion would be a guess.
  return best !== undefined && best.distance <= Math.max(2, name.length / 2) ? best.candidate : undefined;
}

/** An object with only the given keys; every key is optional. Absent and `undefined` are the same. */
export function options<Checks extends Record<string, Check<unknown>>>(checks: Checks): Check<Checked<Checks>> {
  const allowed = Object.keys(checks);
  return (value, name) => {
    if (value === undefined) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, value, 'an object');
    const result: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(value)) {
      const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
      if (check === undefined) throw unknownOption(name, key, allowed);
      if (entry !== undefined) result[key] = check(entry, name === '' ? key : `${name}.${key}`);
    }
    return result as Checked<Checks>;
  };
}

/** As {@link options}, but the object and the keys that are named have to be there. */
export function required<Checks extends Record<string, Check<unknown>>, Key extends keyof Checks & string>(
  checks: Checks,
  ...keys: Key[]
): Check<Checked<Checks> & { [Needed in Key]: ReturnType<Checks[Needed]> }> {
  const read = options(checks);
  return (value, name) => {
    if (value === undefined && name !== '') throw invalid(name, undefined, 'given');
    const result = read(value, name);
    for (const key of keys) {
      if (result[key] === undefined) throw invalid(name === '' ? key : `${name}.${key}`, undefined, 'given');
    }
    return result as Checked<Checks> & { [Needed in Key]: ReturnType<Checks[Needed]> };
  };
}

function unknownOption(where: string, key: string, allowed: readonly string[]): InferceptError {
  const suggestion = nearest(key, allowed);
  const place = where === '' ? '' : ` in \`${where}\``;
  const remedy = suggestion === undefined ? `Allowed: ${allowed.join(', ')}.` : `Did you mean \`${suggestion}\`?`;
  return new InferceptError('ERR_INVALID_ARGUMENT', `Unknown option \`${key}\`${place}. ${remedy}`, {
    details: { name: key, allowed },
  });
}
