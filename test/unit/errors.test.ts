// Goal: errors are recognised whichever copy of the package made them, and carry code, cause and details.
import { describe, expect, test } from 'vitest';
import { InferceptError, throwIfAborted } from '../../lib/errors.js';

describe('InferceptError', () => {
  test('code, details and cause', () => {
    const cause = new Error('disk');
    const error = new InferceptError('ERR_MODEL_FORMAT', 'broken', { details: { offset: 7 }, cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'InferceptError', code: 'ERR_MODEL_FORMAT', message: 'broken', cause });
    expect(error.details).toEqual({ offset: 7 });
    expect('cause' in new InferceptError('ERR_BUSY', 'busy')).toBe(false);
  });

  test('is recognised by its mark, not by its class', () => {
    const fromOtherCopy = Object.assign(new Error('x'), { [Symbol.for('infercept.error')]: true });
    expect(InferceptError.isInstance(fromOtherCopy)).toBe(true);
    expect(InferceptError.isInstance(new InferceptError('ERR_BUSY', 'busy'))).toBe(true);
    for (const other of [new Error('x'), undefined, null, 'ERR_BUSY', {}])
      expect(InferceptError.isInstance(other)).toBe(false);
  });

  test('the mark does not show', () => {
    expect(Object.getOwnPropertySymbols({ ...new InferceptError('ERR_BUSY', 'busy') })).toEqual([]);
  });
});

test('throwIfAborted', () => {
  throwIfAborted(undefined, 'waiting');
  throwIfAborted(new AbortController().signal, 'waiting');
  const reason = new Error('stop');
  expect(() => throwIfAborted(AbortSignal.abort(reason), 'waiting')).toThrow(
    expect.objectContaining({ code: 'ERR_ABORTED', message: 'Aborted while waiting.', cause: reason }),
  );
});
