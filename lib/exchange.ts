/** One send of a session while it is going on: what it adds to the context, and how it is undone. */
import { type EngineCore, requireTemplate } from './engine-core.js';
import { throwIfAborted } from './errors.js';
import type { NativeTurn } from './native-commands.js';
import type { RunResult, ToolCallRecord } from './part.js';
import type { Sequence } from './sequence.js';
import type { HistoryEntry, SessionHistory } from './session-history.js';
import type { JsonValue, Message, ToolCall, ToolDescription } from './text/messages.js';

export interface ExchangeOptions {
  core: EngineCore;
  history: SessionHistory;
  sequence: Sequence;
  /** The new messages. */
  added: readonly Message[];
  tools: readonly ToolDescription[];
  variables: Readonly<Record<string, unknown>> | undefined;
  priority: number;
}

export function toToolCall({ callId, toolName, input }: ToolCallRecord): ToolCall {
  return { id: callId, name: toolName, arguments: (input ?? {}) as JsonValue };
}

export class Exchange {
  /** Messages of this exchange so far. */
  private readonly said: Message[];
  private begun: Int32Array = new Int32Array();
  private posted = false;

  constructor(private readonly options: ExchangeOptions) {
    this.said = [...options.added];
  }

  /** Begins the turn: a new sequence with the whole conversation, or the next turn of a paused one with what is new. */
  async begin(turn: NativeTurn, signal: AbortSignal): Promise<{ promptTokens: number; kind?: string }> {
    const { history, sequence, priority } = this.options;
    this.begun = await this.render(signal);
    throwIfAborted(signal, 'rendering the conversation');
    const promptTokens = this.begun.length;
    this.posted = true;
    if (sequence.live) {
      const { kind } = sequence;
      sequence.resumeWith(turn, this.begun);
      return { promptTokens, kind };
    }
    const tokens = Int32Array.from([...history.tokens, ...this.begun]);
    sequence.submit(tokens, turn, { priority, keep: true });
    return { promptTokens };
  }

  /** The tokens that add results after the sampled end of the assistant's message. */
  async renderResults(assistant: Message, results: Message[]): Promise<Int32Array> {
    const { core, history, tools, variables } = this.options;
    this.said.push(assistant);
    const previous = [...history.messages, ...this.said];
    const delta = await requireTemplate(core).renderDelta(previous, results, { tools, variables });
    this.said.push(...results);
    return delta.tokens;
  }

  /** Makes the native context what it was before. */
  undo(): void {
    const { history, sequence } = this.options;
    if (!this.posted) return;
    if (history.isEmpty) sequence.release();
    else sequence.abort(history.contextTokens);
  }

  /** What the finished exchange adds to the session's past. `content` is the text of the last message. */
  toEntry(result: RunResult, content: string): HistoryEntry {
    const unanswered = result.toolCalls.filter(({ output, error }) => output === undefined && error === undefined);
    const calls = result.finishReason === 'tool-calls' ? { toolCalls: unanswered.map(toToolCall) } : {};
    const last = result.tokens.at(-1);
    return {
      messages: [...this.said, { role: 'assistant', content, ...calls }],
      tokens: [...this.begun, ...result.tokens],
      ended: last !== undefined && this.options.core.text.stopTokens.includes(last),
    };
  }

  private async render(signal: AbortSignal): Promise<Int32Array> {
    const { core, history, added, tools, variables } = this.options;
    const template = requireTemplate(core);
    const options = { tools, variables, signal };
    if (history.isEmpty) return template.renderConversation([...history.preamble, ...added], options);
    const { closing, tokens } = await template.renderDelta(history.messages, added, options);
    return history.ended ? tokens : Int32Array.from([...closing, ...tokens]);
  }
}
