// How long encoding a megabyte keeps the event loop: the longest turn, by the processor time of the loop's own thread, which does not
// count what other programs take. First texts of a process are apart: the functions that they run are compiled on the way.
import { readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { createTokenizer } from '../lib/text/tokenizer.js';
import { corpusLines, familyDefinitions } from '../test/unit/support/families.js';
import type { Bench } from './run.js';

const megabyte = 1 << 20;
/** One of each kind: byte-level merging with two patterns, merging without words, Unigram, WordPiece. */
const families = ['llama3', 'qwen2', 'gemma', 't5', 'bert-uncased'];

/** Milliseconds of this thread on a processor, as of the kernel's last tick: up to 4 ms too few or too many. Elsewhere than on Linux, of time. */
function threadMs(): number {
  if (process.platform !== 'linux') return performance.now();
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
}

interface Turns {
  turns: number;
  longestMs: number;
  /** The same by the clock. */
  longestWallMs: number;
  totalMs: number;
}

async function turnsDuring(work: () => Promise<unknown>): Promise<Turns> {
  const found: Turns = { turns: 0, longestMs: 0, longestWallMs: 0, totalMs: 0 };
  let ended = false;
  let [before, wallBefore] = [threadMs(), performance.now()];
  const count = (): void => {
    const [now, wall] = [threadMs(), performance.now()];
    found.turns++;
    found.totalMs += now - before;
    found.longestMs = Math.max(found.longestMs, now - before);
    found.longestWallMs = Math.max(found.longestWallMs, wall - wallBefore);
    [before, wallBefore] = [now, wall];
    if (!ended) setImmediate(count);
  };
  setImmediate(count);
  await work();
  // What the end of the work takes is in the turn after it.
  await new Promise((resolve) => setImmediate(resolve));
  ended = true;
  return found;
}

/** The longest pause for garbage so far. */
function watchGarbage(): () => number {
  let longest = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => longest;
}

export const bench: Bench = async ({ quick }) => {
  const lines = corpusLines().join('\n').repeat(4).slice(0, megabyte);
  const texts = {
    lines,
    prose: 'The quick brown fox jumps over the lazy dog. '.repeat(30_000).slice(0, megabyte),
    alike: 'a'.repeat(megabyte),
  };
  const definitions = familyDefinitions();
  const longestGarbage = watchGarbage();
  const figures: Record<string, Turns> = {};
  console.log('family, text, time                longest turn   by the clock   all   turns');
  for (const family of quick ? families.slice(0, 1) : families) {
    const tokenizer = createTokenizer({ definition: definitions[family]! }, { eosTokenIds: [], addBosToken: false });
    for (const [name, text] of Object.entries(texts)) {
      for (const time of ['first', 'again']) {
        const found = await turnsDuring(() => tokenizer.encodeTextAsync(text));
        figures[`${family} ${name} ${time}`] = found;
        const { longestMs, longestWallMs, totalMs, turns } = found;
        const label = `${family}, ${name}, ${time}`.padEnd(32);
        console.log(
          `${label}  ${longestMs.toFixed(1).padStart(7)} ms  ${longestWallMs.toFixed(1).padStart(10)} ms  ${totalMs.toFixed(0).padStart(6)} ms  ${turns}`,
        );
      }
    }
    tokenizer.dispose();
  }
  console.log(`longest pause for garbage: ${longestGarbage().toFixed(1)} ms by the clock`);
  return { ...figures, longestGarbageMs: longestGarbage() };
};
