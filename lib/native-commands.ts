/**
 * What crosses the boundary to the native engine. The twin of `addon/engine/{command,turn}.h`; `addon/binding/convert_in`
 * translates and checks bounds.
 */
import type { Disposition } from './interception-record.js';

export interface NativeSampling {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  penaltyTokens: number;
  /** Tokens and what is added to their logits, of equal length. */
  logitBiasTokens: Int32Array;
  logitBiasValues: Float32Array;
  /** An unsigned 64-bit integer. */
  seed: bigint;
  /** -1: none. */
  logprobs: number;
}

export interface NativeTrigger {
  /** Exactly one of `text` and `tokens` is not empty. */
  text: string;
  tokens: Int32Array;
  /** Empty: the trigger completes at once. */
  until: string;
  /** Pause at the turn's next stop token instead of at once (tool calls). */
  pauseAtStop: boolean;
}

export interface NativeTurn {
  sampling: NativeSampling;
  stopTokens: Int32Array;
  stopTexts: string[];
  triggers: NativeTrigger[];
  /** 4294967295: no limit but the context window. */
  maxTokens: number;
}

/** Under which names an interception's duration is learnt, as numbers (kind-table.ts); 0: none on this level. */
export interface NativeKind {
  family: number;
  kind: number;
  shape: number;
}

/** What is known about a present or coming interception; absent values stay as they are. */
export interface NativeFacts extends Partial<NativeKind> {
  remainingMs?: number;
  disposition?: Disposition;
}

export type NativeCommand =
  | { type: 'submit'; seq: number; tokens: Int32Array; turn: NativeTurn; priority: number; keep: boolean }
  | { type: 'resume'; seq: number; tokens: Int32Array; turn?: NativeTurn }
  | ({ type: 'mark'; seq: number } & NativeFacts)
  | ({ type: 'pause'; seq: number } & NativeFacts)
  | { type: 'abort'; seq: number; tokens?: number }
  | { type: 'rewind'; seq: number; tokens: number }
  | { type: 'fork'; seq: number; child: number }
  | { type: 'suspend'; seq: number }
  | { type: 'release'; seq: number };
