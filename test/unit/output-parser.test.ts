// However the output is cut into pieces, the parser says the same: every split of a text gives what the whole gives.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type OutputMarkers, OutputParser } from '../../lib/output-parser.js';
import { channels } from '../../lib/text/tool-call-formats/channels.js';

/** What the parser says, neighbouring texts of one kind joined. */
function parse(markers: OutputMarkers, pieces: string[]): string[] {
  const said: [kind: string, text: string][] = [];
  const say = (kind: string) => (text: string) => {
    const last = said.at(-1);
    if (last?.[0] === kind) last[1] += text;
    else said.push([kind, text]);
  };
  const parser = new OutputParser(markers, {
    text: say('text'),
    reasoning: say('reasoning'),
    toolInput: say('tool'),
    toolInputStart: () => said.push(['start', '']),
    toolInputEnd: () => said.push(['end', '']),
  });
  for (const piece of pieces) parser.push(piece);
  parser.flush();
  return said.map(([kind, text]) => `${kind}:${text}`);
}

const hermes: OutputMarkers = {
  toolCall: { open: '<tool_call>', close: '</tool_call>' },
  reasoning: { open: '<think>', close: '</think>' },
};

describe('the output parser', () => {
  it.each<[string, string[]]>([
    ['plain', ['text:plain']],
    ['<think>why</think>because', ['reasoning:why', 'text:because']],
    ['Look: <tool_call>{"a":1}</tool_call>', ['text:Look: ', 'start:', 'tool:{"a":1}', 'end:']],
    // White space between calls separates them and says nothing.
    ['<tool_call>1</tool_call>\n<tool_call>2</tool_call>\n', ['start:', 'tool:1', 'end:', 'start:', 'tool:2', 'end:']],
    ['<tool_call>1</tool_call>\n and so', ['start:', 'tool:1', 'end:', 'text:\n and so']],
    ['a < b <tool', ['text:a < b <tool']],
    ['</tool_call> stray', ['text:</tool_call> stray']],
    ['<tool_call>never closed', ['start:', 'tool:never closed', 'end:']],
    ['<tool_call><think></tool_call>', ['start:', 'tool:<think>', 'end:']],
    ['<<tool_call>x</tool_call>', ['text:<', 'start:', 'tool:x', 'end:']],
    ['', []],
  ])('%j', (text, expected) => {
    expect(parse(hermes, [text])).toEqual(expected);
    expect(parse(hermes, [...text])).toEqual(expected);
  });

  it('leaves everything alone without markers', () => {
    expect(parse({}, ['<tool_call>', 'x'])).toEqual(['text:<tool_call>x']);
  });

  it('takes a call without closing marker to the end, at the start only', () => {
    const llama: OutputMarkers = { toolCall: { open: '{"name":', onlyAtStart: true } };
    expect(parse(llama, ['{"na', 'me": "f"}'])).toEqual(['start:', 'tool: "f"}', 'end:']);
    expect(parse(llama, ['So: {"name": 1}'])).toEqual(['text:So: {"name": 1}']);
  });

  it('follows channels: thoughts, a call, an answer', () => {
    const { open, alsoOpen, silent, reasoning } = channels;
    const markers: OutputMarkers = { toolCall: { open, alsoOpen }, silent, reasoning };
    const call =
      '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f json<|message|>{}';
    const called = ['reasoning:hm', 'start:', 'tool:f json<|message|>{}', 'end:'];
    const answer =
      '<|channel|>analysis<|message|>oh<|end|><|start|>assistant<|channel|>final<|message|>Two < three.<|return|>';
    for (const text of [call, call.replace('<|channel|>commentary to', ' to')]) {
      expect(parse(markers, [text])).toEqual(called);
      expect(parse(markers, [...text])).toEqual(called);
    }
    expect(parse(markers, [...answer])).toEqual(['reasoning:oh', 'text:Two < three.']);
  });

  it('does not depend on how the text is cut', () => {
    const piece = fc.constantFrom('<tool_call>', '</tool_call>', '<think>', '</think>', '<', 'tool_', ' ', '\n', 'x');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(100), { maxLength: 8 }), (pieces, cuts) => {
        const text = pieces.join('');
        const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
        const parts = [...places, text.length].map((end, index) => text.slice(places[index - 1] ?? 0, end));
        expect(parse(hermes, parts)).toEqual(parse(hermes, [text]));
      }),
      { numRuns: 2000 },
    );
  });
});
