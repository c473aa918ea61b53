/** A value that JSON can express. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/** A call that the model asked for. */
export interface ToolCall {
  /** Ties the result to the call. */
  id: string;
  name: string;
  arguments: JsonValue;
}

/** What the model is told about a tool. */
export interface ToolDescription {
  name: string;
  description: string;
  /** JSON Schema of the arguments. */
  parameters: { [key: string]: unknown };
}

/** One turn of a conversation. All of its text was written by others: it never becomes control. */
export type Message =
  | { role: 'system' | 'user'; content: string }
  | {
      role: 'assistant';
      content: string;
      /** Thoughts before the answer, for templates that know of them; others leave them out. */
      reasoning?: string;
      toolCalls?: readonly ToolCall[];
    }
  | { role: 'tool'; toolCallId: string; name: string; content: string };
