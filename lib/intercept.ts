/** Interceptions marked from code: `run.intercept()`. */
import { createForecast, type Forecast } from './augmentation.js';
import { deferred } from './deferred.js';
import { InferceptError } from './errors.js';
import type { TextCodec } from './interception.js';
import { toAnswer } from './interception.js';
import type { Disposition } from './interception-record.js';
import type { InterceptionFacts } from './sequence.js';
import { nonEmptyString, oneOf, options, real } from './validate.js';

/** What is known about an interception that code marks. */
export interface InterceptOptions {
  /** Under which name waiting times are learnt and reported; as a tool's `kind`. Default `code`. */
  kind?: string;
  /** How long it will last, in milliseconds. Default: unknown. */
  expectedMs?: number;
  /** A wish for what happens to the context meanwhile. Default: none. */
  disposition?: Disposition;
}

export const interceptOptions = options({
  kind: nonEmptyString,
  expectedMs: real(0, 1e12),
  disposition: oneOf('preserve', 'swap', 'discard'),
});

/** What the scheduler is told. */
export function toFacts({ kind = 'code', expectedMs, disposition }: InterceptOptions): InterceptionFacts {
  return {
    kind,
    ...(expectedMs !== undefined && { remainingMs: expectedMs }),
    ...(disposition !== undefined && { disposition }),
  };
}

/** A run that waits until `resume` is called. */
export interface InterceptionHandle extends Forecast {
  readonly kind: string;
  /** Answer text so far. */
  readonly text: string;
  /** Fires when the run ends before it is resumed. */
  readonly signal: AbortSignal;
  /**
   * Goes on, with this text or these token ids appended to the context. Text never spells control tokens.
   * @throws InferceptError `ERR_BUSY` when called twice, `ERR_ABORTED` when the run has ended
   */
  resume(returned?: string | number[]): Promise<void>;
}

/** What the handle does to its turn. */
export interface PausedTurn {
  readonly signal: AbortSignal;
  readonly text: string;
  announce(remainingMs: number): void;
  append(tokens: ArrayLike<number>, text?: string): void;
}

export function createHandle(kind: string, turn: PausedTurn, codec: TextCodec): InterceptionHandle {
  let resumed = false;
  return {
    kind,
    text: turn.text,
    signal: turn.signal,
    ...createForecast((remainingMs) => turn.announce(remainingMs)),
    async resume(returned = '') {
      if (resumed) throw new InferceptError('ERR_BUSY', 'This interception was resumed already.');
      resumed = true;
      const answer = await toAnswer(returned, codec, 'resume');
      if (turn.signal.aborted) throw new InferceptError('ERR_ABORTED', 'The run ended before it was resumed.');
      turn.append(answer.tokens, answer.text);
    },
  };
}

/** Interceptions from code that wait for their pause, in the order in which they were asked for. */
export class InterceptRequests {
  private readonly waiting: { options: InterceptOptions; handle: ReturnType<typeof deferred<InterceptionHandle>> }[] =
    [];

  add(request: InterceptOptions): Promise<InterceptionHandle> {
    const handle = deferred<InterceptionHandle>();
    this.waiting.push({ options: request, handle });
    return handle.promise;
  }

  /** The request whose turn it is. */
  get next(): InterceptOptions | undefined {
    return this.waiting[0]?.options;
  }

  resolve(make: (kind: string) => InterceptionHandle): void {
    const request = this.waiting.shift();
    request?.handle.resolve(make(request.options.kind ?? 'code'));
  }

  rejectAll(): void {
    for (const { handle } of this.waiting.splice(0)) {
      handle.reject(new InferceptError('ERR_ABORTED', 'The run ended before the interception began.'));
    }
  }
}
