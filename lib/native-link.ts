/**
 * The one connection between TypeScript and a native engine: loads it, hands its events to the sequences they belong to,
 * and remembers its failure. Nothing that a listener throws reaches native code.
 */
import { onAbort } from './abort.js';
import { type Deferred, deferred } from './deferred.js';
import { InferceptError, throwIfAborted } from './errors.js';
import { type Estimates, parseEstimates } from './estimates.js';
import type { KindTable } from './kind-table.js';
import type { ModelSpec } from './model-spec.js';
import { fromNative } from './native.js';
import type { NativeCommand } from './native-commands.js';
import type {
  NativeBatch,
  NativeBinding,
  NativeEngine,
  NativeEngineEvent,
  NativeInfo,
  NativeOptions,
  NativeSequenceEvent,
  StepRecord,
} from './native-protocol.js';
import type { NativeStats } from './native-stats.js';
import type { LoadProgress } from './options.js';

/** Called for each event of one sequence. */
export type SequenceListener = (event: NativeSequenceEvent, batch: NativeBatch) => void;

/** What the owner of a link wants to know. */
export interface LinkObserver {
  onStep(step: StepRecord): void;
  /** The engine failed, or a listener threw (a bug). */
  onError(error: InferceptError): void;
}

export interface LinkOptions {
  spec: ModelSpec;
  native: NativeOptions;
  kinds: KindTable;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export class NativeLink {
  /** Set once loading is done. */
  info!: NativeInfo;
  /** Why the engine can no longer be used, if so. */
  failure: InferceptError | undefined;
  observer: LinkObserver | undefined;
  /** Names under which durations are learnt. */
  readonly kinds: KindTable;

  private readonly native: NativeEngine;
  private readonly listeners = new Map<number, SequenceListener>();
  private readonly dumps = new Map<number, Deferred<string>>();
  private readonly loading = deferred<NativeInfo>();
  private readonly stopped = deferred<void>();
  private nextSequence = 0;
  private nextDump = 0;
  private turns = 0;
  private holds = 0;
  private closing = false;
  private closed = false;

  private readonly onProgress: ((progress: LoadProgress) => void) | undefined;

  private constructor(binding: NativeBinding, options: LinkOptions) {
    this.onProgress = options.onProgress;
    this.kinds = options.kinds;
    this.native = new binding.NativeEngine(options.spec, options.native, (batch) => this.onBatch(batch));
  }

  /** Starts an engine and waits until its model is loaded. */
  static async open(binding: NativeBinding, options: LinkOptions): Promise<NativeLink> {
    const link = NativeLink.start(binding, options);
    const stopListening = options.signal === undefined ? () => {} : onAbort(options.signal, () => link.native.stop());
    try {
      link.info = await link.loading.promise;
      throwIfAborted(options.signal, 'loading');
      link.native.setReferenced(false);
      return link;
    } catch (error) {
      await link.close();
      throw error;
    } finally {
      stopListening();
    }
  }

  private static start(binding: NativeBinding, options: LinkOptions): NativeLink {
    try {
      return new NativeLink(binding, options);
    } catch (error) {
      throw fromNative(error);
    }
  }

  get isClosed(): boolean {
    return this.closing;
  }

  /** Throws if nothing new can be started: `ERR_DISPOSED`, or the engine's failure. */
  assertUsable(): void {
    if (this.closing) throw new InferceptError('ERR_DISPOSED', 'The engine was disposed; load a new one.');
    if (this.failure !== undefined) {
      throw new InferceptError(this.failure.code, `The engine has failed: ${this.failure.message}`, {
        cause: this.failure,
      });
    }
  }

  /** Opens a place for a sequence and returns its id. */
  attach(listener: SequenceListener): number {
    this.nextSequence += 1;
    this.listeners.set(this.nextSequence, listener);
    return this.nextSequence;
  }

  detach(sequence: number): void {
    this.listeners.delete(sequence);
  }

  /** Commands for the same step boundary. Throws `ERR_OVERLOADED` when the inbox is full, `ERR_DISPOSED`. */
  post(...commands: NativeCommand[]): void {
    try {
      this.native.post(...commands);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** A number that no other turn of this engine has. */
  nextTurn(): number {
    this.turns += 1;
    return this.turns;
  }

  /** While anything holds the link, the engine keeps the process alive. Each hold is dropped once. */
  hold(): void {
    this.holds += 1;
    if (this.holds === 1 && !this.closing) this.native.setReferenced(true);
  }

  drop(): void {
    this.holds -= 1;
    // While closing, whoever waits for the end must get it.
    if (this.holds === 0 && !this.closing) this.native.setReferenced(false);
  }

  stats(): NativeStats {
    return this.native.stats();
  }

  /** What was learnt about how long interceptions last. */
  async estimates(): Promise<Estimates> {
    // Taken now: names that get a place later are not part of the answer.
    const names = this.kinds.entries();
    return parseEstimates(await this.dump('durations'), names);
  }

  /** The engine's state as JSON, or what it learnt, at a step boundary after everything posted before. */
  async dump(subject: 'state' | 'durations' = 'state'): Promise<string> {
    const answer = deferred<string>();
    this.nextDump += 1;
    const id = this.nextDump;
    this.dumps.set(id, answer);
    this.hold();
    try {
      this.native.dump(id, subject);
      return await answer.promise;
    } catch (error) {
      throw fromNative(error);
    } finally {
      this.dumps.delete(id);
      this.drop();
    }
  }

  /** Ends the thread after its present step. Idempotent. */
  async close(): Promise<void> {
    if (!this.closing) {
      this.closing = true;
      this.native.setReferenced(true);
      this.native.stop();
    }
    await this.stopped.promise;
    if (this.closed) return;
    this.closed = true;
    this.native.close();
    this.listeners.clear();
    const disposed = new InferceptError('ERR_DISPOSED', 'The engine was disposed.');
    for (const dump of this.dumps.values()) dump.reject(disposed);
  }

  private onBatch(batch: NativeBatch): void {
    for (const event of batch.events) this.guard(() => this.onEvent(event, batch));
    for (const step of batch.steps) this.guard(() => this.observer?.onStep(step));
  }

  private guard(body: () => void): void {
    try {
      body();
    } catch (error) {
      if (this.observer !== undefined) this.observer.onError(fromNative(error));
      else this.cancelLoad(error);
    }
  }

  /** `onProgress` threw. */
  private cancelLoad(error: unknown): void {
    this.loading.reject(error);
    this.native.stop();
  }

  private onEvent(event: NativeSequenceEvent | NativeEngineEvent, batch: NativeBatch): void {
    if ('seq' in event) this.listeners.get(event.seq)?.(event, batch);
    else this.onEngineEvent(event);
  }

  private onEngineEvent(event: NativeEngineEvent): void {
    switch (event.type) {
      case 'progress':
        this.onProgress?.({ phase: event.phase, loadedBytes: event.loadedBytes, totalBytes: event.totalBytes });
        break;
      case 'loaded':
        this.loading.resolve(event.info);
        break;
      case 'failed':
        this.failure = new InferceptError(event.code, event.message);
        this.loading.reject(this.failure);
        this.observer?.onError(this.failure);
        break;
      case 'dump':
        this.dumps.get(event.id)?.resolve(event.json);
        break;
      case 'stopped':
        this.loading.reject(new InferceptError('ERR_ABORTED', 'The load was cancelled.'));
        this.stopped.resolve();
        break;
    }
  }
}
