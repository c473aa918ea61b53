/** What `engine.stats()` and `engine.metrics()` report. */
import type { NativeStats } from './native-protocol.js';
import type { RunResult } from './part.js';

/** Blocks of one tier. */
export interface TierStats {
  blocks: number;
  /** Never used or given back. */
  free: number;
  /** Unreferenced, but still found by equal prefixes: free on demand. Device only. */
  cached: number;
}

/**
 * Where device memory went without use, in byte-seconds since the start. `share` is the sum of the first four over the
 * pool's bytes times the time of all steps.
 */
export interface WasteStats {
  /** Paused contexts held memory while something runnable was refused for want of it. */
  preservedIdle: number;
  /** Everybody's memory during time spent on recomputing discarded contexts. */
  recompute: number;
  /** Everything resident while a step waited for copies. */
  stall: number;
  /** Blocks that were coming in and could not be used yet. */
  swapWait: number;
  /** Paused contexts held memory that nobody wanted: not waste. */
  pausedUnwanted: number;
  /** The paper's own definition: all memory of paused contexts, wanted or not. */
  paperPreserved: number;
  /** The pool's bytes times the time of all steps. */
  capacity: number;
  /** From 0 to 1. */
  share: number;
}

/** Counters since the engine was loaded, and its state at the last step boundary. */
export interface EngineStats {
  steps: number;
  tokens: {
    /** Computed: prompts, decodes and recomputes. */
    computed: number;
    /** Of these, computed again after a discard. */
    recomputed: number;
    /** Prompt tokens found in the prefix cache. */
    cached: number;
  };
  sequences: { waiting: number; running: number; paused: number };
  device: TierStats;
  host: Omit<TierStats, 'cached'>;
  /** Completed interceptions by the worst that happened to their context. */
  interceptions: { total: number; preserved: number; swapped: number; discarded: number };
  swappedBlocks: { out: number; in: number };
  discardedBlocks: number;
  /** Running sequences that had to give blocks. */
  preemptions: number;
  waste: WasteStats;
  /** Mean relative error of the cost model's recent predictions of step time. */
  costError: number;
}

export function toEngineStats(native: NativeStats): EngineStats {
  const count = (name: string): number => native[name] as number;
  const { waste } = native;
  const wasted = waste.preservedIdle + waste.recompute + waste.stall + waste.swapWait;
  return {
    steps: count('steps'),
    tokens: {
      computed: count('queryTokens'),
      recomputed: count('recomputedTokens'),
      cached: count('cachedTokens'),
    },
    sequences: { waiting: count('waiting'), running: count('running'), paused: count('paused') },
    device: { blocks: count('deviceBlocks'), free: count('deviceBlocksFree'), cached: count('deviceBlocksCached') },
    host: { blocks: count('hostBlocks'), free: count('hostBlocksFree') },
    interceptions: {
      total: count('interceptions'),
      preserved: count('preserved'),
      swapped: count('swapped'),
      discarded: count('discarded'),
    },
    swappedBlocks: { out: count('swappedOutBlocks'), in: count('swappedInBlocks') },
    discardedBlocks: count('discardedBlocks'),
    preemptions: count('preemptions'),
    waste: { ...waste, share: waste.capacity > 0 ? wasted / waste.capacity : 0 },
    costError: count('costError'),
  };
}

/** Upper bounds of latency buckets, in seconds. */
const latencyBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

class Histogram {
  private readonly counts = new Array<number>(latencyBounds.length).fill(0);
  private count = 0;
  private sum = 0;

  add(seconds: number): void {
    this.count += 1;
    this.sum += seconds;
    for (const [index, bound] of latencyBounds.entries()) if (seconds <= bound) this.counts[index]! += 1;
  }

  format(name: string): string[] {
    const buckets = latencyBounds.map((bound, index) => `${name}_bucket{le="${bound}"} ${this.counts[index]}`);
    return [
      ...buckets,
      `${name}_bucket{le="+Inf"} ${this.count}`,
      `${name}_sum ${this.sum}`,
      `${name}_count ${this.count}`,
    ];
  }
}

/** Latencies of finished runs. */
export class RunMetrics {
  private readonly firstToken = new Histogram();
  private readonly normalized = new Histogram();
  private readonly finished = new Map<string, number>();

  add({ finishReason, timings, usage }: RunResult): void {
    this.finished.set(finishReason, (this.finished.get(finishReason) ?? 0) + 1);
    if (finishReason === 'aborted' || usage.completionTokens === 0) return;
    this.firstToken.add(timings.firstTokenMs / 1000);
    this.normalized.add((timings.totalMs - timings.interceptedMs) / 1000 / usage.completionTokens);
  }

  format(): string[] {
    const runs = [...this.finished].map(
      ([reason, count]) => `infercept_runs_total{finish_reason="${reason}"} ${count}`,
    );
    return [
      ...family('infercept_runs_total', 'counter', 'Finished runs.', runs),
      ...family(
        'infercept_time_to_first_token_seconds',
        'histogram',
        'From the arrival of a run to its first token.',
        this.firstToken.format('infercept_time_to_first_token_seconds'),
      ),
      ...family(
        'infercept_normalized_latency_seconds',
        'histogram',
        'Time of a run without interceptions, per sampled token.',
        this.normalized.format('infercept_normalized_latency_seconds'),
      ),
    ];
  }
}

function family(name: string, type: string, help: string, samples: string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples];
}

/** Names of label values and their numbers. */
type Samples = Record<string, number>;

function labelled(name: string, label: string, type: string, help: string, samples: Samples): string[] {
  const lines = Object.entries(samples).map(([value, number]) => `${name}{${label}="${value}"} ${number}`);
  return family(name, type, help, lines);
}

function single(name: string, type: string, help: string, value: number): string[] {
  return family(name, type, help, [`${name} ${value}`]);
}

/** Everything in the text format of Prometheus 0.0.4. */
export function formatMetrics(stats: EngineStats, runs: RunMetrics): string {
  const { share, capacity, ...waste } = stats.waste;
  const { total, ...interceptions } = stats.interceptions;
  const { cached, free, blocks } = stats.device;
  const lines = [
    ...single('infercept_steps_total', 'counter', 'Executed steps.', stats.steps),
    ...labelled('infercept_tokens_total', 'kind', 'counter', 'Tokens.', stats.tokens),
    ...labelled('infercept_sequences', 'state', 'gauge', 'Live sequences.', stats.sequences),
    ...labelled('infercept_device_blocks', 'state', 'gauge', 'KV blocks on the device.', {
      total: blocks,
      free,
      cached,
    }),
    ...labelled('infercept_host_blocks', 'state', 'gauge', 'KV blocks on the host.', {
      total: stats.host.blocks,
      free: stats.host.free,
    }),
    ...single('infercept_interceptions_started_total', 'counter', 'Interceptions.', total),
    ...labelled('infercept_interceptions_total', 'disposition', 'counter', 'By what happened to them.', interceptions),
    ...labelled('infercept_swapped_blocks_total', 'direction', 'counter', 'Copied KV blocks.', stats.swappedBlocks),
    ...single('infercept_discarded_blocks_total', 'counter', 'KV blocks given up.', stats.discardedBlocks),
    ...single('infercept_preemptions_total', 'counter', 'Running sequences that gave blocks.', stats.preemptions),
    ...labelled('infercept_waste_byte_seconds_total', 'kind', 'counter', 'Device memory without use.', waste),
    ...single('infercept_capacity_byte_seconds_total', 'counter', 'Device memory times time of steps.', capacity),
    ...single('infercept_waste_share', 'gauge', 'Waste over capacity.', share),
    ...runs.format(),
  ];
  return `${lines.join('\n')}\n`;
}
