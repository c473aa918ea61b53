// How long encoding a megabyte keeps the event loop: the longest turn, by the processor time of the loop's own thread, which does not
// count what other programs take. First texts of a process are apart: the functions that they run are compiled on the way.
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { PerformanceObserver } from 'node:perf_hooks';
import { createTokenizer } from '../lib/text/tokenizer.js';
import { corpusLines, familyDefinitions } from '../test/unit/support/families.js';
import type { Bench } from './run.js';

const megabyte = 1 << 20;
/** After the first one. Others on the machine lengthen some of them. */
const runs = 3;
/** One of each kind: byte-level merging with two patterns, merging without words, Unigram, WordPiece. */
const families = ['llama3', 'qwen2', 'gemma', 't5', 'bert-uncased'];

const nobodyWrites = new Int32Array(new SharedArrayBuffer(4));

/** Milliseconds of this thread on a processor. The kernel adds them up when a thread sleeps, so it does, for an instant. Elsewhere than on Linux, of time. */
function threadMs(): number {
  if (process.platform !== 'linux') return performance.now();
  Atomics.wait(nobodyWrites, 0, 0, 0.01);
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

/** Text of a megabyte, of nothing but what `next` gives. */
function filled(next: (index: number) => string): string {
  const parts: string[] = [];
  for (let index = 0, length = 0; length < megabyte; index++) {
    const part = next(index);
    parts.push(part);
    length += part.length;
  }
  return parts.join('').slice(0, megabyte);
}

/** The next of a row of numbers that look random, below 1; the same in every run. */
function mixed(index: number): number {
  return (Math.imul(index + 1, 0x9e3779b1) >>> 0) / 2 ** 32;
}

function pick(choices: string): (index: number) => string {
  const characters = Array.from(choices);
  return (index) => characters[Math.floor(mixed(index) * characters.length)]!;
}

const between = (first: number, count: number) => (index: number) =>
  String.fromCodePoint(first + Math.floor(mixed(index) * count));

/** What people write, and what keeps words, patterns and normalizers from ending. */
function makeTexts(): Record<string, string> {
  const lines = corpusLines().join('\n').repeat(4).slice(0, megabyte);
  const scripts = [
    0x41, 0xc0, 0x391, 0x410, 0x5d0, 0x620, 0x905, 0xe01, 0x1e00, 0x3041, 0x4e00, 0xac00, 0xff21, 0x1d400,
  ];
  return {
    lines,
    prose: 'The quick brown fox jumps over the lazy dog. '.repeat(30_000).slice(0, megabyte),
    alike: 'a'.repeat(megabyte),
    letters: filled(pick('etaoinshrdlucmfwypvbgkjqxz')),
    spaces: ' '.repeat(megabyte),
    'white space': filled(pick(' \t\n\r\u00a0\u2003\u3000')),
    digits: filled(pick('0123456789')),
    signs: filled(pick('!"#$%&()*+,-./:;<=>?@[]^_{|}~')),
    scripts: filled((index) => between(scripts[index % scripts.length]!, 20)(index)),
    ideographs: filled(between(0x4e00, 0x5000)),
    emoji: filled(pick('👨👩👧🤷🏽😀🇩🇫❤☺\u200d\ufe0f\u20e3')),
    families: '👨‍👩‍👧‍👦'.repeat(megabyte / 11),
    marks: filled(between(0x300, 0x70)),
    'same mark': '\u0301'.repeat(megabyte),
    'broken halves': filled(between(0xd800, 0x7ff)),
  };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

export const bench: Bench = async ({ quick }) => {
  const texts = makeTexts();
  const definitions = familyDefinitions();
  const longestGarbage = watchGarbage();
  const figures: Record<string, unknown> = {};
  console.log(
    `load ${loadavg()[0]!.toFixed(1)}; the longest turn of the first run, and the median of those of ${runs} more`,
  );
  console.log('family, text                first  again  again by the clock  all  turns');
  for (const family of quick ? families.slice(0, 1) : families) {
    const tokenizer = createTokenizer({ definition: definitions[family]! }, { eosTokenIds: [], addBosToken: false });
    for (const [name, text] of Object.entries(texts)) {
      const work = () => turnsDuring(() => tokenizer.encodeTextAsync(text));
      const first = await work();
      const again: Turns[] = [];
      for (let run = 0; run < runs; run++) again.push(await work());
      const of = (key: keyof Turns): number => median(again.map((turns) => turns[key]));
      const figure = {
        firstMs: first.longestMs,
        againMs: of('longestMs'),
        againWallMs: of('longestWallMs'),
        totalMs: of('totalMs'),
        turns: of('turns'),
      };
      figures[`${family} ${name}`] = figure;
      const cells = [
        figure.firstMs.toFixed(1),
        figure.againMs.toFixed(1),
        figure.againWallMs.toFixed(1),
        figure.totalMs.toFixed(0),
        String(figure.turns),
      ];
      console.log(`${`${family}, ${name}`.padEnd(26)}${cells.map((cell) => cell.padStart(7)).join('')}`);
    }
    tokenizer.dispose();
  }
  console.log(
    `longest pause for garbage: ${longestGarbage().toFixed(1)} ms by the clock; load ${loadavg()[0]!.toFixed(1)}`,
  );
  return { ...figures, longestGarbageMs: longestGarbage() };
};
