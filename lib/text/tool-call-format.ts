import type { JsonValue } from './messages.js';
import type { Tokenizer } from './tokenizer.js';
import { createJsonCallReader, type ToolCallReader } from './tool-call-reader.js';

/** A call as the model wrote it, or why it is none: a sentence that can be shown to the model. */
export type ParsedToolCall = { name: string; arguments: JsonValue } | { error: string };

/** How a family of models writes tool calls. */
export interface ToolCallFormat {
  readonly name: string;
  /** Begins a call: the text of a native trigger. */
  readonly open: string;
  /** Ends a call; undefined if the end of the turn does. */
  readonly close: string | undefined;
  /** Whether `open` counts only at the start of a turn. */
  readonly onlyAtStart: boolean;
  /** Whether a model with this chat template writes calls so. */
  detect(template: string, tokenizer: Pick<Tokenizer, 'idOf'>): boolean;
  /** Reads the text between `open` and `close`. */
  parse(inner: string): ParsedToolCall;
  /** Reads the same text while it is being written. */
  createReader(): ToolCallReader;
}

/** What JSON calls name the arguments. */
const argumentKeys = ['arguments', 'parameters'] as const;

/** `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, any number per turn. Hermes, Qwen and many others. */
const hermes: ToolCallFormat = {
  name: 'hermes',
  open: '<tool_call>',
  close: '</tool_call>',
  onlyAtStart: false,
  // Some templates put another language between the same tags.
  detect: (template) => template.includes('<tool_call>') && !template.includes('<function='),
  parse: parseJsonCall,
  createReader: () => createJsonCallReader(argumentKeys),
};

const llama3Open = '{"name":';

/** The whole turn is `{"name": …, "parameters": {…}}`. Llama 3.1 and later. */
const llama3: ToolCallFormat = {
  name: 'llama3-json',
  open: llama3Open,
  close: undefined,
  onlyAtStart: true,
  detect: (template, tokenizer) => tokenizer.idOf('<|eot_id|>') !== undefined && /"parameters"/.test(template),
  parse: (inner) => parseJsonCall(llama3Open + inner),
  createReader() {
    const reader = createJsonCallReader(argumentKeys);
    reader.push(llama3Open);
    return reader;
  },
};

/** In the order in which they are tried. */
export const toolCallFormats: readonly ToolCallFormat[] = [hermes, llama3];

/** The format that a model with this chat template uses; undefined if it is none of the table's. */
export function detectToolCallFormat(template: string, tokenizer: Pick<Tokenizer, 'idOf'>): ToolCallFormat | undefined {
  return toolCallFormats.find((format) => format.detect(template, tokenizer));
}

function parseJsonCall(text: string): ParsedToolCall {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { error: `The tool call is not valid JSON: ${(error as Error).message}` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { error: 'The tool call must be a JSON object with "name" and "arguments".' };
  }
  const call = value as Record<string, JsonValue>;
  const { name } = call;
  if (typeof name !== 'string' || name.length === 0) {
    return { error: 'The tool call must have a "name", a string that is not empty.' };
  }
  const key = argumentKeys.find((candidate) => Object.hasOwn(call, candidate));
  return parseArguments(name, key === undefined ? {} : call[key]!);
}

/** Models sometimes write the arguments as a string of JSON. */
function parseArguments(name: string, input: JsonValue): ParsedToolCall {
  if (typeof input !== 'string') return { name, arguments: input };
  try {
    return { name, arguments: JSON.parse(input) as JsonValue };
  } catch {
    return { error: `The arguments of the call to "${name}" must be a JSON object, not a string.` };
  }
}
