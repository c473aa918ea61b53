/** Gathers what one turn says and does, and makes the run's result of it. */

import type { Hindsight, InterceptionRecord } from './interception-record.js';
import type { NativeBatch, NativeFinishEvent, NativeResumeEvent, NativeTokensEvent } from './native-protocol.js';
import type { FinishReason, RunResult, Timings, TokenLogprob, ToolCallRecord, Usage } from './part.js';

const finishReasons: Readonly<Record<NativeFinishEvent['reason'], FinishReason>> = {
  'stop-token': 'stop',
  'stop-text': 'stop',
  length: 'length',
  'context-length': 'context-length',
  aborted: 'aborted',
};

/** The interception that is going on, or whose native confirmation is still to come. */
export interface OpenInterception {
  kind: string;
  /** In performance.now() milliseconds, as is `resumedAt`. */
  startedAt: number;
  /** Set when the answer was handed in. */
  resumedAt?: number;
  returnedTokens: number;
}

export class TurnRecord {
  readonly tokens: number[] = [];
  readonly toolCalls: ToolCallRecord[] = [];
  readonly interceptions: InterceptionRecord[] = [];
  text = '';
  reasoning = '';
  open: OpenInterception | undefined;
  private readonly logprobs: TokenLogprob[] = [];
  private readonly startedAt = performance.now();
  private sampled = 0;

  /** @param wantsLogprobs whether the result has log probabilities */
  constructor(private readonly wantsLogprobs: boolean) {}

  addTokens(event: NativeTokensEvent, batch: NativeBatch): void {
    this.sampled += event.count;
    for (let index = 0; index < event.count; index += 1) {
      const token = batch.tokens[event.begin + index]!;
      this.tokens.push(token);
      if (!this.wantsLogprobs) continue;
      this.logprobs.push({ token, logprob: batch.logprobs[event.begin + index]!, top: event.top?.[index] ?? [] });
    }
  }

  /** Tokens that an interception appended. */
  addReturned(tokens: ArrayLike<number>): void {
    if (this.open !== undefined) {
      this.open.returnedTokens = tokens.length;
      this.open.resumedAt = performance.now();
    }
    for (let index = 0; index < tokens.length; index += 1) this.tokens.push(tokens[index]!);
  }

  /** An interception begins. One that was resumed, but paused again before anything was computed, ends without an event. */
  begin(kind: string, returnedTokens = 0): InterceptionRecord | undefined {
    const { open } = this;
    const now = performance.now();
    const { resumedAt = now, startedAt = now } = open ?? {};
    const skipped = {
      waitedMs: resumedAt - startedAt,
      delayMs: now - resumedAt,
      disposition: 'preserve' as const,
      recomputedTokens: 0,
      swappedBlocks: 0,
      givenUpBlocks: 0,
    };
    const record = open === undefined ? undefined : this.close(skipped, null);
    this.open = { kind, startedAt: now, returnedTokens };
    return record;
  }

  /** Closes the open interception. */
  addResume({ type: _, seq: __, hindsight, ...facts }: NativeResumeEvent): InterceptionRecord {
    const { waste, regret, ...alternatives } = hindsight;
    return this.close(facts, { waste, alternatives, regret });
  }

  private close(
    facts: Omit<InterceptionRecord, 'kind' | 'returnedTokens' | 'hindsight'>,
    hindsight: Hindsight | null,
  ): InterceptionRecord {
    const { kind = 'unknown', returnedTokens = 0 } = this.open ?? {};
    const record: InterceptionRecord = { kind, ...facts, returnedTokens, hindsight };
    this.open = undefined;
    this.interceptions.push(record);
    return record;
  }

  /** The result of a turn that the native side finished. */
  finished(event: NativeFinishEvent, contextBefore: number): RunResult {
    const usage: Usage = {
      // Not the event's: after a failure the whole context is handed in again.
      promptTokens: event.contextTokens - contextBefore - event.generatedTokens,
      cachedTokens: event.cachedTokens,
      completionTokens: event.generatedTokens,
      contextTokens: event.contextTokens,
    };
    const timings: Timings = {
      queuedMs: event.queuedMs,
      firstTokenMs: event.firstTokenMs,
      totalMs: event.totalMs,
      interceptedMs: event.interceptedMs,
    };
    return this.result(finishReasons[event.reason], usage, timings);
  }

  /** The result of a turn that ends here and now, whatever the native side is doing. */
  cut(finishReason: FinishReason, begunTokens: number, contextBefore: number): RunResult {
    const usage = {
      promptTokens: begunTokens + this.tokens.length - this.sampled,
      cachedTokens: 0,
      completionTokens: this.sampled,
      contextTokens: contextBefore + begunTokens + this.tokens.length,
    };
    const totalMs = performance.now() - this.startedAt;
    const interceptedMs = this.interceptions.reduce((sum, { waitedMs }) => sum + waitedMs, 0);
    return this.result(finishReason, usage, { queuedMs: 0, firstTokenMs: 0, totalMs, interceptedMs });
  }

  private result(finishReason: FinishReason, usage: Usage, timings: Timings): RunResult {
    return {
      text: this.text,
      reasoning: this.reasoning,
      tokens: this.tokens,
      toolCalls: this.toolCalls,
      interceptions: this.interceptions,
      finishReason,
      usage,
      timings,
      ...(this.wantsLogprobs && { logprobs: this.logprobs }),
    };
  }
}
