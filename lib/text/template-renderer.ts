import { Template } from '@huggingface/jinja';
import { InferceptError } from '../errors.js';
import type { RenderOptions, TemplateTokens } from './chat-template.js';
import { type ContentMark, createContentMark, reservedSpellings } from './content-mark.js';
import type { Message } from './messages.js';
import { spellingPattern } from './sections.js';
import { markContents, plain, templateContents } from './template-contents.js';
import type { Tokenizer } from './tokenizer.js';

/** A rendered conversation with the marks of its contents. */
export interface Rendered {
  text: string;
  mark: ContentMark;
}

/** A stretch of a rendered text. */
export interface Range {
  start: number;
  end: number;
}

/** Renders conversations to marked text. */
export interface TemplateRenderer {
  /** A mark that is in none of the messages, and neither in the template nor the options. */
  markFor(messages: readonly Message[], options: RenderOptions): ContentMark;
  /** Throws `ERR_INVALID_ARGUMENT` if the template refuses. `mark` must be for these messages; default: a fresh one. */
  render(messages: readonly Message[], options: RenderOptions, mark?: ContentMark): Rendered;
  /** The first control token of the template itself at or after `from`. */
  findControl(rendered: Rendered, from: number): Range | undefined;
}

/** Throws `ERR_MODEL_UNSUPPORTED` if the source cannot be parsed. */
export function createTemplateRenderer(source: string, tokenizer: Tokenizer, tokens: TemplateTokens): TemplateRenderer {
  const template = parse(source);
  const reserved = reservedSpellings(tokenizer.reservedTokens);
  const control = spellingPattern(Array.from(tokenizer.specialIds, (id) => tokenizer.decode([id])));

  const markFor: TemplateRenderer['markFor'] = (messages, { tools = [], variables = {} }) =>
    createContentMark(reserved, [source, JSON.stringify(plain({ messages, tools, variables }))]);

  return {
    markFor,
    render(messages, options, mark = markFor(messages, options)) {
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
    },
    findControl({ text, mark }, from) {
      for (const { 0: token, index } of text.slice(from).matchAll(control)) {
        const start = from + index;
        if (!mark.isMarked(text, start)) return { start, end: start + token.length };
      }
      return undefined;
    },
  };
}

/** The end of the only occurrence of `word` that a message holds; undefined if it is missing or repeated. */
export function endOfWord({ text, mark }: Rendered, word: string): number | undefined {
  const marked = mark.mark(word);
  const index = text.indexOf(marked);
  return index >= 0 && index === text.lastIndexOf(marked) ? index + marked.length : undefined;
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
