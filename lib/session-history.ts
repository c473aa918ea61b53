/** What a session has said so far: messages for the template, tokens for the engine, and points to go back to. */
import { InferceptError } from './errors.js';
import type { Message } from './text/messages.js';

/** One completed send. Shared by forks: an entry never changes. */
export interface HistoryEntry {
  readonly messages: readonly Message[];
  /** Tokens that it added to the context. */
  readonly tokens: readonly number[];
  /** Whether its last token ended the assistant's turn. */
  readonly ended: boolean;
}

/** A place in a session's past. Valid in the session and in its forks, until they rewind to before it. */
export interface Checkpoint {
  /** Completed sends. */
  readonly turns: number;
  readonly contextTokens: number;
}

const places = new WeakMap<Checkpoint, HistoryEntry | undefined>();

export class SessionHistory {
  /** @param preamble messages before the first send */
  constructor(
    readonly preamble: readonly Message[],
    private entries: readonly HistoryEntry[] = [],
  ) {}

  get isEmpty(): boolean {
    return this.entries.length === 0;
  }

  /** Whether the last sampled token ended the assistant's turn. */
  get ended(): boolean {
    return this.entries.at(-1)?.ended ?? true;
  }

  get messages(): Message[] {
    return [...this.preamble, ...this.entries.flatMap(({ messages }) => messages)];
  }

  get contextTokens(): number {
    return this.entries.reduce((sum, { tokens }) => sum + tokens.length, 0);
  }

  get tokens(): number[] {
    return this.entries.flatMap(({ tokens }) => tokens);
  }

  add(entry: HistoryEntry): void {
    this.entries = [...this.entries, entry];
  }

  copy(): SessionHistory {
    return new SessionHistory(this.preamble, this.entries);
  }

  checkpoint(): Checkpoint {
    const point = { turns: this.entries.length, contextTokens: this.contextTokens };
    places.set(point, this.entries.at(-1));
    return point;
  }

  /** @throws InferceptError `ERR_INVALID_ARGUMENT` if the point is not in this session's past */
  rewind(point: Checkpoint): void {
    const entry = places.get(point);
    const kept = entry === undefined ? 0 : this.entries.indexOf(entry) + 1;
    if (!places.has(point) || kept !== point.turns) {
      throw new InferceptError(
        'ERR_INVALID_ARGUMENT',
        "The checkpoint is not in this session's past; use one that this session, or the one it was forked from, made.",
      );
    }
    this.entries = this.entries.slice(0, kept);
  }
}
