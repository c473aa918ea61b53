import { InferceptError } from '../errors.js';
import type { ContentMark } from './content-mark.js';
import type { JsonValue, Message, ToolDescription } from './messages.js';

/** Messages and tools in the shape that templates expect. */
export interface TemplateContents {
  messages: { [key: string]: JsonValue }[];
  tools: JsonValue[];
}

export function templateContents(messages: readonly Message[], tools: readonly ToolDescription[]): TemplateContents {
  return plain({ messages: messages.map(asTemplateMessage), tools: tools.map(asTemplateTool) });
}

/** Marks everything but the roles, which are ours. */
export function markContents({ messages, tools }: TemplateContents, mark: ContentMark): TemplateContents {
  return {
    messages: messages.map(({ role, ...rest }) => ({ role: role!, ...mark.markValue(rest) })),
    tools: mark.markValue(tools),
  };
}

/** What JSON makes of a value: no functions, no cycles, nothing that changes while it is rendered. */
export function plain<T>(value: T): T {
  try {
    return JSON.parse(JSON.stringify(value)) as T;
  } catch (cause) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', `A message or tool is not JSON: ${(cause as Error).message}.`, {
      cause,
    });
  }
}

/** A message in the shape that templates expect. */
function asTemplateMessage(message: Message): { [key: string]: JsonValue } {
  const { role, content } = message;
  if (message.role === 'tool') return { role, content, name: message.name, tool_call_id: message.toolCallId };
  if (message.role !== 'assistant') return { role, content };
  const calls = (message.toolCalls ?? []).map(({ id, name, arguments: input }) => ({
    id,
    type: 'function',
    function: { name, arguments: input },
  }));
  return {
    role,
    content,
    ...(message.reasoning !== undefined && { reasoning_content: message.reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function asTemplateTool({ name, description, parameters }: ToolDescription): { [key: string]: JsonValue } {
  return { type: 'function', function: { name, description, parameters: parameters as { [key: string]: JsonValue } } };
}
