import type { ToolCallFormat } from '../tool-call-format.js';
import { argumentKeys, parseJsonCall } from '../tool-call-json.js';
import { createJsonCallReader } from '../tool-call-reader.js';

/** `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, any number per turn. Hermes, Qwen and many others. */
export const hermes: ToolCallFormat = {
  name: 'hermes',
  open: '<tool_call>',
  close: '</tool_call>',
  onlyAtStart: false,
  // Some templates put another language between the same tags.
  detect: (template) => template.includes('<tool_call>') && !template.includes('<function='),
  parse: (inner) => [parseJsonCall(inner)],
  createReader: () => createJsonCallReader(argumentKeys),
};
