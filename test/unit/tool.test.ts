// Tool definitions: checks, defaults, validation by both kinds of schema, and the types that follow.
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { defineTool, type Tool, type ToolInput } from '../../lib/index.js';
import { validateJsonSchema } from '../../lib/json-schema.js';

const base = { name: 'lookup', description: 'Looks something up.', execute: () => 'x' };

describe('defineTool', () => {
  it('fills in defaults', () => {
    const tool = defineTool({ ...base, parameters: z.object({ key: z.string() }) });
    expect(tool).toMatchObject({
      kind: 'tool:lookup',
      retries: 0,
      readOnly: false,
      onError: 'report',
      mayNeedApproval: false,
    });
    expect(tool.jsonSchema).toMatchObject({
      type: 'object',
      properties: { key: { type: 'string' } },
      required: ['key'],
    });
  });

  it.each([
    [{ ...base, name: 'no spaces', parameters: {} }, /name/],
    [{ ...base, parameters: {}, timeOutMs: 3 }, /Did you mean `timeoutMs`/],
    [{ ...base }, /parameters/],
    [{ ...base, parameters: {}, execute: undefined }, /execute/],
    [{ ...base, parameters: {}, retries: -1 }, /retries/],
    [
      { ...base, parameters: { '~standard': { version: 1, vendor: 'x', validate: () => ({ value: 1 }) } } },
      /JSON Schema/,
    ],
    [undefined, /description|name|object/],
  ])('%#: refuses what is wrong', (definition, message) => {
    expect(() => defineTool(definition as never)).toThrowError(message);
  });

  it('validates and transforms by a Standard Schema', async () => {
    const tool = defineTool({ ...base, parameters: z.object({ count: z.coerce.number().max(5) }) });
    expect(await tool.parse({ count: '3' })).toEqual({ count: 3 });
    await expect(tool.parse({ count: 9 })).rejects.toThrowError(/\$\.count/);
  });

  it('validates by a JSON Schema', async () => {
    const tool = defineTool({
      ...base,
      parameters: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] },
    });
    expect(await tool.parse({ n: 3 })).toEqual({ n: 3 });
    await expect(tool.parse({ n: 3.5 })).rejects.toThrowError(/\$\.n must be integer/);
    await expect(tool.parse({})).rejects.toThrowError(/\$\.n is missing/);
  });

  it('infers what execute gets', () => {
    const parameters = z.object({ city: z.string(), days: z.number().default(3) });
    expectTypeOf<ToolInput<typeof parameters>>().toEqualTypeOf<{ city: string; days: number }>();
    const typed = defineTool({
      ...base,
      parameters,
      needsApproval: ({ days }) => days > 3,
      execute(input, context) {
        expectTypeOf(input).toEqualTypeOf<{ city: string; days: number }>();
        expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
        return input.city;
      },
    });
    const plain = defineTool({
      ...base,
      parameters: { type: 'object' },
      execute(input) {
        expectTypeOf(input).toEqualTypeOf<Record<string, unknown>>();
        return '';
      },
    });
    // Tools of all kinds fit into one list.
    expectTypeOf([typed, plain]).toExtend<Tool[]>();
    // @ts-expect-error: there is no such argument
    defineTool({ ...base, parameters, execute: ({ town }) => town });
  });
});

describe('JSON Schema', () => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 2, pattern: '^[a-z]+$' },
      age: { type: ['integer', 'null'], minimum: 0, exclusiveMaximum: 150 },
      tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 2 },
      any: { anyOf: [{ type: 'string' }, { type: 'number', multipleOf: 2 }] },
    },
    required: ['name'],
    additionalProperties: false,
  };

  it.each([
    [{ name: 'ab' }],
    [{ name: 'ab', age: null, tags: ['a', 'b'], any: 'x' }],
    [{ name: 'ab', age: 149, any: 4 }],
  ])('%j fits', (value) => {
    expect(validateJsonSchema(schema, value)).toEqual([]);
  });

  it.each<[unknown, string]>([
    [[], '$'],
    [{}, '$.name'],
    [{ name: 'a' }, '$.name'],
    [{ name: 'A1' }, '$.name'],
    [{ name: 'ab', age: -1 }, '$.age'],
    [{ name: 'ab', age: 150 }, '$.age'],
    [{ name: 'ab', age: 1.5 }, '$.age'],
    [{ name: 'ab', tags: ['a', 'c'] }, '$.tags[1]'],
    [{ name: 'ab', tags: ['a', 'a', 'a'] }, '$.tags'],
    [{ name: 'ab', any: 3 }, '$.any'],
    [{ name: 'ab', extra: 1 }, '$.extra'],
    [{ name: 'ab', constructor: 1 }, '$.constructor'],
  ])('%j does not, at %s', (value, path) => {
    expect(validateJsonSchema(schema, value).map((issue) => issue.path)).toContain(path);
  });

  it('compares constants deeply', () => {
    expect(validateJsonSchema({ const: { a: [1, { b: null }] } }, { a: [1, { b: null }] })).toEqual([]);
    expect(validateJsonSchema({ const: { a: [1] } }, { a: [1, 2] })).toHaveLength(1);
  });
});
