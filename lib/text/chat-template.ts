import { Template } from '@huggingface/jinja';
import { InferceptError } from '../errors.js';
import { type ContentMark, createContentMark, reservedSpellings } from './content-mark.js';
import type { Message, ToolDescription } from './messages.js';
import { markContents, plain, templateContents } from './template-contents.js';
import { type Segment, spellingPattern, type TextPosition, type Tokenizer } from './tokenizer.js';

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

/** A rendered text with the marks of its contents. */
interface Rendered {
  text: string;
  mark: ContentMark;
}

/**
 * @param source Jinja
 * @throws InferceptError `ERR_MODEL_UNSUPPORTED` if the source cannot be parsed
 */
export function createChatTemplate(source: string, tokenizer: Tokenizer, tokens: TemplateTokens = {}): ChatTemplate {
  const template = parse(source);
  const reserved = reservedSpellings(tokenizer.reservedTokens);
  const control = spellingPattern(
    [...tokenizer.specialIds].map((id) => Buffer.from(tokenizer.tokenBytes(id)).toString()),
  );

  /** A mark that neither the template nor any of `contents` uses. */
  const markFor = (...contents: unknown[]): ContentMark =>
    createContentMark(reserved, [source, JSON.stringify(plain(contents))]);

  function render(
    messages: readonly Message[],
    options: RenderOptions,
    mark = markFor(messages, options.tools ?? []),
  ): Rendered {
    const { tools = [], addGenerationPrompt = true, variables = {} } = options;
    const marked = markContents(templateContents(messages, tools), mark);
    const text = run(template, {
      ...variables,
      ...marked,
      tools: tools.length === 0 ? null : marked.tools,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      bos_token: tokens.bosToken ?? '',
      eos_token: tokens.eosToken ?? '',
    });
    return { text, mark };
  }

  const encode = (segments: Segment[], position: TextPosition, signal?: AbortSignal): Promise<Int32Array> =>
    tokenizer.encodeSegmentsAsync(segments, { position, signal });

  /** The first control token of the template itself at or after `from`. */
  function findControl({ text, mark }: Rendered, from: number): { start: number; end: number } | undefined {
    for (const { 0: token, index } of text.slice(from).matchAll(control)) {
      const start = from + index;
      if (!mark.isMarked(text, start)) return { start, end: start + token.length };
    }
    return undefined;
  }

  /** Where `added` begins in the whole conversation, and where the assistant's turn before it is complete. */
  function findDelta(previous: Message[], added: readonly Message[], placeholder: string, options: RenderOptions) {
    const mark = markFor(previous, added, options.tools ?? []);
    const before = render(previous, { ...options, addGenerationPrompt: false }, mark);
    const whole = render([...previous, ...added], options, mark);
    const turnEnd = endOf(before, placeholder);
    const start = endOf(whole, placeholder);
    if (turnEnd === undefined || start === undefined) return undefined;
    const control = findControl(before, turnEnd);
    const closing = control === undefined ? '' : before.text.slice(turnEnd, control.end);
    if (!whole.text.startsWith(closing, start)) return undefined;
    // Some templates end a turn only when another follows.
    const next = closing === '' ? findControl(whole, start) : undefined;
    const cut = next?.start === start ? next.end : start + closing.length;
    // With a call in the turn, its rendering stands between the placeholder and the control token; it was sampled.
    const calls = (previous.at(-1) as { toolCalls?: readonly unknown[] }).toolCalls !== undefined;
    return { whole, start: calls && control !== undefined ? cut - (control.end - control.start) : start, cut };
  }

  async function renderDelta(previous: readonly Message[], added: readonly Message[], options: RenderOptions = {}) {
    const last = previous.at(-1);
    if (last?.role !== 'assistant') {
      throw new InferceptError(
        'ERR_INVALID_ARGUMENT',
        `The messages in the context end with ${last === undefined ? 'none' : `one of role ${last.role}`}; ` +
          'expected the turn of the assistant that was sampled (its content may be empty).',
      );
    }
    const placeholder = unusedWord(source + JSON.stringify(plain([previous, added, options.tools ?? []])));
    const turns = [
      { role: 'assistant' as const, content: placeholder },
      { ...last, content: placeholder },
    ];
    let failure: unknown;
    for (const turn of turns) {
      try {
        const delta = findDelta([...previous.slice(0, -1), turn], added, placeholder, options);
        if (delta === undefined) continue;
        const { whole, start, cut } = delta;
        const piece = (from: number, to?: number): Segment[] => whole.mark.segments(whole.text.slice(from, to));
        const closing = await encode(piece(start, cut), 'continuation');
        const position = tokenizer.specialIds.has(closing.at(-1) ?? -1) ? 'after-control' : 'continuation';
        return { closing, tokens: await encode(piece(cut), position, options.signal) };
      } catch (error) {
        if (InferceptError.isInstance(error) && error.code === 'ERR_ABORTED') throw error;
        failure = error;
      }
    }
    throw failure ?? unstable();
  }

  return {
    supportsTools: detectTools(render),
    endOfTurnIds: new Set(detectEndOfTurn(render, findControl).flatMap((token) => tokenizer.idOf(token) ?? [])),
    async renderConversation(messages, options = {}) {
      const { text, mark } = render(messages, options);
      return encode(mark.segments(text), 'start', options.signal);
    },
    renderDelta,
  };
}

type Render = (messages: readonly Message[], options: RenderOptions) => Rendered;

function detectTools(render: Render): boolean {
  const tool = { name: 'probe', description: 'Probes.', parameters: { type: 'object', properties: {} } };
  const question: Message[] = [{ role: 'user', content: 'Hello' }];
  try {
    return render(question, { tools: [tool] }).text !== render(question, {}).text;
  } catch {
    return false;
  }
}

/** The spelling of the control token that follows an assistant's turn; none if there is none. */
function detectEndOfTurn(
  render: Render,
  findControl: (rendered: Rendered, from: number) => { start: number; end: number } | undefined,
): string[] {
  const answer = 'PlaceholderAnswer';
  const messages: Message[] = [
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: answer },
  ];
  try {
    const rendered = render(messages, { addGenerationPrompt: false });
    const end = endOf(rendered, answer);
    const control = end === undefined ? undefined : findControl(rendered, end);
    return control === undefined ? [] : [rendered.text.slice(control.start, control.end)];
  } catch {
    return [];
  }
}

function parse(source: string): Template {
  try {
    return new Template(source);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new InferceptError('ERR_MODEL_UNSUPPORTED', `The model's chat template cannot be parsed: ${reason}.`, {
      cause,
    });
  }
}

function run(template: Template, variables: Record<string, unknown>): string {
  try {
    return template.render(variables);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new InferceptError(
      'ERR_INVALID_ARGUMENT',
      `The model's chat template refuses this conversation: ${reason}.`,
      {
        cause,
      },
    );
  }
}

/** The position after the only occurrence of `word`; undefined if it is missing or repeated. */
function endOf({ text, mark }: Rendered, word: string): number | undefined {
  const marked = mark.mark(word);
  const index = text.indexOf(marked);
  return index >= 0 && index === text.lastIndexOf(marked) ? index + marked.length : undefined;
}

function unusedWord(text: string): string {
  let word = 'PlaceholderAnswer';
  while (text.includes(word)) word += 'X';
  return word;
}

function unstable(): InferceptError {
  return new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    "The model's chat template hides or repeats the assistant's last turn, so that a conversation cannot be continued " +
      'without rendering it anew. Pass a chat template of your own.',
  );
}
