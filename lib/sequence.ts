/** One native sequence: its commands, and a fence that keeps the events of an aborted turn away from the next one. */
import { InferceptError } from './errors.js';
import type { NativeFacts, NativeKind, NativeTurn } from './native-commands.js';
import type { NativeLink, SequenceListener } from './native-link.js';
import type { NativeBatch, NativeSequenceEvent } from './native-protocol.js';

/** What is known about a present or coming interception. */
export interface InterceptionFacts extends Omit<NativeFacts, keyof NativeKind> {
  kind?: string;
  /** Of the call's arguments, see argument-shape.ts. Only with a kind. */
  shape?: string | undefined;
}

export class Sequence {
  readonly id: number;
  /** Whether the native side has it. */
  live = false;
  /** Interception kind last told to the scheduler. */
  kind = 'unknown';
  /** Who gets the events now. */
  listener: SequenceListener | undefined;
  /** Aborts whose confirmation is still under way: events before it belong to the past. */
  private staleAborts = 0;
  private keep = true;

  constructor(private readonly link: NativeLink) {
    this.id = link.attach((event, batch) => this.onEvent(event, batch));
  }

  /** @throws InferceptError `ERR_OVERLOADED` or the engine's failure */
  submit(tokens: Int32Array, turn: NativeTurn, options: { priority: number; keep: boolean }): void {
    this.link.assertUsable();
    this.link.post({ type: 'submit', seq: this.id, tokens, turn, ...options });
    this.live = true;
    this.keep = options.keep;
  }

  /** Begins the next turn of a kept sequence. */
  resumeWith(turn: NativeTurn, tokens: Int32Array): void {
    this.link.assertUsable();
    this.link.post({ type: 'resume', seq: this.id, tokens, turn });
  }

  /** Ends an interception; with `next`, another one begins before anything is computed. */
  resume(tokens: Int32Array, next?: InterceptionFacts): void {
    this.link.assertUsable();
    const resume = { type: 'resume', seq: this.id, tokens } as const;
    if (next === undefined) this.link.post(resume);
    else this.link.post(resume, { type: 'pause', seq: this.id, ...this.toNative(next) });
  }

  mark(facts: InterceptionFacts): void {
    this.post('mark', facts);
  }

  pause(facts: InterceptionFacts): void {
    this.post('pause', facts);
  }

  private post(type: 'mark' | 'pause', facts: InterceptionFacts): void {
    if (!this.live || this.link.isClosed) return;
    const native = this.toNative(facts);
    if (type === 'mark') this.link.post({ type, seq: this.id, ...native });
    else this.link.post({ type, seq: this.id, ...native });
  }

  private toNative({ kind, shape, ...rest }: InterceptionFacts): NativeFacts {
    if (kind === undefined) return rest;
    this.kind = kind;
    return { ...rest, ...this.link.kinds.path(kind, shape) };
  }

  /** Stops a kept sequence's turn and cuts its context back. Its events until then are dropped. */
  abort(tokens?: number): void {
    if (!this.live || this.link.isClosed) return;
    this.staleAborts += 1;
    this.link.post({ type: 'abort', seq: this.id, ...(tokens !== undefined && { tokens }) });
  }

  rewind(tokens: number): void {
    this.link.assertUsable();
    this.link.post({ type: 'rewind', seq: this.id, tokens });
  }

  /** A paused copy that shares all blocks. */
  fork(): Sequence {
    this.link.assertUsable();
    const child = new Sequence(this.link);
    this.link.post({ type: 'fork', seq: this.id, child: child.id });
    child.live = true;
    return child;
  }

  suspend(): void {
    this.link.assertUsable();
    this.link.post({ type: 'suspend', seq: this.id });
  }

  /** Frees it in any state. Idempotent. */
  release(): void {
    this.link.detach(this.id);
    this.listener = undefined;
    if (!this.live) return;
    this.live = false;
    if (!this.link.isClosed) this.link.post({ type: 'release', seq: this.id });
  }

  private onEvent(event: NativeSequenceEvent, batch: NativeBatch): void {
    if (event.type === 'failure') {
      this.live = false;
      this.staleAborts = 0;
    } else if (this.staleAborts > 0) {
      if (event.type === 'finish' && event.reason === 'aborted') this.staleAborts -= 1;
      return;
    }
    if (event.type === 'finish' && !this.keep) this.live = false;
    this.listener?.(event, batch);
  }
}

/** A failure event as an error. */
export function failureError(event: { code: InferceptError['code']; message: string }): InferceptError {
  const message = event.message.charAt(0).toUpperCase() + event.message.slice(1);
  return new InferceptError(event.code, message.endsWith('.') ? message : `${message}.`);
}
