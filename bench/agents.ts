// 16 agents with one system prompt that call tools, in one budget of memory for the KV cache: how many are completed per
// minute, by our engine under each policy and by node-llama-cpp. Random weights; what the agents write is scripted.
import { cpus } from 'node:os';
import { type OurFigures, runOurs } from './agents/ours.js';
import { runTheirs } from './agents/theirs.js';
import { type Agent, contextTokens, fullSize, makeAgents, quickSize, type WorkloadSize } from './agents/workload.js';
import { peerName } from './peer/node-llama-cpp.js';
import type { Bench } from './run.js';
import { modelFile, toModelWeights } from './support/model-files.js';
import { type BenchOptions, type ExtraOption, UsageError } from './support/options.js';
import { median, round } from './support/statistics.js';

export const extras: readonly ExtraOption[] = ['type', 'policies', 'kv-tokens'];

/** What a user gets who chooses nothing: the ratio is this policy's. */
const defaultPolicy = 'adaptive';

/** All but `swap`, which has no tier to swap to: on a processor that would be more of the same memory. */
const policies = [defaultPolicy, 'infercept', 'preserve', 'discard', 'discard-requeue'] as const;

/** llama.cpp rounds the room of a sequence up to a multiple of this. */
const peerCells = 256;

/** A run differs from the next by more than policies differ from each other: several, in turns, and their median. */
const roundsOf = ({ quick }: BenchOptions): number => (quick ? 1 : 3);

export const bench: Bench = async (options) => {
  const size = options.quick ? quickSize : fullSize;
  const agents = makeAgents(size, 1);
  const longest = Math.ceil(Math.max(...agents.map(contextTokens)) / peerCells) * peerCells;
  // Four of 16: agents outnumber what the memory holds for each apart.
  const kvTokens = options.kvTokens ?? 4 * longest;
  const sequences = Math.min(Math.floor(kvTokens / longest), agents.length);
  if (sequences < 1) throw new UsageError(`--kv-tokens is ${kvTokens}; the longest agent needs ${longest}.`);
  const type = toModelWeights(options.type ?? 'q4_k');
  const room = { model: modelFile(type), threads: options.threads, contextTokens: longest, kvTokens, sequences };
  console.log(`${cpus()[0]?.model}, ${options.threads} threads, ${type}`);
  console.log(`${agents.length} agents, ${kvTokens} tokens of KV cache: ${sequences} sequences of ${peerName}`);
  const samples = await runRounds(options, room, size, agents);
  const figures = Object.fromEntries([...samples].map(([name, runs]) => [name, toFigures(agents.length, runs)]));
  for (const [name, figure] of Object.entries(figures)) console.log(row(name, figure, figures.peer!.perMinute));
  const { peer, ...ours } = withRatios(figures);
  const chosen = ours[defaultPolicy] ?? Object.values(ours)[0]!;
  return {
    ratio: chosen.ratio,
    ours,
    peer: peer!.perMinute,
    peerRuns: peer,
    type,
    kvTokens,
    peerSequences: sequences,
    agents: agents.length,
    size,
  };
};

/** What a run took; what node-llama-cpp does not report is left out. */
type Run = Pick<OurFigures, 'seconds'> & Partial<OurFigures>;

interface Room {
  model: string;
  threads: number;
  contextTokens: number;
  kvTokens: number;
  sequences: number;
}

/** By contestant: `peer`, and each policy. */
async function runRounds(
  options: BenchOptions,
  room: Room,
  size: WorkloadSize,
  agents: readonly Agent[],
): Promise<Map<string, Run[]>> {
  const [warmUp] = makeAgents({ ...size, agents: 1, systemTokens: 32, calls: 1 }, 2);
  const chosen = options.policies ?? (options.quick ? [defaultPolicy] : policies);
  const samples = new Map<string, Run[]>(['peer', ...chosen].map((name) => [name, []]));
  for (let round = 0; round < roundsOf(options); round++) {
    samples.get('peer')!.push({ seconds: await runTheirs(room, warmUp!, agents) });
    for (const policy of chosen) samples.get(policy)!.push(await runOurs({ ...room, policy }, warmUp!, agents));
  }
  return samples;
}

interface Figures {
  /** Of the median run. */
  perMinute: number;
  /** Of every run, in order: how far they differ. */
  seconds: number[];
  /** Of the last run. */
  recomputedTokens?: number | undefined;
  cachedTokens?: number | undefined;
  wasteShare?: number | undefined;
}

function toFigures(agents: number, runs: readonly Run[]): Figures {
  const seconds = runs.map((run) => round(run.seconds));
  const { recomputedTokens, cachedTokens, wasteShare } = runs.at(-1)!;
  const counters = wasteShare === undefined ? {} : { recomputedTokens, cachedTokens, wasteShare: round(wasteShare) };
  return { perMinute: round((60 * agents) / median(seconds)), seconds, ...counters };
}

function withRatios(figures: Record<string, Figures>): Record<string, Figures & { ratio: number }> {
  const peer = figures.peer!.perMinute;
  const entries = Object.entries(figures).map(([name, figure]) => [
    name,
    { ratio: round(figure.perMinute / peer), ...figure },
  ]);
  return Object.fromEntries(entries);
}

function row(name: string, { perMinute, seconds, recomputedTokens, cachedTokens }: Figures, peer: number): string {
  const span = `${Math.min(...seconds).toFixed(1)} to ${Math.max(...seconds).toFixed(1)} s`;
  const rate = `${perMinute.toFixed(1).padStart(8)} agents per minute (${span})`;
  if (name === 'peer') return peerName.padEnd(28) + rate;
  const counters = `recomputed ${recomputedTokens} tokens, found ${cachedTokens} in the prefix cache`;
  return `${`infercept, ${name}`.padEnd(28)}${rate}, ${(perMinute / peer).toFixed(2)} times as many; ${counters}`;
}
