/** What `engine.metrics()` reports. */
import type { RunResult } from './part.js';
import { type EngineStats, wastedOf } from './stats.js';

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

/** Kinds have names that callers choose. */
function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function labelled(name: string, label: string, type: string, help: string, samples: Samples): string[] {
  const lines = Object.entries(samples).map(([value, number]) => `${name}{${label}="${escapeLabel(value)}"} ${number}`);
  return family(name, type, help, lines);
}

function single(name: string, type: string, help: string, value: number): string[] {
  return family(name, type, help, [`${name} ${value}`]);
}

/** Everything in the text format of Prometheus 0.0.4. */
export function formatMetrics(stats: EngineStats, runs: RunMetrics): string {
  const { share, capacity, byKind, ...waste } = stats.waste;
  const { total, ...interceptions } = stats.interceptions;
  const { cached, free, blocks } = stats.device;
  const lines = [
    ...single('infercept_steps_total', 'counter', 'Executed steps.', stats.steps),
    ...labelled('infercept_step_seconds_total', 'source', 'counter', 'Time to compute steps.', stats.stepSeconds),
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
    ...labelled(
      'infercept_kind_waste_byte_seconds_total',
      'kind',
      'counter',
      'Device memory without use, by what contexts waited for.',
      Object.fromEntries(Object.entries(byKind).map(([kind, row]) => [kind, wastedOf(row)])),
    ),
    ...single('infercept_capacity_byte_seconds_total', 'counter', 'Device memory times time of steps.', capacity),
    ...single('infercept_waste_share', 'gauge', 'Waste over capacity.', share),
    ...single(
      'infercept_cost_relative_error',
      'gauge',
      'Mean relative error of recent predictions of step time.',
      stats.costError,
    ),
    ...runs.format(),
  ];
  return `${lines.join('\n')}\n`;
}
