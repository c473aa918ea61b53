// The queue between a run and a slow consumer: order, merging, one consumer, and its end.
import { describe, expect, it, vi } from 'vitest';
import { InferceptError } from '../../lib/errors.js';
import type { RunPart } from '../../lib/part.js';
import { PartQueue } from '../../lib/part-queue.js';

const text = (value: string): RunPart => ({ type: 'text-delta', text: value });
const queueOf = (onReturn = (): void => {}) => new PartQueue(onReturn);

describe('the part queue', () => {
  it('gives parts in order, whoever comes first', async () => {
    const queue = queueOf();
    const early = queue.next();
    queue.push(text('a'));
    queue.push({ type: 'tool-input-end', callId: '1' });
    queue.end();
    expect(await early).toEqual({ done: false, value: text('a') });
    expect((await queue.next()).value).toMatchObject({ type: 'tool-input-end' });
    expect(await queue.next()).toEqual({ done: true, value: undefined });
    expect(await queue.next()).toEqual({ done: true, value: undefined });
  });

  it('merges neighbouring texts of one source only', async () => {
    const queue = queueOf();
    const parts: RunPart[] = [
      text('a'),
      text('b'),
      { type: 'text-delta', text: 'c', returned: true },
      { type: 'text-delta', text: 'd', returned: true },
      { type: 'tool-input-delta', callId: '1', text: 'e' },
      { type: 'tool-input-delta', callId: '2', text: 'f' },
      { type: 'reasoning-delta', text: 'g' },
      text('h'),
    ];
    for (const part of parts) queue.push(part);
    queue.end();
    const taken: string[] = [];
    for (let next = await queue.next(); !next.done; next = await queue.next()) {
      taken.push((next.value as { text: string }).text);
    }
    expect(taken).toEqual(['ab', 'cd', 'e', 'f', 'g', 'h']);
  });

  it('holds one part however much is said', async () => {
    const queue = queueOf();
    for (let i = 0; i < 10_000; i += 1) queue.push(text('x'));
    queue.end();
    expect(((await queue.next()).value as { text: string }).text).toHaveLength(10_000);
    expect((await queue.next()).done).toBe(true);
  });

  it('throws its error after the parts before it, every time', async () => {
    const queue = queueOf();
    const error = new InferceptError('ERR_ABORTED', 'x');
    queue.push(text('a'));
    queue.end(error);
    queue.push(text('late'));
    expect((await queue.next()).value).toEqual(text('a'));
    await expect(queue.next()).rejects.toBe(error);
    await expect(queue.next()).rejects.toBe(error);
  });

  it('rejects the one who waits', async () => {
    const queue = queueOf();
    const waiting = queue.next();
    await expect(queue.next()).rejects.toMatchObject({ code: 'ERR_BUSY' });
    const error = new InferceptError('ERR_DEVICE', 'x');
    queue.end(error);
    await expect(waiting).rejects.toBe(error);
  });

  it('tells when its consumer leaves', async () => {
    const onReturn = vi.fn();
    const queue = queueOf(onReturn);
    queue.push(text('a'));
    await queue.return();
    expect(onReturn).toHaveBeenCalledOnce();
  });
});
