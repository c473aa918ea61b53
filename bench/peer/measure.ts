// Measures contestants in turns: whatever else the machine does meets all of them alike.
import { median, round } from '../support/statistics.js';
import type { ContextCases } from './cases.js';
import { type Contestant, type Contexts, sampleTokens } from './contestant.js';

/** Of one contestant and case. */
export interface Figures {
  tokensPerSecond: number;
  /** What a token costs, also when other programs use the machine. */
  processorMs: number;
}

/** By contestant: `ours`, `peer`, and `batch` for llama.cpp's batches without node-llama-cpp's scheduling. */
export type Comparison = Partial<Record<'ours' | 'peer' | 'batch', Figures>>;

export interface Pair {
  ours: Contestant;
  peer: Contestant;
}

/** One prompt at a time; the first round only warms up. */
export async function comparePrefill(
  pair: Pair,
  { promptTokens, samples }: { promptTokens: number; samples: number },
  promptOf: (tokens: number) => number[],
): Promise<Comparison> {
  return compare(samples, promptTokens, true, {
    ours: () => pair.ours.prefill(promptOf(promptTokens)),
    peer: () => pair.peer.prefill(promptOf(promptTokens)),
  });
}

/** Everything that is measured on one set of contexts, reported as it becomes known. */
export async function compareContexts(
  pair: Pair,
  { promptTokens, prefill, decodes }: ContextCases,
  promptOf: (tokens: number) => number[],
  report: (name: string, comparison: Comparison, contexts?: number) => void,
): Promise<void> {
  const count = Math.max(...decodes.map(({ contexts }) => contexts));
  const prompts = Array.from({ length: count }, () => promptOf(promptTokens));
  const ours = await begin(pair.ours, prompts);
  const peer = await begin(pair.peer, prompts);
  if (prefill !== undefined) report(prefill, { ours: ours.first, peer: peer.first });
  for (const { name, contexts, samples } of decodes) {
    const tokens = contexts * sampleTokens;
    const work = {
      ours: () => ours.contexts.decode(contexts),
      peer: () => peer.contexts.decode(contexts),
      batch: () => peer.contexts.decodeBatches!(contexts),
    };
    // Many contexts take long; what there is to warm up was warmed by fewer.
    report(name, await compare(samples, tokens, contexts <= 8 && promptTokens < 1000, work), contexts);
  }
  await ours.contexts.end();
  await peer.contexts.end();
}

async function begin(contestant: Contestant, prompts: number[][]): Promise<{ contexts: Contexts; first: Figures }> {
  const stop = startClock();
  let first = stop(1);
  const contexts = await contestant.begin(prompts, () => {
    first = stop(prompts[0]!.length);
  });
  return { contexts, first };
}

async function compare<Name extends string>(
  samples: number,
  tokens: number,
  warmUp: boolean,
  work: Record<Name, () => Promise<void>>,
): Promise<Record<Name, Figures>> {
  const entries = Object.entries(work) as [Name, () => Promise<void>][];
  const figures = new Map(entries.map(([name]) => [name, [] as Figures[]]));
  for (let sample = warmUp ? -1 : 0; sample < samples; sample++) {
    for (const [name, run] of entries) {
      const stop = startClock();
      await run();
      if (sample >= 0) figures.get(name)?.push(stop(tokens));
    }
  }
  const all = [...figures].map(([name, list]) => [name, medians(list)]);
  return Object.fromEntries(all) as Record<Name, Figures>;
}

function startClock(): (tokens: number) => Figures {
  const [started, used] = [performance.now(), process.cpuUsage()];
  return (tokens) => {
    const { user, system } = process.cpuUsage(used);
    return {
      tokensPerSecond: (1000 * tokens) / (performance.now() - started),
      processorMs: (user + system) / 1000 / tokens,
    };
  };
}

function medians(figures: readonly Figures[]): Figures {
  return {
    tokensPerSecond: round(median(figures.map(({ tokensPerSecond }) => tokensPerSecond))),
    processorMs: round(median(figures.map(({ processorMs }) => processorMs))),
  };
}
