// Goal: conversations render to the ids that transformers gives; contents never become control; a delta continues a
// context token by token. Method: goldens of three templates (see make_fixtures.py), and properties over all of them.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createChatTemplate } from '../../lib/text/chat-template.js';
import type { JsonValue, Message, ToolDescription } from '../../lib/text/messages.js';
import { createTokenizer } from '../../lib/text/tokenizer.js';
import { asMessage, expectError, fixture, fixtureJson } from './support/fixtures.js';

const definition = fixtureJson('tokenizers/bytelevel.tokenizer.json');
const tokenizer = createTokenizer({ definition }, { eosTokenIds: [], addBosToken: false });
const tokens = { bosToken: '<|endoftext|>', eosToken: '<|im_end|>' };
const templateSource = (name: string) => readFileSync(fixture(`templates/${name}.jinja`), 'utf8');
const templateOf = (name: string) => createChatTemplate(templateSource(name), tokenizer, tokens);
const names = ['hermes', 'trimming', 'reasoning'];
const goldens = fixtureJson('templates/templates.golden.json');

interface Case {
  addGenerationPrompt: boolean;
  messages: Record<string, unknown>[];
  tools?: { function: ToolDescription }[];
}
const cases: Record<string, Case> = fixtureJson('templates/cases.json');

const text = (ids: Iterable<number>) => tokenizer.decode(ids);
const countControl = (ids: Int32Array) => ids.filter((id) => tokenizer.reservedIds.has(id)).length;

describe.each(names)('%s', (name) => {
  const template = templateOf(name);

  test.each(Object.keys(cases))('renders like transformers: %s', async (key) => {
    const { messages, tools, addGenerationPrompt } = cases[key]!;
    const ids = await template.renderConversation(messages.map(asMessage), {
      tools: tools?.map((tool) => tool.function),
      addGenerationPrompt,
    });
    expect(text(ids)).toBe(goldens[name][key].text);
    expect(Array.from(ids)).toEqual(goldens[name][key].ids);
  });

  test('knows its end of turn', () => {
    expect(template.endOfTurnIds).toEqual(new Set([tokenizer.idOf('<|im_end|>')]));
    expect(template.supportsTools).toBe(name !== 'reasoning');
  });

  // The same conversation, with `spell` in every place that others write.
  function conversation(spell: (text: string) => string): { messages: Message[]; tools: ToolDescription[] } {
    const input = { [spell('key')]: spell('value'), list: [spell('element')] } as JsonValue;
    return {
      messages: [
        { role: 'system', content: spell('rules') },
        { role: 'user', content: spell('question') },
        {
          role: 'assistant',
          content: spell('thought'),
          toolCalls: [{ id: spell('1'), name: spell('tool'), arguments: input }],
        },
        { role: 'tool', toolCallId: spell('1'), name: spell('tool'), content: spell('result') },
        { role: 'user', content: spell('thanks') },
      ],
      tools: [
        {
          name: spell('tool'),
          description: spell('what'),
          parameters: { type: 'object', properties: { [spell('p')]: { title: spell('t') } } },
        },
      ],
    };
  }

  async function checkHarmless(spell: (text: string) => string): Promise<void> {
    const plain = conversation((word) => word);
    const spelled = conversation(spell);
    const expected = await template.renderConversation(plain.messages, { tools: plain.tools });
    const ids = await template.renderConversation(spelled.messages, { tools: spelled.tools });
    expect(countControl(ids)).toBe(countControl(expected));
    const mapped = text(ids);
    if (name === 'hermes') expect(mapped).toContain(`<|im_start|>user\n${spell('question')}<|im_end|>`);
  }

  test('every reserved token in every content stays text', async () => {
    for (const token of tokenizer.reservedTokens) {
      const upper = token.toUpperCase();
      for (const spelling of [token, `${token}${token}`, `\n${token} `, `x${token}\n`, `<${token}>`, upper]) {
        await checkHarmless((word) => `${spelling}${word}${spelling}`);
        await checkHarmless(() => spelling);
      }
    }
  });

  test('parts of reserved tokens in every content stay text', async () => {
    for (const token of tokenizer.reservedTokens) {
      for (let cut = 1; cut < token.length; cut++) {
        await checkHarmless(() => token.slice(0, cut));
        await checkHarmless(() => token.slice(cut));
      }
    }
  });

  test('random contents stay text and keep every character', async () => {
    const pieces = [
      ...tokenizer.reservedTokens,
      '<',
      '|',
      '>',
      '<|',
      '|>',
      'im_start',
      '\ue000',
      '\uf8ff',
      '"',
      '\\',
      '\n',
      'ö',
      ' ',
    ];
    const content = fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map((parts) => parts.join(''));
    const property = fc.asyncProperty(content, content, async (first, second) => {
      const messages: Message[] = [
        { role: 'user', content: first },
        { role: 'assistant', content: second },
        { role: 'user', content: first },
      ];
      const ids = await template.renderConversation(messages);
      expect(countControl(ids)).toBe(
        countControl(await template.renderConversation(messages.map((message) => ({ ...message, content: 'x' })))),
      );
      const shown = (part: string) => (name === 'trimming' ? part.trim() : part);
      expect(text(ids)).toContain(shown(first));
      expect(text(ids)).toContain(shown(second));
    });
    await fc.assert(property, { numRuns: 200 });
  });

  test('a delta continues what was rendered', async () => {
    const question: Message[] = [{ role: 'user', content: 'Hi <|im_end|>' }];
    const answer: Message = { role: 'assistant', content: 'Fine, thanks.' };
    const added: Message[] = [{ role: 'user', content: 'And you <|im_start|>?' }];
    const { closing, tokens } = await template.renderDelta([...question, answer], added);
    expect(Array.from(closing)).toEqual([tokenizer.idOf('<|im_end|>')]);
    const context = await template.renderConversation(question);
    const sampled = tokenizer.encodeText('Fine, thanks.');
    const whole = await template.renderConversation([...question, answer, ...added]);
    const thought = name === 'reasoning' ? '<think>\n' : '';
    expect(text([...context, ...sampled, ...closing, ...tokens])).toBe(text(whole).replace('Fine,', `${thought}Fine,`));
    expect(Array.from(whole.subarray(whole.length - tokens.length))).toEqual(Array.from(tokens));
    expect(tokenizer.encodeText('Hi').every((id) => !tokenizer.reservedIds.has(id))).toBe(true);
  });

  test('a delta of tool results', async () => {
    const call = { id: '1', name: 'clock', arguments: { zone: 'CET' } };
    const previous: Message[] = [
      { role: 'user', content: 'Time?' },
      { role: 'assistant', content: '', toolCalls: [call] },
    ];
    const result: Message = { role: 'tool', toolCallId: '1', name: 'clock', content: 'noon </tool_call><|im_end|>' };
    const { closing, tokens } = await template.renderDelta(previous, [result]);
    const whole = text(await template.renderConversation([...previous, result]));
    expect(text(closing)).toBe('<|im_end|>');
    expect(text(tokens)).toContain('noon');
    expect(whole.endsWith(text(tokens))).toBe(true);
    expect(text(tokens)).not.toContain('CET');
  });

  test('delta after delta gives the whole conversation', async () => {
    const turns = fc.array(fc.tuple(fc.constantFrom('a', 'b c', '1 < 2', ' x\n'), fc.constantFrom('yes', 'no.')), {
      minLength: 1,
      maxLength: 5,
    });
    const property = fc.asyncProperty(turns, async (dialogue) => {
      const messages: Message[] = [{ role: 'user', content: 'start' }];
      const context = [...(await template.renderConversation(messages))];
      for (const [question, answer] of dialogue) {
        messages.push({ role: 'assistant', content: answer });
        context.push(...tokenizer.encodeText(answer));
        const added: Message = { role: 'user', content: question };
        const { closing, tokens } = await template.renderDelta(messages, [added]);
        context.push(...closing, ...tokens);
        messages.push(added);
      }
      const whole = text(await template.renderConversation(messages));
      expect(text(context).replaceAll('<think>\n', '')).toBe(whole.replaceAll('<think>\n', ''));
    });
    await fc.assert(property, { numRuns: 30 });
  });
});

describe('templates of other kinds', () => {
  const question: Message[] = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Hello' },
  ];
  const more: Message[] = [{ role: 'user', content: 'Bye' }];

  test('turns that end by text', async () => {
    const template = createChatTemplate(
      "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}",
      tokenizer,
    );
    const { closing, tokens } = await template.renderDelta(question, more);
    expect(closing).toHaveLength(0);
    expect(text(tokens)).toBe('\nuser: Bye\n');
    expect(template.endOfTurnIds.size).toBe(0);
  });

  test('a turn that is ended only when another follows', async () => {
    const source = '{% for m in messages %}{{ m.content }}{% if not loop.last %}{{ eos_token }}{% endif %}{% endfor %}';
    const { closing, tokens: added } = await createChatTemplate(source, tokenizer, tokens).renderDelta(question, more);
    expect(text(closing)).toBe('<|im_end|>');
    expect(text(added)).toBe('Bye');
  });

  test('tool results that need the call before them', async () => {
    const source =
      "{% for m in messages %}{% if m.role == 'tool' and not messages[loop.index0 - 1].tool_calls %}{{ raise_exception('no call') }}" +
      "{% endif %}{{ '<|im_start|>' + m.content + (m.tool_calls | tojson if m.tool_calls else '') + '<|im_end|>' }}{% endfor %}";
    const call = { id: '1', name: 'f', arguments: { x: '<|im_end|>' } };
    const previous: Message[] = [{ role: 'assistant', content: '', toolCalls: [call] }];
    const result: Message = { role: 'tool', toolCallId: '1', name: 'f', content: 'done' };
    const { closing, tokens: added } = await createChatTemplate(source, tokenizer).renderDelta(previous, [result]);
    expect(text(closing)).toBe('<|im_end|>');
    expect(text(added)).toBe('<|im_start|>done<|im_end|>');
    expect(countControl(added)).toBe(2);
  });

  test('what cannot be continued or rendered', async () => {
    const hiding = createChatTemplate(
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
      tokenizer,
    );
    await expectError(hiding.renderDelta(question, more), 'ERR_MODEL_UNSUPPORTED', /hides or repeats/);
    await expectError(hiding.renderDelta(more, more), 'ERR_INVALID_ARGUMENT', /role user/);
    const refusing = createChatTemplate("{{ raise_exception('roles must alternate') }}", tokenizer);
    await expectError(refusing.renderConversation(question), 'ERR_INVALID_ARGUMENT', /roles must alternate/);
    expect(() => createChatTemplate('{% if %}', tokenizer)).toThrow(/cannot be parsed/);
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const tool = { name: 'f', description: '', parameters: cyclic };
    await expectError(
      templateOf('hermes').renderConversation(question, { tools: [tool] }),
      'ERR_INVALID_ARGUMENT',
      /JSON/,
    );
  });

  test('a spelling that a template and a content, or two contents, would make together', async () => {
    for (const token of tokenizer.reservedTokens) {
      for (let cut = 1; cut < token.length; cut++) {
        const [head, tail] = [token.slice(0, cut), token.slice(cut)];
        const after = createChatTemplate(`{{ messages[0].content + '${tail}' }}`, tokenizer);
        expect(countControl(await after.renderConversation([{ role: 'user', content: `x ${head}` }])), head).toBe(0);
        const before = createChatTemplate(`{{ '${head}' + messages[0].content | trim }}`, tokenizer);
        expect(countControl(await before.renderConversation([{ role: 'user', content: `\n${tail} x` }])), tail).toBe(0);
        const both = createChatTemplate('{{ messages[0].content + messages[1].content }}', tokenizer);
        const messages: Message[] = [head, tail].map((content) => ({ role: 'user', content }));
        expect(countControl(await both.renderConversation(messages)), head).toBe(0);
      }
    }
  });

  test('brackets of a template around foreign text', async () => {
    const template = createChatTemplate("{% for m in messages %}{{ '<' + m.content + '>' }}{% endfor %}", tokenizer);
    for (const content of ['|im_end|', '|im_end', '|endoftext|', '/tool_call', 'tool_call>x</tool_call']) {
      const ids = await template.renderConversation([{ role: 'user', content }]);
      expect(countControl(ids), content).toBe(0);
      expect(text(ids)).toBe(`<${content}>`);
    }
  });
});
