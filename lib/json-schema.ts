/**
 * Checks a value against the part of JSON Schema (draft 2020-12) that tool parameters use: types, enums, objects, arrays,
 * bounds, patterns, and combinations. Annotations such as `format` are ignored, as the standard allows; so is `$ref`.
 */

/** A JSON Schema object. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** What is wrong with a value: where, as in "$.items[2].name", and what. */
export interface SchemaIssue {
  path: string;
  message: string;
}

type Rule = (schema: JsonSchema, value: unknown, path: string) => SchemaIssue[];

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
}

function hasType(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  return typeOf(value) === type;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeOf(value) === 'object';
}

/** Equality of JSON values. */
function equal(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => equal(item, b[index]));
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
  }
  return a === b;
}

const checkType: Rule = (schema, value, path) => {
  const types = typeof schema.type === 'string' ? [schema.type] : schema.type;
  if (!Array.isArray(types) || types.some((type) => hasType(value, type))) return [];
  return [{ path, message: `must be ${types.join(' or ')}, not ${typeOf(value)}` }];
};

const checkValues: Rule = (schema, value, path) => {
  const allowed = 'const' in schema ? [schema.const] : schema.enum;
  if (!Array.isArray(allowed) || allowed.some((candidate) => equal(candidate, value))) return [];
  return [{ path, message: `must be ${allowed.map((candidate) => JSON.stringify(candidate)).join(' or ')}` }];
};

const checkNumber: Rule = (schema, value, path) => {
  if (typeof value !== 'number') return [];
  const bounds: [keyword: string, holds: (bound: number) => boolean, words: string][] = [
    ['minimum', (bound) => value >= bound, 'at least'],
    ['maximum', (bound) => value <= bound, 'at most'],
    ['exclusiveMinimum', (bound) => value > bound, 'more than'],
    ['exclusiveMaximum', (bound) => value < bound, 'less than'],
    ['multipleOf', (bound) => Number.isInteger(value / bound), 'a multiple of'],
  ];
  return broken(schema, bounds, path);
};

const checkLength: Rule = (schema, value, path) => {
  if (typeof value === 'string') {
    const issues = broken(schema, lengthBounds([...value].length, 'minLength', 'maxLength', 'characters'), path);
    const pattern = schema.pattern;
    if (typeof pattern === 'string' && !new RegExp(pattern, 'u').test(value)) {
      issues.push({ path, message: `must match ${pattern}` });
    }
    return issues;
  }
  return Array.isArray(value) ? broken(schema, lengthBounds(value.length, 'minItems', 'maxItems', 'items'), path) : [];
};

function lengthBounds(length: number, minimum: string, maximum: string, unit: string) {
  return [
    [minimum, (bound: number) => length >= bound, `of at least (${unit})`],
    [maximum, (bound: number) => length <= bound, `of at most (${unit})`],
  ] as [string, (bound: number) => boolean, string][];
}

function broken(
  schema: JsonSchema,
  bounds: [keyword: string, holds: (bound: number) => boolean, words: string][],
  path: string,
): SchemaIssue[] {
  return bounds
    .filter(([keyword, holds]) => typeof schema[keyword] === 'number' && !holds(schema[keyword] as number))
    .map(([keyword, , words]) => ({ path, message: `must be ${words} ${schema[keyword]}` }));
}

const checkArray: Rule = (schema, value, path) => {
  const { items } = schema;
  if (!Array.isArray(value) || !isRecord(items)) return [];
  return value.flatMap((item, index) => validateJsonSchema(items, item, `${path}[${index}]`));
};

const checkObject: Rule = (schema, value, path) => {
  if (!isRecord(value)) return [];
  const properties = isRecord(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
  const issues = required
    .filter((key) => !Object.hasOwn(value, key))
    .map((key) => ({ path: `${path}.${key}`, message: 'is missing' }));
  for (const [key, entry] of Object.entries(value)) {
    const known = Object.hasOwn(properties, key);
    const entrySchema = known ? properties[key] : schema.additionalProperties;
    if (entrySchema === false) issues.push({ path: `${path}.${key}`, message: 'is not a known property' });
    if (isRecord(entrySchema)) issues.push(...validateJsonSchema(entrySchema, entry, `${path}.${key}`));
  }
  return issues;
};

const checkCombinations: Rule = (schema, value, path) => {
  const schemas = (keyword: string): JsonSchema[] => (Array.isArray(schema[keyword]) ? schema[keyword] : []);
  const issues = schemas('allOf').flatMap((entry) => validateJsonSchema(entry, value, path));
  const alternatives = [...schemas('anyOf'), ...schemas('oneOf')];
  if (alternatives.length > 0 && !alternatives.some((entry) => validateJsonSchema(entry, value, path).length === 0)) {
    issues.push({ path, message: `must fit one of ${alternatives.length} alternatives` });
  }
  return issues;
};

const rules: Rule[] = [checkType, checkValues, checkNumber, checkLength, checkArray, checkObject, checkCombinations];

/** Everything that is wrong with `value`; empty if it fits. */
export function validateJsonSchema(schema: JsonSchema, value: unknown, path = '$'): SchemaIssue[] {
  return rules.flatMap((rule) => rule(schema, value, path));
}
