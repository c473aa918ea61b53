// Goal: conversations render to the ids that transformers gives, for templates in the manner of each family, with tools, calls,
// results, thoughts and refusals. Method: goldens by transformers (see make_templates.py).
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ChatTemplate, createChatTemplate } from '../../lib/text/chat-template.js';
import type { ToolDescription } from '../../lib/text/messages.js';
import { createTokenizer, type Tokenizer } from '../../lib/text/tokenizer.js';
import type { TokenizerDefinition } from '../../lib/text/tokenizer-source.js';
import { asMessage, expectError, fixture, fixtureJson } from './support/fixtures.js';

interface Case {
  addGenerationPrompt: boolean;
  messages: Record<string, unknown>[];
  tools?: { function: ToolDescription }[];
  variables?: Record<string, unknown>;
}

type Golden = { text: string; ids: number[] } | { error: string };

const definition: TokenizerDefinition = fixtureJson('tokenizers/bytelevel.tokenizer.json');
const cases: Record<string, Case> = {
  ...fixtureJson('templates/cases.json'),
  ...fixtureJson('templates/families.json'),
};
const goldens: Record<string, { control: string[]; eos: string; cases: Record<string, Golden> }> = fixtureJson(
  'templates/families.golden.json',
);

/** The tests' vocabulary, with the family's control tokens. */
function tokenizerWith(control: readonly string[]): Tokenizer {
  const known = new Map(definition.added_tokens.map(({ content, id }) => [content, id]));
  const first = Object.keys(definition.model.vocab).length + known.size;
  const added = control
    .filter((content) => !known.has(content))
    .map((content, index) => ({ id: first + index, content, special: true, normalized: false }));
  const extended = { ...definition, added_tokens: [...definition.added_tokens, ...added] };
  return createTokenizer({ definition: extended }, { eosTokenIds: [], addBosToken: false });
}

function familyOf(name: string): { tokenizer: Tokenizer; template: ChatTemplate } {
  const { control, eos } = goldens[name]!;
  const tokenizer = tokenizerWith(control);
  const source = readFileSync(fixture(`templates/families/${name}.jinja`), 'utf8');
  return { tokenizer, template: createChatTemplate(source, tokenizer, { bosToken: control[0], eosToken: eos }) };
}

describe.each(Object.keys(goldens))('%s', (name) => {
  const { tokenizer, template } = familyOf(name);

  test.each(Object.keys(cases))('%s', async (key) => {
    const { messages, tools, addGenerationPrompt, variables } = cases[key]!;
    const fixedDate = name === 'llama3.2' && variables === undefined ? { date_string: '26 Jul 2024' } : variables;
    const rendered = template.renderConversation(messages.map(asMessage), {
      tools: tools?.map((tool) => tool.function),
      addGenerationPrompt,
      variables: fixedDate,
    });
    const golden = goldens[name]!.cases[key]!;
    if ('error' in golden) {
      const error = await expectError(rendered, 'ERR_INVALID_ARGUMENT');
      expect(error.message).toContain(golden.error);
      return;
    }
    const ids = await rendered;
    expect(tokenizer.decode(ids)).toBe(golden.text);
    expect(Array.from(ids)).toEqual(golden.ids);
  });
});

test('which templates tell of tools', () => {
  const telling = Object.keys(goldens).filter((name) => familyOf(name).template.supportsTools);
  expect(telling).toEqual(['llama3.1', 'llama3.2', 'mistral', 'qwen2.5', 'qwen3', 'gpt-oss']);
});

test('a template may write the date', async () => {
  const { tokenizer, template } = familyOf('llama3.2');
  const before = new Date();
  const text = tokenizer.decode(await template.renderConversation([{ role: 'user', content: 'Hi' }]));
  const after = new Date();
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const written = [before, after].map(
    (date) => `Today Date: ${String(date.getDate()).padStart(2, '0')} ${months[date.getMonth()]} ${date.getFullYear()}`,
  );
  expect(written.some((date) => text.includes(date))).toBe(true);
});
