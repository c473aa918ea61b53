/** What can interrupt a turn natively and go on with something returned: tools and interceptors are both of this type. */
import { onAbort } from './abort.js';
import type { NativeTrigger } from './native-commands.js';
import type { FinishReason } from './part.js';
import type { InterceptionFacts } from './sequence.js';

/** A turn that waits for an answer. */
export interface Pause {
  /** Fires when the turn is over before the answer is there. */
  readonly signal: AbortSignal;
  /** What stands after the marker that opens a tool call and has no closing one. */
  readonly openCall: string;
  /** Text of the answer since the turn or its last interception began. */
  readonly text: string;
  /** Tells the scheduler what is known about the wait. */
  mark(facts: InterceptionFacts): void;
}

/** What ends an interception. */
export interface Answer {
  /** Appended to the context. */
  tokens: ArrayLike<number>;
  /** If the tokens are part of the answer: their text. */
  text?: string;
}

export interface Augmentation {
  readonly triggers: readonly NativeTrigger[];
  /** The kind of the interception that begins now. */
  kind(): string;
  /** Trigger `index` completed. Must not throw. */
  matched(index: number, text: string): void;
  /** The turn paused because of a trigger. A reason instead of an answer ends the turn here. */
  answer(pause: Pause): Promise<Answer | FinishReason>;
}

/** Several augmentations' triggers in one list. */
export interface JoinedTriggers {
  triggers: NativeTrigger[];
  /** Whose the trigger with this number is, and its number there. */
  locate(trigger: number): { augmentation: Augmentation; index: number };
}

export function joinTriggers(augmentations: readonly Augmentation[]): JoinedTriggers {
  const owners = augmentations.flatMap((augmentation) =>
    augmentation.triggers.map((trigger, index) => ({ trigger, augmentation, index })),
  );
  return { triggers: owners.map(({ trigger }) => trigger), locate: (trigger) => owners[trigger]! };
}

/** What hooks and tools can announce about the rest of their time. */
export interface Forecast {
  /** The answer will be there in so many milliseconds. */
  eta(milliseconds: number): void;
  /** What fraction of the work is done, from 0 to 1. */
  progress(fraction: number): void;
  /** The answer is about to be there. */
  almostDone(): void;
}

/** Turns announcements into the milliseconds that remain. */
export function createForecast(announce: (remainingMs: number) => void): Forecast {
  const started = performance.now();
  return {
    eta: (milliseconds) => {
      if (milliseconds >= 0) announce(milliseconds);
    },
    progress: (fraction) => {
      const elapsed = performance.now() - started;
      if (fraction > 0 && fraction <= 1) announce((elapsed * (1 - fraction)) / fraction);
    },
    almostDone: () => announce(0),
  };
}

/** The promise, or a rejection as soon as the signal fires. */
export function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const stopListening = signal.aborted ? () => {} : onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(stopListening);
  });
}

/** A returned stream of text as one text. */
export async function collectText(stream: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of stream) text += piece;
  return text;
}

export function isAsyncIterable(value: unknown): value is AsyncIterable<string> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
