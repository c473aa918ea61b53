/** A run: one turn being generated, as a stream of parts and as a promise of its result. */
import { InferceptError } from './errors.js';
import type { Explanation, InterceptionLog } from './explanation.js';
import { type InterceptionHandle, type InterceptOptions, interceptOptions } from './intercept.js';
import type { RunPart, RunResult } from './part.js';
import type { Turn } from './turn.js';

/**
 * Starts at once, whether or not anybody looks. `await run` gives the result; `for await (const part of run)` gives the
 * parts as they come, once per run. A slow consumer holds nothing up: parts wait in a queue that merges neighbouring
 * texts, so it never holds more than one answer. Leaving the loop early cancels the run.
 */
export class Run implements AsyncIterable<RunPart>, PromiseLike<RunResult> {
  readonly #turn: Turn;
  readonly #log: InterceptionLog;
  #consumed = false;

  /** Made by `engine.generate` and `session.send`. */
  constructor(turn: Turn, log: InterceptionLog) {
    this.#turn = turn;
    this.#log = log;
  }

  /** The result, as a plain promise. Rejects with `ERR_ABORTED` if the run's signal fires, and with whatever made it fail. */
  get result(): Promise<RunResult> {
    return this.#turn.result;
  }

  /** Whether the run has ended, one way or another. */
  get done(): boolean {
    return this.#turn.settled;
  }

  // biome-ignore lint/suspicious/noThenProperty: a run can be awaited on purpose
  then<Value = RunResult, Failure = never>(
    onResult?: ((result: RunResult) => Value | PromiseLike<Value>) | null,
    onError?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Value | Failure> {
    return this.#turn.result.then(onResult, onError);
  }

  catch<Failure = never>(
    onError?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<RunResult | Failure> {
    return this.#turn.result.catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<RunResult> {
    return this.#turn.result.finally(onEnd);
  }

  /** The parts. Throws what the run fails with, after the parts that came before. Can be used once. */
  [Symbol.asyncIterator](): AsyncIterator<RunPart, undefined> {
    if (this.#consumed) {
      throw new InferceptError('ERR_BUSY', 'The parts of a run can be iterated once; keep what you need of them.');
    }
    this.#consumed = true;
    return this.#turn.output.parts;
  }

  /**
   * Pauses the run at its next step boundary (after its present interception, if there is one), until the handle's
   * `resume` is called.
   * @throws InferceptError `ERR_BUSY` if the run has ended, `ERR_ABORTED` if it ends before the pause
   */
  async intercept(options?: InterceptOptions): Promise<InterceptionHandle> {
    return this.#turn.intercept(interceptOptions(options, 'intercept') as InterceptOptions);
  }

  /** What was decided about the run's context in its last interceptions, or its session's; as {@link Session.explain}. */
  explain(): Explanation {
    return this.#log.explain();
  }

  /**
   * Ends the run now. It resolves with what there is and `finishReason: 'aborted'`; its session is as it was before the
   * send. No effect on a run that has ended.
   */
  cancel(): void {
    this.#turn.cancel();
  }
}
