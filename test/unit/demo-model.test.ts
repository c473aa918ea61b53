// Goal: the packaged model's tokenizer and template give the ids it was trained with. Method: goldens that its training
// code wrote.
import { expect, test } from 'vitest';
import { demoModelPath, readModel } from '../../lib/formats/load-model.js';
import { createChatTemplate } from '../../lib/text/chat-template.js';
import { createTokenizer } from '../../lib/text/tokenizer.js';
import { detectToolCallFormat } from '../../lib/text/tool-call-format.js';
import { asMessage, fixtureJson } from './support/fixtures.js';

const { conversations, texts } = fixtureJson('demo-template.json');

test('conversations and texts give the ids of the training code', async () => {
  const { tokenizer: source, defaults, chatTemplate, spec } = await readModel('demo');
  expect(spec.files).toEqual([demoModelPath()]);
  const tokenizer = createTokenizer(source, defaults);
  const spelling = (id: number | undefined) => (id === undefined ? undefined : tokenizer.decode([id]));
  const tokens = { bosToken: spelling(defaults.bosTokenId), eosToken: spelling(defaults.eosTokenIds[0]) };
  const template = createChatTemplate(chatTemplate!, tokenizer, tokens);
  for (const { name, messages, tools, text, ids, add_generation_prompt: addGenerationPrompt } of conversations) {
    const rendered = await template.renderConversation(messages.map(asMessage), {
      tools: tools?.map((tool: { function: object }) => tool.function),
      addGenerationPrompt,
    });
    expect(tokenizer.decode(rendered), name).toBe(text);
    expect(Array.from(rendered), name).toEqual(ids);
  }
  for (const { text, ids } of texts) expect(Array.from(tokenizer.encodeTemplate(text)), text).toEqual(ids);
  expect(template.supportsTools).toBe(true);
  expect(detectToolCallFormat(chatTemplate!, tokenizer)?.name).toBe('hermes');
  expect([...template.endOfTurnIds].every((id) => tokenizer.eosTokenIds.has(id))).toBe(true);
});
