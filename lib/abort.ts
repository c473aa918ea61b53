/** Listening to abort signals that many runs may share: one listener per signal, however many wait. */

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `callback` once when the signal fires. REQUIRES: it has not fired.
 * @returns stops listening
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  let callbacks = waiting.get(signal);
  if (callbacks === undefined) {
    const fresh = new Set<() => void>();
    waiting.set(signal, fresh);
    signal.addEventListener('abort', () => fireAll(fresh), { once: true });
    callbacks = fresh;
  }
  // A function of its own, so that the same callback can wait twice.
  const entry = (): void => callback();
  callbacks.add(entry);
  return () => callbacks.delete(entry);
}

function fireAll(callbacks: Set<() => void>): void {
  const pending = [...callbacks];
  callbacks.clear();
  for (const callback of pending) callback();
}
