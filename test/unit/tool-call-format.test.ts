// Goal: calls are read rightly, whole and while they are written, however the text is cut. Method: properties over random
// calls, layouts and cuts; every cut of a few hand-picked texts.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { detectToolCallFormat, toolCallFormats } from '../../lib/text/tool-call-format.js';
import { fixture } from './support/fixtures.js';

const [hermes, llama3] = toolCallFormats as [(typeof toolCallFormats)[0], (typeof toolCallFormats)[0]];

/** Reads pieces as they come, as a stream does. */
function readPieces(format: typeof hermes, pieces: readonly string[]): { names: string[]; text: string } {
  const reader = format.createReader();
  const names: string[] = [];
  let text = '';
  for (const piece of pieces) {
    const delta = reader.push(piece);
    if (delta.name !== undefined) names.push(delta.name);
    if (names.length === 0) expect(delta.argumentsText).toBe('');
    text += delta.argumentsText;
  }
  return { names, text };
}

function cutAt(text: string, cuts: readonly number[]): string[] {
  const bounds = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length];
  return bounds.slice(1).map((bound, index) => text.slice(bounds[index], bound));
}

const call = fc.record({ name: fc.string({ minLength: 1 }), input: fc.dictionary(fc.string(), fc.jsonValue()) });

describe('a call of the Hermes format', () => {
  test('whole, in every layout', () => {
    const property = fc.property(call, fc.constantFrom(undefined, 1, 4), ({ name, input }, indent) => {
      const expected = JSON.parse(JSON.stringify({ name, arguments: input }));
      expect(hermes.parse(`\n${JSON.stringify({ name, arguments: input }, null, indent)}\n`)).toEqual(expected);
      expect(hermes.parse(JSON.stringify({ parameters: input, name }, null, indent))).toEqual(expected);
      expect(hermes.parse(JSON.stringify({ name, arguments: JSON.stringify(input) }))).toEqual(expected);
    });
    fc.assert(property);
  });

  test('while it is written, cut anywhere', () => {
    const layout = fc.constantFrom(undefined, 1, 4);
    const property = fc.property(
      call,
      layout,
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.boolean(),
      ({ name, input }, indent, cuts, nameFirst) => {
        const value = nameFirst ? { id: [{ name: 'x' }], name, arguments: input } : { arguments: input, name, id: 7 };
        const pieces = cutAt(JSON.stringify(value, null, indent), cuts);
        const { names, text } = readPieces(hermes, pieces);
        expect(names).toEqual([name]);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(input)));
      },
    );
    fc.assert(property, { numRuns: 1000 });
  });

  const tricky = [
    '{"name": "a\\"b", "arguments": {"name": "}", "arguments": "\\\\\\"{[", "x": [1, {"y": null}] } }',
    '\n { "arguments" :{ } , "name":"\\u00fc" }\n',
    '{"name": "f", "arguments": "text, not an object"}',
    '{"name": "f", "arguments": 12.5e3}',
  ];
  test.each(tricky)('every cut into three of %s', (source) => {
    const whole = readPieces(hermes, [source]);
    expect(JSON.parse(whole.text)).toEqual(JSON.parse(source).arguments);
    expect(whole.names).toEqual([JSON.parse(source).name]);
    for (let first = 0; first <= source.length; first++) {
      for (let second = first; second <= source.length; second++) {
        const pieces = [source.slice(0, first), source.slice(first, second), source.slice(second)];
        expect(readPieces(hermes, pieces)).toEqual(whole);
      }
    }
    expect(readPieces(hermes, [...source])).toEqual(whole);
  });

  test.each([
    ['{"name": "f", "arguments": {"x": 1}', /not valid JSON/],
    ['', /not valid JSON/],
    ['[1]', /JSON object/],
    ['"f"', /JSON object/],
    ['{"arguments": {}}', /"name"/],
    ['{"name": 7}', /"name"/],
    ['{"name": "f", "arguments": "x"}', /"f" must be a JSON object/],
  ])('that is none: %s', (source, reason) => {
    expect(hermes.parse(source)).toEqual({ error: expect.stringMatching(reason) });
  });

  test('without arguments', () => {
    expect(hermes.parse('{"name": "now"}')).toEqual({ name: 'now', arguments: {} });
  });

  test('nonsense never fails while it is written', () => {
    const character = fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '\\', 'n', ' ', 'name', '"arguments":');
    const property = fc.property(fc.array(character), (pieces) => void readPieces(hermes, pieces));
    fc.assert(property, { numRuns: 500 });
  });
});

describe('a call of the Llama 3 format', () => {
  test('the opening text belongs to the call', () => {
    const inner = ' "f", "parameters": {"x": "y"}}';
    expect(llama3.parse(inner)).toEqual({ name: 'f', arguments: { x: 'y' } });
    expect(readPieces(llama3, [...inner])).toEqual({ names: ['f'], text: '{"x": "y"}' });
  });
});

test('the format is detected from the template', () => {
  const without = { idOf: () => undefined };
  const llamaTokens = { idOf: (token: string) => (token === '<|eot_id|>' ? 1 : undefined) };
  const template = (name: string) => readFileSync(fixture(`templates/${name}.jinja`), 'utf8');
  expect(detectToolCallFormat(template('hermes'), without)).toBe(hermes);
  expect(detectToolCallFormat(template('trimming'), without)).toBeUndefined();
  expect(detectToolCallFormat(template('trimming'), llamaTokens)).toBe(llama3);
  expect(detectToolCallFormat('<tool_call>\n<function=f>', without)).toBeUndefined();
});
