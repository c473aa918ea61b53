/**
 * Drives one turn of a sequence: begins it, turns native events into parts, lets augmentations answer pauses, and settles
 * the run exactly once, whichever of finish, failure, abort and disposal comes first.
 */
import { onAbort } from './abort.js';
import { type Answer, type Augmentation, joinTriggers, type Pause } from './augmentation.js';
import { deferred } from './deferred.js';
import { InferceptError } from './errors.js';
import {
  createHandle,
  type InterceptionHandle,
  type InterceptOptions,
  InterceptRequests,
  toFacts,
} from './intercept.js';
import type { InterceptionRecord } from './interception-record.js';
import { fromNative } from './native.js';
import type { NativeBatch, NativeDecisionEvent, NativePauseEvent, NativeSequenceEvent } from './native-protocol.js';
import type { FinishReason, RunResult } from './part.js';
import { failureError, type InterceptionFacts } from './sequence.js';
import { type TurnOptions, type TurnOutcome, toDecisionPart } from './turn-options.js';
import { TurnOutput } from './turn-output.js';

export class Turn {
  readonly output: TurnOutput;
  private readonly outcome = deferred<RunResult>();
  private readonly abortion = new AbortController();
  private readonly requests = new InterceptRequests();
  private joined = joinTriggers([]);
  private state: 'beginning' | 'running' | 'paused' | 'settled' = 'beginning';
  private matched: Augmentation | undefined;
  private begunTokens = 0;
  private stopListening = (): void => {};

  constructor(private readonly options: TurnOptions) {
    const { link, markers, toolCallFormat, turn } = options;
    const id = link.nextTurn();
    this.callId = (index) => toolCallFormat?.callId?.(id, index) ?? `call_${id}_${index}`;
    this.output = new TurnOutput({
      markers,
      toolCallFormat,
      wantsLogprobs: turn.sampling.logprobs >= 0,
      callId: this.callId,
      onLeave: () => this.cancel(),
    });
    // A run that nobody awaits must not end the process; whoever awaits it sees the error.
    this.outcome.promise.catch(() => {});
  }

  /** Of the n-th call that the model writes in this turn. */
  readonly callId: (index: number) => string;

  get result(): Promise<RunResult> {
    return this.outcome.promise;
  }

  /** Fires when the turn is over. */
  get signal(): AbortSignal {
    return this.abortion.signal;
  }

  get settled(): boolean {
    return this.state === 'settled';
  }

  async start(): Promise<void> {
    const { signal, link, sequence } = this.options;
    link.hold();
    if (signal?.aborted) return this.onSignal();
    if (signal) this.stopListening = onAbort(signal, this.onSignal);
    sequence.listener = (event, batch) => {
      try {
        this.onEvent(event, batch);
      } catch (error) {
        this.fail(fromNative(error));
      }
    };
    try {
      this.joined = joinTriggers(this.options.augmentations(this));
      const begun = await this.options.begin({ ...this.options.turn, triggers: this.joined.triggers }, this.signal);
      this.begunTokens = begun.promptTokens;
      if (begun.kind !== undefined) this.output.record.begin(begun.kind, begun.promptTokens);
      if (this.state === 'beginning') this.state = 'running';
      this.askForPause();
    } catch (error) {
      this.fail(fromNative(error));
    }
  }

  /** Ends the run with what there is; its session is as it was before. */
  cancel(): void {
    if (this.settled) return;
    this.settle({ result: this.cut('aborted') }, true);
  }

  fail(error: InferceptError): void {
    this.settle({ error }, true);
  }

  async intercept(request: InterceptOptions): Promise<InterceptionHandle> {
    if (this.settled) throw new InferceptError('ERR_BUSY', 'The run has ended; it cannot be intercepted.');
    const handle = this.requests.add(request);
    if (this.state === 'running') this.askForPause();
    return handle;
  }

  private askForPause(): void {
    const request = this.requests.next;
    if (request === undefined || this.settled) return;
    this.options.sequence.pause(toFacts(request));
  }

  private readonly onSignal = (): void => {
    const cause = this.options.signal?.reason;
    this.fail(new InferceptError('ERR_ABORTED', 'The run was aborted by its signal.', { cause }));
  };

  private onEvent(event: NativeSequenceEvent, batch: NativeBatch): void {
    if (this.settled) return;
    switch (event.type) {
      case 'tokens':
        this.output.addTokens(event, batch);
        break;
      case 'match':
        this.onMatch(event.trigger, event.text);
        break;
      case 'pause':
        this.onPause(event);
        break;
      case 'resume':
        this.reportEnd(event.seq, this.output.record.addResume(event));
        break;
      case 'decision':
        this.onDecision(event);
        break;
      case 'finish':
        this.output.flush();
        this.settle({ result: this.output.record.finished(event, this.options.contextBefore) }, false);
        break;
      case 'failure':
        this.settle({ error: failureError(event) }, false);
        break;
    }
  }

  private reportEnd(sequence: number, record: InterceptionRecord): void {
    this.output.emit({ type: 'interception-end', ...record });
    this.options.observer.onResume(sequence, record);
  }

  private onMatch(trigger: number, text: string): void {
    const { augmentation, index } = this.joined.locate(trigger);
    this.matched = augmentation;
    augmentation.matched(index, text);
  }

  private onDecision(event: NativeDecisionEvent): void {
    const part = toDecisionPart(event, this.options.sequence.kind);
    this.output.emit(part);
    this.options.observer.onDecision(event.seq, part);
  }

  private onPause(event: NativePauseEvent): void {
    this.state = 'paused';
    const fromCode = event.reason === 'code';
    // A pause from code may stand in the middle of a marker, and the rest of it follow.
    if (!fromCode) this.output.flush();
    const augmentation = fromCode ? undefined : this.matched;
    const kind = augmentation?.kind() ?? this.requests.next?.kind ?? 'code';
    const skipped = this.output.record.begin(kind);
    if (skipped !== undefined) this.reportEnd(event.seq, skipped);
    this.output.emit({ type: 'interception-start', kind, contextTokens: event.contextTokens });
    this.options.observer.onPause(event.seq, kind, event.contextTokens);
    if (augmentation === undefined) this.giveHandle();
    else void this.answer(augmentation, kind);
  }

  private giveHandle(): void {
    const { sequence, codec } = this.options;
    const turn = {
      signal: this.signal,
      text: this.output.record.text,
      announce: (remainingMs: number) => sequence.mark({ remainingMs }),
      append: (tokens: ArrayLike<number>, text = '') => this.resume({ tokens, text }),
    };
    this.requests.resolve((kind) => createHandle(kind, turn, codec));
  }

  private async answer(augmentation: Augmentation, kind: string): Promise<void> {
    const { sequence } = this.options;
    sequence.mark({ kind });
    const pause: Pause = {
      signal: this.signal,
      text: this.output.segmentText,
      openCall: this.output.callText,
      mark: (facts: InterceptionFacts) => {
        if (!this.settled) sequence.mark(facts);
      },
    };
    try {
      const answer = await augmentation.answer(pause);
      if (this.settled) return;
      if (typeof answer === 'string') this.stopHere(answer);
      else this.resume(answer);
    } catch (error) {
      this.fail(fromNative(error));
    }
  }

  private resume({ tokens, text }: Answer): void {
    if (this.state !== 'paused') return;
    this.matched = undefined;
    this.state = 'running';
    const { next } = this.requests;
    this.options.sequence.resume(Int32Array.from(tokens), next && toFacts(next));
    this.output.addReturned(tokens, text);
  }

  /** The turn is over although the native side is only paused; the context stays. */
  private stopHere(reason: FinishReason): void {
    this.options.sequence.abort();
    this.settle({ result: this.cut(reason) }, false);
  }

  private cut(reason: FinishReason): RunResult {
    return this.output.record.cut(reason, this.begunTokens, this.options.contextBefore);
  }

  private settle(outcome: TurnOutcome, undo: boolean): void {
    if (this.settled) return;
    this.state = 'settled';
    const { options } = this;
    this.stopListening();
    options.sequence.listener = undefined;
    if (undo) options.undo();
    this.abortion.abort(new InferceptError('ERR_ABORTED', 'The run has ended.'));
    this.requests.rejectAll();
    options.link.drop();
    options.onSettled(outcome);
    if ('error' in outcome) {
      this.output.parts.end(outcome.error);
      this.outcome.reject(outcome.error);
      return;
    }
    const { finishReason, usage, timings } = outcome.result;
    this.output.emit({ type: 'finish', finishReason, usage, timings });
    this.output.parts.end();
    options.observer.onFinish(options.sequence.id, outcome.result);
    this.outcome.resolve(outcome.result);
  }
}
