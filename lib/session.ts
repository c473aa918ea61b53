/** A conversation whose context stays in the engine between messages. */
import type { Augmentation } from './augmentation.js';
import { type EngineCore, requireTemplate, requireToolCallFormat } from './engine-core.js';
import { InferceptError } from './errors.js';
import { Exchange } from './exchange.js';
import { type Explanation, InterceptionLog } from './explanation.js';
import { InterceptorSet } from './interception.js';
import { toNativeSampling, unlimitedTokens } from './options.js';
import { Run } from './run.js';
import { Sequence } from './sequence.js';
import { type Checkpoint, SessionHistory } from './session-history.js';
import {
  firstMessages,
  readSendOptions,
  readSessionOptions,
  type SendOptions,
  type SessionOptions,
  type Settings,
  toMessages,
  toolMap,
} from './session-options.js';
import type { Message } from './text/messages.js';
import type { Tool } from './tool.js';
import { ToolRunner } from './tool-runner.js';
import { Turn } from './turn.js';
import { type TurnOutcome, toDecisionPart } from './turn-options.js';
import { oneOf, options } from './validate.js';

/**
 * Runs do not overlap: a send while one is active throws `ERR_BUSY`. Between sends the context waits as an interception of
 * kind `human`.
 */
export class Session {
  readonly #core: EngineCore;
  readonly #options: SessionOptions;
  readonly #settings: Settings;
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #history: SessionHistory;
  readonly #log: InterceptionLog;
  #sequence: Sequence | undefined;
  #active: Turn | undefined;
  #disposed = false;

  /** Made by `engine.session` and `fork`. */
  constructor(
    core: EngineCore,
    sessionOptions: SessionOptions,
    origin?: { history: SessionHistory; sequence?: Sequence },
  ) {
    this.#core = core;
    this.#log = new InterceptionLog(core.observer);
    this.#options = sessionOptions;
    this.#settings = readSessionOptions(sessionOptions, 'session');
    this.#tools = toolMap(this.#settings);
    requireTemplate(core);
    if (this.#tools.size > 0) requireToolCallFormat(core);
    this.#history = origin?.history ?? new SessionHistory(firstMessages(this.#settings));
    if (origin?.sequence !== undefined) this.#adopt(origin.sequence);
    core.sessions.add(this);
  }

  /** All messages so far, the system message first. A copy. */
  get messages(): Message[] {
    return this.#history.messages;
  }

  /** Length of the context in tokens. */
  get contextTokens(): number {
    return this.#history.contextTokens;
  }

  /** Whether a run is active. */
  get busy(): boolean {
    return this.#active !== undefined;
  }

  /**
   * Says something and lets the model answer, calling tools as it likes. If the run fails or is aborted, the session is as
   * it was before.
   * @param content the user's message, or several messages
   * @throws InferceptError `ERR_BUSY` while a run is active, `ERR_DISPOSED`, `ERR_INVALID_ARGUMENT`, or why the engine failed
   */
  send(content: string | readonly Message[], sendOptions?: SendOptions): Run {
    this.#assertIdle('send');
    const added = toMessages(content);
    const checked = readSendOptions(sendOptions, 'send');
    const sequence = this.#liveSequence();
    const exchange = this.#exchange(sequence, added);
    const turn: Turn = new Turn({
      ...this.#turnBasics(checked),
      sequence,
      contextBefore: this.contextTokens,
      augmentations: (started) => this.#augmentations(started, exchange, checked.maxToolRounds),
      begin: (native, signal) => exchange.begin(native, signal),
      undo: () => exchange.undo(),
      onSettled: (outcome) => this.#onSettled(turn, exchange, outcome),
    });
    this.#active = turn;
    this.#core.turns.add(turn);
    void turn.start();
    return new Run(turn, this.#log);
  }

  /**
   * A session with the same past that goes its own way; both share the memory of what they have in common.
   * @throws InferceptError `ERR_BUSY` while a run is active
   */
  fork(): Session {
    this.#assertIdle('fork');
    const sequence = this.#sequence?.live ? this.#sequence.fork() : undefined;
    return new Session(this.#core, this.#options, { history: this.#history.copy(), ...(sequence && { sequence }) });
  }

  /** The present place in the conversation, to go back to. @throws InferceptError `ERR_BUSY` while a run is active */
  checkpoint(): Checkpoint {
    this.#assertIdle('checkpoint');
    return this.#history.checkpoint();
  }

  /**
   * Forgets what was said since the checkpoint.
   * @throws InferceptError `ERR_BUSY` while a run is active, `ERR_INVALID_ARGUMENT` if the point is not in the past
   */
  rewind(point: Checkpoint): void {
    this.#assertIdle('rewind');
    this.#history.rewind(point);
    if (!this.#sequence?.live) return;
    if (this.#history.isEmpty) this.#sequence.release();
    else this.#sequence.rewind(this.#history.contextTokens);
  }

  /**
   * Asks the engine to move this context out of device memory now; the next send brings it back.
   * @param target `{ to: 'host' }`. Default. (`'disk'` is not available yet.)
   * @throws InferceptError `ERR_BUSY` while a run is active
   */
  async suspend(target: { to?: 'host' | 'disk' } = {}): Promise<void> {
    const { to } = options({ to: oneOf('host', 'disk') })(target, 'suspend');
    this.#assertIdle('suspend');
    if (to === 'disk') {
      throw new InferceptError(
        'ERR_INVALID_ARGUMENT',
        "`to: 'disk'` is not available in this version; use `to: 'host'` with a large enough `swap.hostBytes`.",
      );
    }
    if (this.#sequence?.live) this.#sequence.suspend();
  }

  /** What was decided about the context in its last interceptions, why, and what that cost. Works in every state. */
  explain(): Explanation {
    return this.#log.explain();
  }

  /** Ends an active run with `ERR_DISPOSED` and frees the context. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#core.sessions.delete(this);
    this.#active?.fail(new InferceptError('ERR_DISPOSED', 'The session was disposed.'));
    this.#sequence?.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #assertIdle(method: string): void {
    if (this.#disposed) throw new InferceptError('ERR_DISPOSED', 'The session was disposed; make a new one.');
    this.#core.link.assertUsable();
    if (this.#active === undefined) return;
    throw new InferceptError(
      'ERR_BUSY',
      `session.${method} cannot be used while a run is active; await the run first.`,
    );
  }

  /** The session's sequence; a new one at first, and after a failure. */
  #liveSequence(): Sequence {
    if (this.#sequence?.live) return this.#sequence;
    this.#sequence?.release();
    this.#sequence = new Sequence(this.#core.link);
    return this.#sequence;
  }

  #exchange(sequence: Sequence, added: readonly Message[]): Exchange {
    return new Exchange({
      core: this.#core,
      history: this.#history,
      sequence,
      added,
      tools: [...this.#tools.values()].map(({ name, description, jsonSchema }) => ({
        name,
        description,
        parameters: jsonSchema,
      })),
      variables: this.#settings.templateVariables,
      priority: this.#settings.priority ?? 0,
    });
  }

  #turnBasics(checked: ReturnType<typeof readSendOptions>) {
    const { link, codec, text } = this.#core;
    const format = this.#tools.size > 0 ? text.toolCallFormat : undefined;
    return {
      link,
      codec,
      observer: this.#log,
      markers: { reasoning: text.reasoning, toolCall: format, silent: text.toolCallFormat?.silent },
      toolCallFormat: format,
      signal: checked.signal,
      turn: {
        sampling: toNativeSampling({ ...this.#settings.sampling, ...checked.sampling }),
        stopTokens: text.stopTokens,
        stopTexts: checked.stop ?? [],
        maxTokens: checked.maxTokens ?? unlimitedTokens,
      },
    };
  }

  #augmentations(turn: Turn, exchange: Exchange, roundsMax: number | undefined): Augmentation[] {
    const augmentations: Augmentation[] = [];
    const watched = this.#settings.interceptors ?? [];
    if (watched.length > 0) augmentations.push(new InterceptorSet(watched, this.#core.codec));
    if (this.#tools.size === 0) return augmentations;
    const runner = new ToolRunner({
      turn,
      session: this,
      tools: this.#tools,
      format: requireToolCallFormat(this.#core),
      approve: this.#settings.approve,
      roundsMax: roundsMax ?? this.#settings.maxToolRounds ?? 16,
      mark: (facts) => this.#sequence?.mark(facts),
      renderResults: (assistant, results) => exchange.renderResults(assistant, results),
    });
    return [...augmentations, runner];
  }

  #onSettled(turn: Turn, exchange: Exchange, outcome: TurnOutcome): void {
    this.#active = undefined;
    this.#core.turns.delete(turn);
    if ('result' in outcome && outcome.result.finishReason !== 'aborted') {
      this.#history.add(exchange.toEntry(outcome.result, turn.output.segmentText));
    }
    if (this.#sequence?.live) this.#adopt(this.#sequence);
  }

  /** The context waits for the next message. */
  #adopt(sequence: Sequence): void {
    this.#sequence = sequence;
    sequence.mark({ kind: 'human' });
    this.#log.onPause(sequence.id, sequence.kind, this.contextTokens);
    sequence.listener = (event) => {
      if (event.type === 'decision') this.#log.onDecision(event.seq, toDecisionPart(event, sequence.kind));
    };
  }
}
