// Goal: calls are read rightly, whole and while they are written, however the text is cut. Method: properties over random
// calls, layouts and cuts; every cut of a few hand-picked texts.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { detectToolCallFormat, toolCallFormats } from '../../lib/text/tool-call-format.js';
import { fixture } from './support/fixtures.js';

type Format = (typeof toolCallFormats)[0];

const byName = Object.fromEntries(toolCallFormats.map((format) => [format.name, format]));
const formatOf = (name: string): Format => byName[name]!;
const hermes = formatOf('hermes');
const llama3 = formatOf('llama3-json');

/** Reads pieces as they come, as a stream does. */
function readPieces(format: Format, pieces: readonly string[]): { names: string[]; text: string } {
  const reader = format.createReader();
  const names: string[] = [];
  let text = '';
  for (const piece of pieces) {
    for (const delta of reader.push(piece)) {
      if (delta.name !== undefined) names.push(delta.name);
      if (names.length === 0) expect(delta.argumentsText).toBe('');
      text += delta.argumentsText;
    }
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
      expect(hermes.parse(`\n${JSON.stringify({ name, arguments: input }, null, indent)}\n`)).toEqual([expected]);
      expect(hermes.parse(JSON.stringify({ parameters: input, name }, null, indent))).toEqual([expected]);
      expect(hermes.parse(JSON.stringify({ name, arguments: JSON.stringify(input) }))).toEqual([expected]);
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
    expect(hermes.parse(source)).toEqual([{ error: expect.stringMatching(reason) }]);
  });

  test('without arguments', () => {
    expect(hermes.parse('{"name": "now"}')).toEqual([{ name: 'now', arguments: {} }]);
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
    expect(llama3.parse(inner)).toEqual([{ name: 'f', arguments: { x: 'y' } }]);
    expect(readPieces(llama3, [...inner])).toEqual({ names: ['f'], text: '{"x": "y"}' });
  });
});

/** What a model of the family writes behind the opening, and the calls that it means. */
const written: [format: string, inner: string, calls: { name: string; arguments: unknown }[]][] = [
  ['llama3-json', '{"name": "f", "parameters": {"x": "}"}}', [{ name: 'f', arguments: { x: '}' } }]],
  ['mistral', ' [{"name": "f", "arguments": {"x": "[}"}}]', [{ name: 'f', arguments: { x: '[}' } }]],
  [
    'mistral',
    ' [{"name": "f", "arguments": {"x": 1}}, {"arguments": {}, "name": "g", "id": "abcdefghi"}]',
    [
      { name: 'f', arguments: { x: 1 } },
      { name: 'g', arguments: {} },
    ],
  ],
  ['mistral', 'f[ARGS]{"x": {"y": []}}', [{ name: 'f', arguments: { x: { y: [] } } }]],
  [
    'mistral',
    'f[CALL_ID]abcdefghi[ARGS]{"x": "\\"{"}[TOOL_CALLS]g-2{"y": 2}',
    [
      { name: 'f', arguments: { x: '"{' } },
      { name: 'g-2', arguments: { y: 2 } },
    ],
  ],
  ['channels', 'f <|constrain|>json<|message|>{"x": "<|call|>"}', [{ name: 'f', arguments: { x: '<|call|>' } }]],
  ['channels', 'a.b<|channel|>commentary json<|message|>{"x": 1}<|call|>', [{ name: 'a.b', arguments: { x: 1 } }]],
  ['deepseek', 'function<｜tool▁sep｜>f\n```json\n{"x": "```"}\n```', [{ name: 'f', arguments: { x: '```' } }]],
  ['deepseek', 'f<｜tool▁sep｜>{"x": 1}', [{ name: 'f', arguments: { x: 1 } }]],
];

describe('calls of all families', () => {
  test.each(written)('%s: %s', (name, inner, calls) => {
    const format = formatOf(name);
    expect(format.parse(inner)).toEqual(calls);
    const whole = readPieces(format, [inner]);
    expect(whole.names).toEqual(calls.map((call) => call.name));
    const texts = calls.map((call) => JSON.stringify(call.arguments)).join('');
    expect(whole.text.replace(/(?<=[:,]) /g, '')).toBe(texts);
    for (let cut = 0; cut <= inner.length; cut++) {
      expect(readPieces(format, [inner.slice(0, cut), inner.slice(cut)]), `cut at ${cut}`).toEqual(whole);
    }
    expect(readPieces(format, [...inner])).toEqual(whole);
  });

  test('tools that Llama knows from training, and code', () => {
    const call = 'search.call(query="a, \\"b\\"", limit=3, kind=news)';
    expect(llama3.parse(call)).toEqual([{ name: 'search', arguments: { query: 'a, "b"', limit: 3, kind: 'news' } }]);
    expect(readPieces(llama3, [...call])).toEqual({ names: ['search'], text: '' });
    expect(llama3.parse('print(1 + 1)\n')).toEqual([{ name: 'code_interpreter', arguments: { code: 'print(1 + 1)' } }]);
  });

  test.each([
    ['mistral', ' []'],
    ['mistral', ' [{"name": "f"'],
    ['mistral', 'f(1)'],
    ['channels', 'f<|constrain|>json'],
    ['channels', 'f<|message|>{"x":'],
    ['deepseek', 'function<｜tool▁sep｜>f'],
    ['llama3-json', ''],
  ])('that is none, %s: %s', (name, inner) => {
    expect(formatOf(name).parse(inner)).toEqual([{ error: expect.stringMatching(/./) }]);
    readPieces(formatOf(name), [...inner]);
  });

  test('ids as the templates of Mistral want them', () => {
    const ids = [0, 1, 35, 36, 1e6].flatMap((turn) =>
      [0, 1, 40].map((index) => formatOf('mistral').callId!(turn, index)),
    );
    expect(ids.every((id) => /^[a-z0-9]{9}$/.test(id))).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
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
  const family = (name: string) => template(`families/${name}`);
  expect(detectToolCallFormat(family('qwen2.5'), without)).toBe(hermes);
  expect(detectToolCallFormat(family('qwen3'), without)).toBe(hermes);
  expect(detectToolCallFormat(family('mistral'), without)).toBe(formatOf('mistral'));
  expect(detectToolCallFormat(family('gpt-oss'), without)).toBe(formatOf('channels'));
  expect(detectToolCallFormat(family('deepseek-r1'), without)).toBe(formatOf('deepseek'));
  expect(detectToolCallFormat(family('llama3.1'), llamaTokens)).toBe(llama3);
  for (const name of ['llama2', 'vicuna', 'mixtral', 'gemma2', 'gemma3', 'phi3', 'phi4', 'chatml']) {
    expect(detectToolCallFormat(family(name), without), name).toBeUndefined();
  }
});
