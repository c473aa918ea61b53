import { findDelta } from './conversation-delta.js';
import type { Message, ToolDescription } from './messages.js';
import { createTemplateRenderer, endOfWord, type TemplateRenderer } from './template-renderer.js';
import type { Tokenizer } from './tokenizer.js';

/** Texts of the control tokens that templates write by name. */
export interface TemplateTokens {
  bosToken?: string | undefined;
  eosToken?: string | undefined;
}

export interface RenderOptions {
  tools?: readonly ToolDescription[] | undefined;
  /** Whether the text ends with the beginning of an assistant's turn. Default true. */
  addGenerationPrompt?: boolean;
  /** Further variables of the template, such as `enable_thinking`. They are the program's own: not for foreign text. */
  variables?: Readonly<Record<string, unknown>> | undefined;
  signal?: AbortSignal | undefined;
}

/** What follows an assistant's turn that was sampled. */
export interface ConversationDelta {
  /** Ends the assistant's turn. Leave it out if the last sampled token ended it. Empty if the template ends turns by text. */
  closing: Int32Array;
  /** The new messages, and the beginning of the next assistant's turn. */
  tokens: Int32Array;
}

/** Renders conversations to token ids. Only the template's own text can become control tokens. */
export interface ChatTemplate {
  /** Whether the template tells the model about tools. */
  readonly supportsTools: boolean;
  /** Control tokens that the template puts after an assistant's turn: sampling one ends the turn. */
  readonly endOfTurnIds: ReadonlySet<number>;
  /** A conversation from its start. */
  renderConversation(messages: readonly Message[], options?: RenderOptions): Promise<Int32Array>;
  /**
   * Only what `added` adds to a context that already holds `previous`. The last of `previous` is the assistant's turn that
   * was sampled; it is not rendered, the sampled tokens are the truth.
   * @throws InferceptError `ERR_MODEL_UNSUPPORTED` if the template does not let one tell what comes after that turn
   */
  renderDelta(
    previous: readonly Message[],
    added: readonly Message[],
    options?: RenderOptions,
  ): Promise<ConversationDelta>;
}

/**
 * @param source Jinja
 * @throws InferceptError `ERR_MODEL_UNSUPPORTED` if the source cannot be parsed
 */
export function createChatTemplate(source: string, tokenizer: Tokenizer, tokens: TemplateTokens = {}): ChatTemplate {
  const renderer = createTemplateRenderer(source, tokenizer, tokens);
  const endOfTurn = tokenizer.idOf(findEndOfTurn(renderer) ?? '');
  return {
    supportsTools: showsTools(renderer),
    endOfTurnIds: new Set(endOfTurn === undefined ? [] : [endOfTurn]),
    async renderConversation(messages, options = {}) {
      const { text, mark } = renderer.render(messages, options);
      return tokenizer.encodeSegmentsAsync(mark.segments(text), { position: 'start', signal: options.signal });
    },
    async renderDelta(previous, added, options = {}) {
      const { whole, ...at } = findDelta(renderer, previous, added, options);
      const closing = tokenizer.encodeSegments(whole.mark.segments(whole.text.slice(at.closing, at.added)));
      const position = tokenizer.specialIds.has(closing.at(-1) ?? -1) ? 'after-control' : 'continuation';
      const segments = whole.mark.segments(whole.text.slice(at.added));
      return { closing, tokens: await tokenizer.encodeSegmentsAsync(segments, { position, signal: options.signal }) };
    },
  };
}

function showsTools({ render }: TemplateRenderer): boolean {
  const tool = { name: 'probe', description: 'Probes.', parameters: { type: 'object', properties: {} } };
  const question: Message[] = [{ role: 'user', content: 'Hello' }];
  try {
    return render(question, { tools: [tool] }).text !== render(question, {}).text;
  } catch {
    return false;
  }
}

/** The spelling of the control token that follows an assistant's turn; undefined if there is none. */
function findEndOfTurn({ render, findControl }: TemplateRenderer): string | undefined {
  const answer = 'PlaceholderAnswer';
  const dialogue: Message[] = [
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: answer },
  ];
  try {
    const rendered = render(dialogue, { addGenerationPrompt: false });
    const end = endOfWord(rendered, answer);
    const control = end === undefined ? undefined : findControl(rendered, end);
    return control && rendered.text.slice(control.start, control.end);
  } catch {
    return undefined;
  }
}
