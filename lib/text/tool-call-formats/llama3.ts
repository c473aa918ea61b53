import type { JsonValue } from '../messages.js';
import type { ToolCallFormat } from '../tool-call-format.js';
import { argumentKeys, type ParsedToolCall, parseJsonCall } from '../tool-call-json.js';
import { createJsonCallReader, type ToolCallReader } from '../tool-call-reader.js';

const jsonOpen = '{"name":';
const pythonTag = '<|python_tag|>';

/**
 * The whole turn is `{"name": …, "parameters": {…}}`, maybe behind `<|python_tag|>`. Tools that were there in training are
 * called as `<|python_tag|>name.call(key="value")`, and anything else behind the tag is code to be run. Llama 3.1 and later.
 */
export const llama3: ToolCallFormat = {
  name: 'llama3-json',
  open: jsonOpen,
  alsoOpen: [pythonTag],
  close: undefined,
  onlyAtStart: true,
  detect: (template, tokenizer) => tokenizer.idOf('<|eot_id|>') !== undefined && /"parameters"/.test(template),
  parse: (inner) => [parseCall(inner)],
  createReader: createLlama3Reader,
};

/** Behind `{"name":` a string comes; behind the tag an object, or code. */
const isRestOfJson = (inner: string): boolean => /^\s*"/.test(inner);
const isJson = (inner: string): boolean => /^\s*\{/.test(inner);
const pythonCall = /^\s*([\w-]+)\.call\(/;

function parseCall(inner: string): ParsedToolCall {
  if (isRestOfJson(inner) || inner.trim() === '') return parseJsonCall(jsonOpen + inner);
  if (isJson(inner)) return parseJsonCall(inner);
  const name = pythonCall.exec(inner)?.[1];
  return name === undefined
    ? { name: 'code_interpreter', arguments: { code: inner.trim() } }
    : { name, arguments: keywordArguments(inner) };
}

/** `key="value", other=1` as an object. What is no JSON is text. */
function keywordArguments(call: string): { [key: string]: JsonValue } {
  const pairs = call.slice(call.indexOf('(') + 1).matchAll(/(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|[^,)]+)/g);
  return Object.fromEntries(Array.from(pairs, ([, key, value]) => [key!, jsonOrText(value!)]));
}

function jsonOrText(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text.trim();
  }
}

function createLlama3Reader(): ToolCallReader {
  let begun = '';
  let json: ToolCallReader | undefined;
  let named = false;
  return {
    push(text) {
      if (json !== undefined) return json.push(text);
      begun += text;
      if (isJson(begun) || isRestOfJson(begun)) {
        json = createJsonCallReader(argumentKeys);
        return json.push(isJson(begun) ? begun : jsonOpen + begun);
      }
      const name = pythonCall.exec(begun)?.[1];
      if (named || name === undefined) return [];
      named = true;
      return [{ name, argumentsText: '' }];
    },
  };
}
