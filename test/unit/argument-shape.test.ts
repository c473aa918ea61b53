// argumentShape(): calls that may take different times get different keys, no key tells what was said, and no call can make
// keys long or many.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argumentShape } from '../../lib/argument-shape.js';

const schema = {
  type: 'object',
  properties: {
    query: { type: 'string' },
    depth: { type: 'integer' },
    mode: { enum: ['fast', 'thorough'] },
    recursive: { type: 'boolean' },
    paths: { type: 'array', items: { type: 'string' } },
    filter: { type: 'object' },
  },
};

describe('argumentShape', () => {
  it.each([
    [{}, ''],
    [{ query: 'red wine', depth: 3 }, 'depth=3,query=text4'],
    [{ depth: 3, query: 'blue whale' }, 'depth=3,query=text4'],
    [{ depth: 1 }, 'depth=1'],
    [{ depth: 5 }, 'depth=4+'],
    [{ depth: -37 }, 'depth=-32+'],
    [{ depth: 0.3 }, 'depth=0.25+'],
    [{ depth: null }, 'depth=null'],
    [{ mode: 'thorough' }, 'mode=#1'],
    [{ mode: 'thorough and more' }, 'mode=text16'],
    [{ recursive: false, query: '' }, 'query=text0,recursive=false'],
    [{ paths: ['a', 'b', 'c'], filter: { size: 1 } }, 'filter=object1,paths=list2'],
    [{ depth: 1, password: 'secret', token: 'secret', key: 'secret' }, 'depth=1,+2'],
    [{ depth: undefined }, ''],
    ['no object', 'text4'],
    [[1, 2], 'list2'],
  ])('of %j is %j', (input, shape) => {
    expect(argumentShape(input, schema)).toBe(shape);
  });

  it('knows no names without a schema', () => {
    expect(argumentShape({ a: 1, b: 2 }, { type: 'object' })).toBe('+2');
    expect(argumentShape({ constructor: 1 }, { type: 'object', properties: {} })).toBe('+1');
  });

  it('is short and says nothing of texts, whatever the arguments are', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...Object.keys(schema.properties), 'x', 'y'), fc.jsonValue()),
        (input) => {
          const shape = argumentShape(input, schema);
          expect(shape.length).toBeLessThan(200);
          expect(shape).toMatch(/^([a-z]+=(null|true|false|#\d|-?[\d.]+\+?|(text|list|object)\d+)(,|$))*(\+\d+)?$/);
        },
      ),
    );
  });

  it('stays short for tools with many properties of long names', () => {
    const names = Array.from({ length: 100 }, (_, index) => `${index}`.padStart(3, '0') + 'x'.repeat(100));
    const wide = { type: 'object', properties: Object.fromEntries(names.map((name) => [name, {}])) };
    const shape = argumentShape(Object.fromEntries(names.map((name) => [name, 1])), wide);
    expect(shape.length).toBeLessThan(400);
    expect(shape.endsWith(',+64')).toBe(true);
  });
});
