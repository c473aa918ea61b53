import type { ToolCallFormat } from '../tool-call-format.js';
import { type ParsedToolCall, parseNamedCall } from '../tool-call-json.js';
import { createHeadedReader } from '../tool-call-reader.js';

/** The kind of the call, its name, and a fence around its arguments; newer models leave out the first and the last. */
const head = /^\s*(?:function<｜tool▁sep｜>)?([\w.-]+)\s*(?:<｜tool▁sep｜>|```json)\s*(?=\{)/;

/** `<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME`, then the arguments in a fence, `<｜tool▁call▁end｜>`. DeepSeek V3, R1 and later. */
export const deepSeek: ToolCallFormat = {
  name: 'deepseek',
  open: '<｜tool▁call▁begin｜>',
  close: '<｜tool▁call▁end｜>',
  onlyAtStart: false,
  silent: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
  detect: (template) => template.includes('<｜tool▁call▁begin｜>'),
  parse: (inner) => [parseCall(inner)],
  createReader: () => createHeadedReader(head),
};

function parseCall(inner: string): ParsedToolCall {
  const match = head.exec(inner);
  if (match === null) return { error: 'A tool call must be a name and a JSON object with the arguments.' };
  return parseNamedCall(match[1]!, inner.slice(match[0].length).replace(/```\s*$/, ''));
}
