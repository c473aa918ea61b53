import type { Tokenizer } from './tokenizer.js';
import { channels } from './tool-call-formats/channels.js';
import { deepSeek } from './tool-call-formats/deepseek.js';
import { hermes } from './tool-call-formats/hermes.js';
import { llama3 } from './tool-call-formats/llama3.js';
import { mistral } from './tool-call-formats/mistral.js';
import type { ParsedToolCall } from './tool-call-json.js';
import type { ToolCallReader } from './tool-call-reader.js';

export type { ParsedToolCall } from './tool-call-json.js';

/** How a family of models writes tool calls. */
export interface ToolCallFormat {
  readonly name: string;
  /** Begins a call: the text of a native trigger. */
  readonly open: string;
  /** Other texts that begin one. */
  readonly alsoOpen?: readonly string[];
  /** Ends a call; undefined if the end of the turn does. Then one text may hold several calls. */
  readonly close: string | undefined;
  /** Whether `open` and its likes count only at the start of a turn. */
  readonly onlyAtStart: boolean;
  /** What surrounds calls and answers, and is no part of them. */
  readonly silent?: readonly string[];
  /** What models of the family put around their thoughts, if not `<think>`. */
  readonly reasoning?: { open: string; close: string };
  /** Whether a model with this chat template writes calls so. */
  detect(template: string, tokenizer: Pick<Tokenizer, 'idOf'>): boolean;
  /** Reads the text between the opening and `close`: at least one call. */
  parse(inner: string): readonly ParsedToolCall[];
  /** Reads the same text while it is being written. */
  createReader(): ToolCallReader;
  /** The id of a call, where the family's templates are particular about it. */
  callId?(turn: number, index: number): string;
}

/** In the order in which they are tried. */
export const toolCallFormats: readonly ToolCallFormat[] = [hermes, mistral, channels, deepSeek, llama3];

/** The format that a model with this chat template uses; undefined if it is none of the table's. */
export function detectToolCallFormat(template: string, tokenizer: Pick<Tokenizer, 'idOf'>): ToolCallFormat | undefined {
  return toolCallFormats.find((format) => format.detect(template, tokenizer));
}
