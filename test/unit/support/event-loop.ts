/** Does long work let the event loop go on? */
import { vi } from 'vitest';

/**
 * Turns of the event loop until `work` is done, and its result, on a clock that goes on by a millisecond whenever somebody looks at
 * it: their number depends on how often the work asks, not on how fast the machine is.
 */
export async function turnsDuring<T>(work: () => Promise<T>): Promise<{ result: T; turns: number }> {
  let now = performance.now();
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now++);
  let turns = 0;
  let ended = false;
  const count = (): void => {
    turns++;
    if (!ended) setImmediate(count);
  };
  setImmediate(count);
  try {
    const result = await work();
    return { result, turns };
  } finally {
    ended = true;
    clock.mockRestore();
  }
}
