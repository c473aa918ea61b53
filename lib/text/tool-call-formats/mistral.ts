import type { ToolCallFormat } from '../tool-call-format.js';
import { argumentKeys, type ParsedToolCall, parseJsonCalls, parseNamedCall } from '../tool-call-json.js';
import { createHeadedReader, createJsonCallReader, type ToolCallReader } from '../tool-call-reader.js';

const open = '[TOOL_CALLS]';

/** A name, and what may stand between it and its arguments. */
const head = /^\s*(?:\[TOOL_CALLS\]\s*)?([\w.-]+)(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*(?=\{)/;

/**
 * `[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]` to the end of the turn; newer models write `[TOOL_CALLS]name[ARGS]{…}` for
 * each call.
 */
export const mistral: ToolCallFormat = {
  name: 'mistral',
  open,
  close: undefined,
  onlyAtStart: false,
  detect: (template) => template.includes(open),
  parse: (inner) => (/^\s*[[{]/.test(inner) ? parseJsonCalls(inner) : inner.split(open).map(parseNamed)),
  createReader: createMistralReader,
  // The families' templates refuse ids of another length.
  callId: (turn, index) => `${turn.toString(36)}x${index.toString(36).padStart(3, '0')}`.padStart(9, '0').slice(-9),
};

function parseNamed(text: string): ParsedToolCall {
  const match = head.exec(text);
  if (match === null) return { error: 'A tool call must be a name and a JSON object with the arguments.' };
  return parseNamedCall(match[1]!, text.slice(match[0].length));
}

function createMistralReader(): ToolCallReader {
  let begun = '';
  let reader: ToolCallReader | undefined;
  return {
    push(text) {
      if (reader !== undefined) return reader.push(text);
      begun += text;
      if (!/\S/.test(begun)) return [];
      reader = /^\s*[[{]/.test(begun) ? createJsonCallReader(argumentKeys) : createHeadedReader(head);
      return reader.push(begun);
    },
  };
}
