/** Options of sessions and sends, and their checks. */
import { InferceptError } from './errors.js';
import { type Interceptor, interceptors } from './interception.js';
import { type RunOptions, runChecks, type SamplingOptions, sampling } from './options.js';
import type { Message } from './text/messages.js';
import type { Tool } from './tool.js';
import type { Approve } from './tool-call.js';
import { anything, arrayOf, type Check, callback, integer, invalid, options, string } from './validate.js';

/** Options of `engine.session`. */
export interface SessionOptions {
  /** The first message, telling the model what it is. Default: none. */
  system?: string;
  /** Messages before the first send, for instance of an earlier conversation. Default: none. */
  messages?: readonly Message[];
  /** What the model may call; made with `defineTool`. Default: none. */
  tools?: readonly Tool[];
  /** Sampling of all runs; a send can override single options. Default: greedy. */
  sampling?: SamplingOptions;
  /** Sessions of higher priority come first: -1000 to 1000. Default 0. */
  priority?: number;
  /** How many messages with tool calls are answered in one run; then it ends with `tool-calls`. Default 16. */
  maxToolRounds?: number;
  /** Decides about calls of tools with `needsApproval`. */
  approve?: Approve;
  /** Low-level interceptors that watch every answer. Default: none. */
  interceptors?: readonly Interceptor[];
  /** Further variables of the chat template, such as `{ enable_thinking: false }`. Default: none. */
  templateVariables?: Readonly<Record<string, unknown>>;
}

/** Options of `session.send`. */
export interface SendOptions extends RunOptions {
  /** Overrides the session's. */
  maxToolRounds?: number;
}

const tool: Check<Tool> = (value, name) => {
  if (typeof value === 'object' && value !== null && 'jsonSchema' in value && 'parse' in value) return value as Tool;
  throw invalid(name, value, 'a tool made with defineTool');
};

export const readSessionOptions = options({
  system: string,
  messages: arrayOf(anything<Message>()),
  tools: arrayOf(tool),
  sampling,
  priority: integer(-1000, 1000),
  maxToolRounds: integer(0, 1_000_000),
  approve: callback<Approve>(),
  interceptors,
  templateVariables: anything<Readonly<Record<string, unknown>>>(),
});

export const readSendOptions = options({ ...runChecks, maxToolRounds: integer(0, 1_000_000) });

export type Settings = ReturnType<typeof readSessionOptions>;

export function toMessages(content: unknown): Message[] {
  if (typeof content === 'string') return [{ role: 'user', content }];
  if (Array.isArray(content) && content.length > 0) return content as Message[];
  throw invalid('content', content, 'a string or an array of messages');
}

export function toolMap(settings: Settings): Map<string, Tool> {
  const tools = new Map<string, Tool>();
  for (const entry of settings.tools ?? []) {
    if (tools.has(entry.name)) throw invalid('tools', entry.name, 'a list of tools with different names');
    if (entry.mayNeedApproval && settings.approve === undefined) {
      throw new InferceptError(
        'ERR_INVALID_ARGUMENT',
        `Tool \`${entry.name}\` needs approval, but the session has no \`approve\` callback.`,
      );
    }
    tools.set(entry.name, entry);
  }
  return tools;
}

/** What a session says before its first send. */
export function firstMessages({ system, messages = [] }: Settings): Message[] {
  return system === undefined ? messages : [{ role: 'system', content: system }, ...messages];
}
