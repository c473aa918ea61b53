/**
 * Parts between the engine and a consumer that may be slower. Neighbouring deltas that were not taken yet are merged, so
 * that the queue never holds more than the text of one answer and one part per tool call and interception.
 */
import { InferceptError } from './errors.js';
import type { RunPart } from './part.js';

type DeltaPart = Extract<RunPart, { text: string }>;

function isDelta(part: RunPart): part is DeltaPart {
  return part.type === 'text-delta' || part.type === 'reasoning-delta' || part.type === 'tool-input-delta';
}

function sameSource(a: DeltaPart, b: DeltaPart): boolean {
  if (a.type === 'text-delta' && b.type === 'text-delta') return a.returned === b.returned;
  if (a.type === 'tool-input-delta' && b.type === 'tool-input-delta') return a.callId === b.callId;
  return a.type === b.type;
}

export class PartQueue implements AsyncIterator<RunPart, undefined> {
  private readonly parts: RunPart[] = [];
  private waiting:
    | { resolve(result: IteratorResult<RunPart, undefined>): void; reject(error: unknown): void }
    | undefined;
  private ended: { error?: InferceptError } | undefined;

  /** @param onReturn called when the consumer leaves its loop before the end */
  constructor(private readonly onReturn: () => void) {}

  push(part: RunPart): void {
    if (this.ended !== undefined) return;
    if (this.waiting !== undefined) {
      this.waiting.resolve({ done: false, value: part });
      this.waiting = undefined;
      return;
    }
    const last = this.parts.at(-1);
    if (last !== undefined && isDelta(last) && isDelta(part) && sameSource(last, part)) {
      this.parts[this.parts.length - 1] = { ...last, text: last.text + part.text };
    } else {
      this.parts.push(part);
    }
  }

  /** After the parts that were pushed: the end, or this error. */
  end(error?: InferceptError): void {
    if (this.ended !== undefined) return;
    this.ended = error === undefined ? {} : { error };
    if (this.waiting === undefined) return;
    if (error === undefined) this.waiting.resolve({ done: true, value: undefined });
    else this.waiting.reject(error);
    this.waiting = undefined;
  }

  next(): Promise<IteratorResult<RunPart, undefined>> {
    const part = this.parts.shift();
    if (part !== undefined) return Promise.resolve({ done: false, value: part });
    if (this.ended?.error !== undefined) return Promise.reject(this.ended.error);
    if (this.ended !== undefined) return Promise.resolve({ done: true, value: undefined });
    if (this.waiting !== undefined) {
      return Promise.reject(
        new InferceptError('ERR_BUSY', 'A part of this run is being waited for already; call next() one at a time.'),
      );
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<RunPart, undefined>> {
    this.parts.length = 0;
    this.onReturn();
    return Promise.resolve({ done: true, value: undefined });
  }
}
