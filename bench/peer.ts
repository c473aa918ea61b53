// Our engine beside node-llama-cpp on the same file (random weights, 1.1 billion parameters, Q8_0), alternating in one run.
// Method: time of prompts and so many tokens, less the time of the same prompts and one token; medians; then ratios.
// Processor time is reported as well: it says what a token costs, also when other programs use the machine.
import { existsSync, mkdirSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeModel, shape1B } from './make-model.js';
import { type Contestant, loadInfercept, loadNodeLlamaCpp } from './peer/contestants.js';
import type { Bench } from './run.js';

interface Case {
  name: string;
  sequences: number;
  promptTokens: number;
  /** Tokens after the first; 0 measures the prompt. */
  newTokens: number;
}

/** Of one case: tokens per second, and processor milliseconds per token. */
interface Figures {
  tokensPerSecond: number;
  processorMs: number;
}

export const bench: Bench = async ({ quick, threads }) => {
  const folder = join(tmpdir(), 'infercept-bench');
  mkdirSync(folder, { recursive: true });
  const model = join(folder, 'random-1b-q8_0.gguf');
  if (!existsSync(model)) makeModel(model, shape1B);
  const newTokens = quick ? 12 : 32;
  const cases: Case[] = [
    { name: 'decode1', sequences: 1, promptTokens: 16, newTokens },
    { name: 'prefill', sequences: 1, promptTokens: quick ? 128 : 384, newTokens: 0 },
    ...(quick ? [] : [{ name: 'decode8', sequences: 8, promptTokens: 16, newTokens }]),
  ];
  const ours = await loadInfercept(model, threads);
  const peer = await loadNodeLlamaCpp(model, threads, folder);
  console.log(`${cpus()[0]?.model}, ${threads} threads, ${ours.name} and ${peer.name} in turns`);
  console.log('                ours tokens/s   peer tokens/s   ratio   processor ms per token, ours and peer   ratio');
  const ratios: Record<string, number> = {};
  const details: Record<string, unknown> = {};
  for (const item of cases) {
    const [mine, theirs] = await compare(ours, peer, item, quick ? 3 : 5);
    ratios[item.name] = round(mine.tokensPerSecond / theirs.tokensPerSecond);
    details[item.name] = { ours: mine, peer: theirs, processorRatio: round(theirs.processorMs / mine.processorMs) };
    console.log(row(item.name, mine, theirs));
  }
  await ours.close();
  await peer.close();
  return { threads, q8_0: ratios, details };
};

async function compare(ours: Contestant, peer: Contestant, item: Case, rounds: number): Promise<[Figures, Figures]> {
  const samples: [Figures[], Figures[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    const pair = [await measure(ours, item), await measure(peer, item)] as const;
    if (round === 0) continue; // warms up
    samples[0].push(pair[0]);
    samples[1].push(pair[1]);
  }
  return [medians(samples[0]), medians(samples[1])];
}

async function measure(contestant: Contestant, { sequences, promptTokens, newTokens }: Case): Promise<Figures> {
  // New tokens each time, so that no prefix cache helps.
  const prompts = Array.from({ length: sequences }, () =>
    Array.from({ length: promptTokens }, () => 300 + Math.floor(Math.random() * 30_000)),
  );
  const first = await time(() => contestant.complete(prompts, 1));
  if (newTokens === 0) return figuresOf(first, sequences * promptTokens);
  const all = await time(() => contestant.complete(prompts, 1 + newTokens));
  const rest = { wallMs: all.wallMs - first.wallMs, processorMs: all.processorMs - first.processorMs };
  return figuresOf(rest, sequences * newTokens);
}

interface Duration {
  wallMs: number;
  processorMs: number;
}

async function time(work: () => Promise<void>): Promise<Duration> {
  const [started, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  return { wallMs: performance.now() - started, processorMs: (user + system) / 1000 };
}

function figuresOf({ wallMs, processorMs }: Duration, tokens: number): Figures {
  return { tokensPerSecond: (1000 * tokens) / wallMs, processorMs: processorMs / tokens };
}

function medians(samples: readonly Figures[]): Figures {
  const median = (values: number[]): number =>
    values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  return {
    tokensPerSecond: round(median(samples.map(({ tokensPerSecond }) => tokensPerSecond))),
    processorMs: round(median(samples.map(({ processorMs }) => processorMs))),
  };
}

function row(name: string, mine: Figures, theirs: Figures): string {
  const columns = [
    mine.tokensPerSecond.toFixed(2).padStart(17),
    theirs.tokensPerSecond.toFixed(2).padStart(16),
    (mine.tokensPerSecond / theirs.tokensPerSecond).toFixed(2).padStart(8),
    `${mine.processorMs.toFixed(1)} and ${theirs.processorMs.toFixed(1)}`.padStart(42),
    (theirs.processorMs / mine.processorMs).toFixed(2).padStart(8),
  ];
  return name.padEnd(12) + columns.join('');
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
