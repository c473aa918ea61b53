/** What `for await (const part of run)` yields: one discriminated union, in the order in which things happened. */
import type { InferceptError } from './errors.js';
import type { InterceptionDecision, InterceptionRecord } from './interception-record.js';

/** Why a run ended. */
export type FinishReason =
  /** The model ended its turn, or a stop text appeared. */
  | 'stop'
  /** `maxTokens` were sampled. */
  | 'length'
  /** The context window is full. */
  | 'context-length'
  /** The run was cancelled by `run.cancel()` or by leaving its loop. */
  | 'aborted'
  /** The model called tools more often than `maxToolRounds`; the last calls were not run. */
  | 'tool-calls';

/** Text of the answer. The texts of all `text-delta` parts together are the result's `text`. */
export interface TextDeltaPart {
  type: 'text-delta';
  text: string;
  /** Present when an interception returned this text; absent when the model sampled it. */
  returned?: true;
}

/** Text between the template's reasoning markers; not part of the result's `text`. */
export interface ReasoningDeltaPart {
  type: 'reasoning-delta';
  text: string;
}

/** The model is writing a tool call and has named the tool. */
export interface ToolInputStartPart {
  type: 'tool-input-start';
  callId: string;
  toolName: string;
}

/** More of the JSON text of the arguments. */
export interface ToolInputDeltaPart {
  type: 'tool-input-delta';
  callId: string;
  text: string;
}

export interface ToolInputEndPart {
  type: 'tool-input-end';
  callId: string;
}

/** A call is complete and starts now. */
export interface ToolCallPart {
  type: 'tool-call';
  callId: string;
  /** As the model wrote it; empty when the call could not be parsed. */
  toolName: string;
  /** The arguments as the model wrote them, before validation. */
  input: unknown;
}

export interface ToolResultPart {
  type: 'tool-result';
  callId: string;
  toolName: string;
  /** What the tool returned; the concatenated text if it returned an `AsyncIterable`. */
  output: unknown;
  /** Milliseconds from the start of the call, retries and approval included. */
  durationMs: number;
}

/** A call failed. With `onError: 'report'` the model is told and the run goes on. */
export interface ToolErrorPart {
  type: 'tool-error';
  callId: string;
  toolName: string;
  error: InferceptError;
  durationMs: number;
}

/** Generation paused; the context now waits for an augmentation. */
export interface InterceptionStartPart {
  type: 'interception-start';
  /** For example `tool:calculator` or `human`. */
  kind: string;
  contextTokens: number;
}

/** The scheduler decided about the paused context. */
export interface InterceptionDecisionPart extends InterceptionDecision {
  type: 'interception-decision';
  kind: string;
}

/** The interception is over and generation goes on. */
export interface InterceptionEndPart extends InterceptionRecord {
  type: 'interception-end';
}

/** Always the last part. A run that fails or whose signal fires throws instead. */
export interface FinishPart {
  type: 'finish';
  finishReason: FinishReason;
  usage: Usage;
  timings: Timings;
}

export type RunPart =
  | TextDeltaPart
  | ReasoningDeltaPart
  | ToolInputStartPart
  | ToolInputDeltaPart
  | ToolInputEndPart
  | ToolCallPart
  | ToolResultPart
  | ToolErrorPart
  | InterceptionStartPart
  | InterceptionDecisionPart
  | InterceptionEndPart
  | FinishPart;

/** Token counts of one run. */
export interface Usage {
  /** Tokens put in by the caller: prompt or message, and whatever interceptions returned. */
  promptTokens: number;
  /** Of these, how many were found in the prefix cache. */
  cachedTokens: number;
  /** Sampled tokens. */
  completionTokens: number;
  /** Length of the context when the run ended. */
  contextTokens: number;
}

/** Milliseconds from the arrival of the run in the engine. */
export interface Timings {
  /** To the first computation. */
  queuedMs: number;
  /** To the first sampled token (TTFT). */
  firstTokenMs: number;
  /** To the end. */
  totalMs: number;
  /** Of the total, how long the run was intercepted. */
  interceptedMs: number;
}

/** Probability of a sampled token. */
export interface TokenLogprob {
  token: number;
  /** Natural logarithm. */
  logprob: number;
  /** The most probable tokens at this place, most probable first; as many as `sampling.logprobs` asks for. */
  top: { token: number; logprob: number }[];
}

/** A tool call of a run and how it ended. */
export interface ToolCallRecord {
  callId: string;
  toolName: string;
  /** Arguments as the model wrote them. */
  input: unknown;
  /** What the tool returned; absent if it failed or never ran. */
  output?: unknown;
  /** Why it failed; absent if it succeeded or never ran. */
  error?: InferceptError;
  durationMs: number;
}

/** What `await run` gives. */
export interface RunResult {
  /** The answer: sampled text and, where interceptors returned text, that text in place. Without tool calls and reasoning. */
  text: string;
  /** Reasoning text, if the template marks any. */
  reasoning: string;
  /** The context's tokens after the prompt: sampled ones and what interceptions returned, in order. */
  tokens: number[];
  toolCalls: ToolCallRecord[];
  interceptions: InterceptionRecord[];
  finishReason: FinishReason;
  usage: Usage;
  timings: Timings;
  /** One entry per sampled token, if `sampling.logprobs` is set. */
  logprobs?: TokenLogprob[];
}
