// 16 agents with one system prompt that call tools, in one budget of memory for the KV cache: how many are completed per
// minute, by our engine under each policy and by node-llama-cpp. Random weights; what the agents write is scripted.
import { cpus } from 'node:os';
import { type OurFigures, runOurs } from './agents/ours.js';
import { runTheirs } from './agents/theirs.js';
import { type Agent, contextTokens, fullSize, makeAgents, quickSize } from './agents/workload.js';
import { peerName } from './peer/node-llama-cpp.js';
import type { Bench } from './run.js';
import { modelFile, toModelWeights } from './support/model-files.js';
import { type BenchOptions, type ExtraOption, UsageError } from './support/options.js';
import { round } from './support/statistics.js';

export const extras: readonly ExtraOption[] = ['type', 'policies', 'kv-tokens'];

/** What a user gets who chooses nothing: the ratio is this policy's. */
const defaultPolicy = 'adaptive';

/** All but `swap`, which has no tier to swap to: on a processor that would be more of the same memory. */
const policies = [defaultPolicy, 'infercept', 'preserve', 'discard', 'discard-requeue'] as const;

/** llama.cpp rounds the room of a sequence up to a multiple of this. */
const peerCells = 256;

export const bench: Bench = async (options) => {
  const size = options.quick ? quickSize : fullSize;
  const agents = makeAgents(size, 1);
  const [warmUp] = makeAgents({ ...size, agents: 1, systemTokens: 32, calls: 1 }, 2);
  const longest = Math.ceil(Math.max(...agents.map(contextTokens)) / peerCells) * peerCells;
  // Four of 16: agents outnumber what the memory holds for each apart.
  const kvTokens = options.kvTokens ?? 4 * longest;
  const sequences = Math.min(Math.floor(kvTokens / longest), agents.length);
  if (sequences < 1) throw new UsageError(`--kv-tokens is ${kvTokens}; the longest agent needs ${longest}.`);
  const type = toModelWeights(options.type ?? 'q8_0');
  const model = modelFile(type);
  console.log(
    `${cpus()[0]?.model}, ${options.threads} threads, ${type}, ${agents.length} agents, ${kvTokens} tokens of KV cache`,
  );
  const theirs = await runTheirs(
    { model, threads: options.threads, contextTokens: longest, sequences },
    warmUp!,
    agents,
  );
  const peer = perMinute(agents, theirs);
  console.log(`${peerName.padEnd(24)}${peer.toFixed(1).padStart(8)} agents per minute (${sequences} sequences)`);
  const ours = await runPolicies(options, { model, kvTokens, contextTokens: longest }, warmUp!, agents, peer);
  const chosen = ours[defaultPolicy] ?? Object.values(ours)[0]!;
  return { ratio: chosen.ratio, ours, peer, type, kvTokens, peerSequences: sequences, agents: agents.length, size };
};

interface PolicyFigures extends OurFigures {
  perMinute: number;
  /** To node-llama-cpp. */
  ratio: number;
}

async function runPolicies(
  options: BenchOptions,
  room: { model: string; kvTokens: number; contextTokens: number },
  warmUp: Agent,
  agents: readonly Agent[],
  peer: number,
): Promise<Record<string, PolicyFigures>> {
  const figures: Record<string, PolicyFigures> = {};
  for (const policy of options.policies ?? (options.quick ? [defaultPolicy] : policies)) {
    const run = await runOurs({ ...room, policy, threads: options.threads }, warmUp, agents);
    const rate = perMinute(agents, run.seconds);
    figures[policy] = {
      perMinute: rate,
      ratio: round(rate / peer),
      ...run,
      seconds: round(run.seconds),
      wasteShare: round(run.wasteShare),
    };
    console.log(
      `${`infercept, ${policy}`.padEnd(24)}${rate.toFixed(1).padStart(8)} agents per minute, ${(rate / peer).toFixed(2)} times as many; ` +
        `tokens recomputed ${run.recomputedTokens}, found in the prefix cache ${run.cachedTokens}`,
    );
  }
  return figures;
}

function perMinute(agents: readonly Agent[], seconds: number): number {
  return round((60 * agents.length) / seconds);
}
