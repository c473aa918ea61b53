import type { ToolCallFormat } from '../tool-call-format.js';
import { type ParsedToolCall, parseNamedCall } from '../tool-call-json.js';
import { createHeadedReader } from '../tool-call-reader.js';

/** A name, what kind of text follows, and the sign that it begins. */
const head = /^\s*([\w.-]+)[\s\S]*?<\|message\|>/;

/**
 * `<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{…}<|call|>`, where the last token ends the turn; the
 * recipient may stand before the channel. Thoughts are in the channel "analysis", answers in "final". gpt-oss.
 */
export const channels: ToolCallFormat = {
  name: 'channels',
  open: '<|channel|>commentary to=functions.',
  alsoOpen: [' to=functions.', '<|channel|>analysis to=functions.'],
  close: undefined,
  onlyAtStart: false,
  silent: [
    '<|start|>assistant',
    '<|channel|>final<|message|>',
    '<|channel|>commentary<|message|>',
    '<|end|>',
    '<|return|>',
  ],
  reasoning: { open: '<|channel|>analysis<|message|>', close: '<|end|>' },
  detect: (template) => template.includes('<|channel|>') && template.includes('functions.'),
  parse: (inner) => [parseCall(inner)],
  createReader: () => createHeadedReader(head),
};

function parseCall(inner: string): ParsedToolCall {
  const match = head.exec(inner);
  if (match === null) return { error: 'The call has no <|message|> with its arguments.' };
  return parseNamedCall(match[1]!, inner.slice(match[0].length).replace(/<\|call\|>\s*$/, ''));
}
