/** The engine: one model, one KV cache, one native thread; any number of sessions and runs. */
import { EventEmitter } from 'eventemitter3';
import type { EngineCore } from './engine-core.js';
import { InferceptError } from './errors.js';
import type { Estimates } from './estimates.js';
import { type GenerateOptions, generate } from './generate.js';
import type { InterceptionRecord } from './interception-record.js';
import { type LoadedEngine, loadEngine } from './load.js';
import { measuredProfile } from './measured-profile.js';
import { formatMetrics, RunMetrics } from './metrics.js';
import type { StepRecord } from './native-protocol.js';
import { checkLoadOptions, type LoadOptions } from './options.js';
import type { InterceptionDecisionPart, RunResult } from './part.js';
import type { DeviceProfile } from './profiles.js';
import type { Run } from './run.js';
import { Session } from './session.js';
import type { SessionOptions } from './session-options.js';
import { type EngineStats, toEngineStats } from './stats.js';
import { nonEmptyString, string, tokenIds } from './validate.js';

/** What an engine can hold. */
export interface EngineCapacity {
  /** `cpu`. */
  device: string;
  /** Instruction set of the kernels. */
  isa: string;
  /** Threads that compute. */
  threads: number;
  /** The longest context of one sequence, in tokens. */
  contextTokens: number;
  /** Tokens whose keys and values fit on the device, over all sequences. */
  kvTokens: number;
  /** And on the host. */
  hostTokens: number;
  /** Tokens per KV block. */
  blockTokens: number;
  /**
   * Blocks that so many tokens take, each with the keys and values of some layers. More than one where layers that see
   * everything and layers with a window free their blocks at different times.
   */
  blockGroups: number;
  /** Bytes of keys and values of one token. */
  bytesPerToken: number;
  /** Bytes of the model's weights in its files, or as they were quantized at load. */
  weightBytes: number;
  /** Tokens per step beyond which step time grows in proportion, as measured at load or set. */
  saturationTokens: number;
}

/** Events of an engine and their arguments. Sequences are numbered per engine. */
export interface EngineEvents {
  /** A context began to wait. */
  'interception-start': [event: { sequence: number; kind: string; contextTokens: number }];
  /** The scheduler decided about a waiting context. */
  'interception-decision': [event: { sequence: number } & Omit<InterceptionDecisionPart, 'type'>];
  /** A context goes on. */
  'interception-end': [event: { sequence: number } & InterceptionRecord];
  /** A run ended otherwise than by an error. */
  'run-finish': [event: { sequence: number } & Pick<RunResult, 'finishReason' | 'usage' | 'timings'>];
  /** A step was executed. If the event loop lags, only the newest 64 are reported. */
  step: [step: StepRecord];
  /** The engine has failed, or an event listener threw. Runs report their own errors. */
  error: [error: InferceptError];
}

/** Makes sessions and runs. Made by {@link Engine.load}. */
export class Engine extends EventEmitter<EngineEvents> {
  readonly #core: EngineCore;
  readonly #metrics = new RunMetrics();

  private constructor({ link, text }: LoadedEngine) {
    super();
    const { tokenizer } = text;
    this.#core = {
      link,
      text,
      codec: {
        encode: (content) => tokenizer.encodeTextAsync(content),
        decode: (tokens) => tokenizer.decode(Array.from(tokens)),
      },
      observer: {
        onPause: (sequence, kind, contextTokens) =>
          this.#tell(() => this.emit('interception-start', { sequence, kind, contextTokens })),
        onDecision: (sequence, { type: _, ...decision }) =>
          this.#tell(() => this.emit('interception-decision', { sequence, ...decision })),
        onResume: (sequence, record) => this.#tell(() => this.emit('interception-end', { sequence, ...record })),
        onFinish: (sequence, result) => {
          this.#metrics.add(result);
          const { finishReason, usage, timings } = result;
          this.#tell(() => this.emit('run-finish', { sequence, finishReason, usage, timings }));
        },
      },
      sessions: new Set(),
      turns: new Set(),
    };
    link.observer = {
      onStep: (step) => this.#tell(() => this.emit('step', step)),
      onError: (error) => this.#tell(() => this.emit('error', error)),
    };
  }

  /**
   * Loads a model and starts its engine.
   * @param source `'demo'`, the path of a GGUF file, or of a Hugging Face folder (config.json, tokenizer.json, safetensors), or
   *   `'hf:organization/name[@revision][/file]'`, which is downloaded (needs the package `@huggingface/hub`) and kept in the
   *   cache that Python's libraries use; `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_HOME` and the like are obeyed
   * @throws InferceptError `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_FORMAT`, `ERR_MODEL_UNSUPPORTED`, `ERR_OUT_OF_MEMORY`,
   *   `ERR_DEVICE`, `ERR_NATIVE_NOT_FOUND`, `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`
   */
  static async load(source: string, options?: LoadOptions): Promise<Engine> {
    return new Engine(await loadEngine(nonEmptyString(source, 'source'), checkLoadOptions(options)));
  }

  /**
   * Begins a conversation. Nothing is computed before the first send.
   * @throws InferceptError `ERR_INVALID_ARGUMENT`, `ERR_MODEL_UNSUPPORTED` (no chat template, or no tools in it), `ERR_DISPOSED`
   */
  session(options: SessionOptions = {}): Session {
    this.#core.link.assertUsable();
    return new Session(this.#core, options);
  }

  /** Generates once. @throws InferceptError `ERR_INVALID_ARGUMENT`, `ERR_DISPOSED`, or why the engine failed */
  generate(options: GenerateOptions): Run {
    return generate(this.#core, options);
  }

  /** Token ids of a text. It never spells control tokens. Long texts are encoded on another thread. */
  async tokenize(text: string): Promise<number[]> {
    this.#assertNotDisposed();
    return Array.from(await this.#core.text.tokenizer.encodeTextAsync(string(text, 'text')));
  }

  /** The text of token ids; control tokens are spelled out. */
  detokenize(tokens: ArrayLike<number>): string {
    this.#assertNotDisposed();
    return this.#core.text.tokenizer.decode(tokenIds(tokens, 'tokens'));
  }

  /** Counters and state as of the last step boundary. Works on a failed engine. */
  stats(): EngineStats {
    this.#assertNotDisposed();
    const { link } = this.#core;
    return toEngineStats(link.stats(), link.kinds.entries());
  }

  /** Counters, state and latencies in the text format of Prometheus. */
  metrics(): string {
    return formatMetrics(this.stats(), this.#metrics);
  }

  /** The engine's inner state for people: queues, block tables, budgets, the last 64 steps. Works on a failed engine. */
  async dump(): Promise<Record<string, unknown>> {
    this.#assertNotDisposed();
    return JSON.parse(await this.#core.link.dump()) as Record<string, unknown>;
  }

  /**
   * What was learnt so far about how long interceptions last, by tool and by the shape of arguments, as plain JSON. Given to
   * `Engine.load` as `estimates`, it spares the next engine the learning. Works on a failed engine.
   */
  async estimates(): Promise<Estimates> {
    this.#assertNotDisposed();
    return this.#core.link.estimates();
  }

  /** What fits into the engine. */
  capacity(): EngineCapacity {
    this.#assertNotDisposed();
    const { deviceBlocks, hostBlocks, ...info } = this.#core.link.info;
    const tokensIn = (blocks: number) => Math.floor((blocks * info.blockTokens) / info.blockGroups);
    return { ...info, kvTokens: tokensIn(deviceBlocks), hostTokens: tokensIn(hostBlocks) };
  }

  /**
   * What steps and copies cost on this machine, as measured at load and followed since, and the memory that this engine has:
   * `simulate(workload, { profile })` plays it. Works on a failed engine.
   */
  profile(): DeviceProfile {
    return measuredProfile(this.capacity(), this.#core.link.stats().cost);
  }

  /** Ends all runs with `ERR_DISPOSED`, ends the thread after its present step, frees all memory. Idempotent. */
  async dispose(): Promise<void> {
    const { link, turns, sessions, text } = this.#core;
    const closed = link.close();
    const error = new InferceptError('ERR_DISPOSED', 'The engine was disposed.');
    for (const turn of [...turns]) turn.fail(error);
    for (const session of [...sessions]) session.dispose();
    text.tokenizer.dispose();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Emits an event. What a listener throws must not disturb the run that the event is about. */
  #tell(emit: () => void): void {
    try {
      emit();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const error = new InferceptError('ERR_TOOL_FAILED', `A listener of the engine threw: ${reason}`, { cause });
      // A listener of `error` that throws has nobody left to tell.
      for (const listener of this.listeners('error'))
        void Promise.resolve(error)
          .then(listener)
          .catch(() => {});
    }
  }

  #assertNotDisposed(): void {
    if (this.#core.link.isClosed) throw new InferceptError('ERR_DISPOSED', 'The engine was disposed; load a new one.');
  }
}
