import type { JsonValue } from './messages.js';

/** A call as the model wrote it, or why it is none: a sentence that can be shown to the model. */
export type ParsedToolCall = { name: string; arguments: JsonValue } | { error: string };

/** What JSON calls name the arguments. */
export const argumentKeys = ['arguments', 'parameters'] as const;

/** Reads `{"name": …, "arguments": {…}}`. */
export function parseJsonCall(text: string): ParsedToolCall {
  const parsed = parseJson(text, 'The tool call');
  return 'error' in parsed ? parsed : callOf(parsed.value);
}

/** Reads a list of such calls; or one, as models do sometimes. */
export function parseJsonCalls(text: string): ParsedToolCall[] {
  const parsed = parseJson(text, 'The tool call');
  if ('error' in parsed) return [parsed];
  if (!Array.isArray(parsed.value)) return [callOf(parsed.value)];
  return parsed.value.length === 0 ? [{ error: 'The list of tool calls is empty.' }] : parsed.value.map(callOf);
}

/** A call whose name stands before its arguments, which are JSON. */
export function parseNamedCall(name: string, text: string): ParsedToolCall {
  const parsed = parseJson(text.trim() === '' ? '{}' : text, `The arguments of the call to "${name}"`);
  return 'error' in parsed ? parsed : { name, arguments: parsed.value };
}

function parseJson(text: string, what: string): { value: JsonValue } | { error: string } {
  try {
    return { value: JSON.parse(text) as JsonValue };
  } catch (error) {
    return { error: `${what} is not valid JSON: ${(error as Error).message}` };
  }
}

function callOf(value: JsonValue): ParsedToolCall {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { error: 'The tool call must be a JSON object with "name" and "arguments".' };
  }
  const { name } = value;
  if (typeof name !== 'string' || name.length === 0) {
    return { error: 'The tool call must have a "name", a string that is not empty.' };
  }
  const key = argumentKeys.find((candidate) => Object.hasOwn(value, candidate));
  return parseArguments(name, key === undefined ? {} : value[key]!);
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
