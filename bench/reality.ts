// Whether the simulator tells the truth: the same sessions on the real engine, on this machine's processor, and simulated with
// the costs that the engine measured meanwhile. Random weights; what the model writes is scripted.
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { PolicyName } from 'infercept';
import { type ModelShape, makeModel } from './make-model.js';
import {
  type Comparison,
  compare,
  type Pair,
  rankCorrelation,
  swappedPairs,
  worstDeviation,
} from './reality/outcome.js';
import { type Room, runReal } from './reality/real.js';
import { runSimulated } from './reality/simulated.js';
import { makeSessions, type WorkloadSize } from './reality/workload.js';
import type { Bench } from './run.js';
import { benchFolder } from './support/model-files.js';
import type { BenchOptions, ExtraOption } from './support/options.js';
import { round } from './support/statistics.js';

export const extras: readonly ExtraOption[] = ['policies'];

const allPolicies = ['adaptive', 'infercept', 'preserve', 'swap', 'discard', 'discard-requeue'] as const;

/** 54 million parameters: a step takes milliseconds, so that thousands of them make a run. */
const shape: ModelShape = {
  layers: 8,
  width: 768,
  heads: 12,
  kvHeads: 4,
  ffnWidth: 2048,
  vocabularySize: 8192,
  contextTokens: 2048,
};
/** Keys and values in float16. */
const kvTokenBytes = (shape.layers * 2 * 2 * shape.width * shape.kvHeads) / shape.heads;

/** Contexts outnumber what these hold: a device for some ten of them, a host for as many again. */
const deviceTokens = 2048;
const hostTokens = 2048;

interface Size extends WorkloadSize {
  rounds: number;
}

const fullSize: Size = { rate: 16, seconds: 24, rounds: 2 };
const quickSize: Size = { rate: 16, seconds: 8, rounds: 1 };

export const bench: Bench = async (options) => {
  const size = options.quick ? quickSize : fullSize;
  const room = makeRoom(options);
  console.log(`${cpus()[0]?.model}, ${room.threads} threads, ${size.rate} sessions per second for ${size.seconds} s`);
  const comparisons = await runRounds(options.policies ?? allPolicies, size, room);
  for (const [name, comparison] of comparisons) console.log(row(name, comparison));
  const swapped = swappedPairs(comparisons);
  const all = [...comparisons.values()];
  return {
    policies: Object.fromEntries([...comparisons].map(([name, comparison]) => [name, rounded(comparison)])),
    worst: round(worstDeviation(all)),
    sameOrder: swapped.length === 0,
    swapped,
    rankCorrelation: round(rankCorrelation(all)),
    size,
  };
};

/** One processor is left to JavaScript, which is the tools, and to copies. */
function makeRoom({ threads }: BenchOptions): Room {
  const model = join(benchFolder(), 'random-54m-q8_0.gguf');
  if (!existsSync(model)) makeModel(model, shape);
  return {
    model,
    vocabularySize: shape.vocabularySize,
    threads: Math.max(1, threads - 1),
    kvBytes: deviceTokens * kvTokenBytes,
    hostBytes: hostTokens * kvTokenBytes,
  };
}

/** In turns, so that a machine that becomes slower does so for all. */
async function runRounds(
  policies: readonly PolicyName[],
  size: Size,
  room: Room,
): Promise<Map<PolicyName, Comparison>> {
  const pairs = new Map<PolicyName, Pair[]>(policies.map((name) => [name, []]));
  for (let seed = 1; seed <= size.rounds; seed++) {
    const sessions = makeSessions(size, seed);
    for (const policy of policies) {
      const { outcome: real, profile, costError } = await runReal(room, policy, sessions, 1000 * size.seconds);
      const simulated = await runSimulated(profile, policy, sessions, 1000 * size.seconds);
      pairs.get(policy)!.push({ real, simulated, costError });
    }
  }
  return new Map([...pairs].map(([name, runs]) => [name, compare(runs)]));
}

function rounded({ ratio, latencyMs, ...comparison }: Comparison) {
  return {
    ...comparison,
    ratio: round(ratio),
    latencyMs: { real: round(latencyMs.real), simulated: round(latencyMs.simulated) },
  };
}

function row(name: string, { real, simulated, ratio, runs, latencyMs }: Comparison): string {
  const span = `${Math.min(...runs)} to ${Math.max(...runs)}`;
  const counts = `${String(real).padStart(6)} completed (${span}), ${simulated} simulated: ${ratio.toFixed(2)}`;
  return `${name.padEnd(16)}${counts}; ms/token ${latencyMs.real.toFixed(1)}, ${latencyMs.simulated.toFixed(1)} simulated`;
}
