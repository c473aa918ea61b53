/** What a finished job says: numbers per policy, as a table and as JSON. */
import type { Engine, PolicyName } from 'infercept';
import type { Agent } from './agents.js';

export interface PolicyReport {
  policy: PolicyName;
  answersRight: number;
  toolCalls: number;
  /** Decisions of the scheduler about paused contexts. */
  decisions: { preserve: number; swap: number; discard: number };
  /** Share of the KV pool's memory × time that served nobody, by reason. */
  waste: { preservedIdle: number; recompute: number; stall: number; swapWait: number };
  wasteShare: number;
  recomputedTokens: number;
  /** Median over runs: milliseconds from sending a message to the first token. */
  firstTokenMs: number;
  /** Median over runs: milliseconds per output token, interceptions excluded. */
  normalizedLatencyMs: number;
  tokensPerSecond: number;
  seconds: number;
  /** Context tokens of all agents at their end, and what the pool holds. */
  neededTokens: number;
  poolTokens: number;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

export function makeReport(
  policy: PolicyName,
  engine: Engine,
  agents: Agent[],
  decisions: PolicyReport['decisions'],
  seconds: number,
): PolicyReport {
  const stats = engine.stats();
  const { waste } = stats;
  const wasted = waste.preservedIdle + waste.recompute + waste.stall + waste.swapWait;
  const share = (byteSeconds: number) => (wasted > 0 ? (byteSeconds / wasted) * waste.share : 0);
  const runs = agents.flatMap((agent) => agent.runs);
  const shares = {
    preservedIdle: share(waste.preservedIdle),
    recompute: share(waste.recompute),
    stall: share(waste.stall),
    swapWait: share(waste.swapWait),
  };
  return {
    policy,
    answersRight: agents.filter((agent) => agent.state === 'right').length,
    toolCalls: agents.reduce((sum, agent) => sum + agent.toolCalls, 0),
    decisions,
    waste: shares,
    wasteShare: waste.share,
    recomputedTokens: stats.tokens.recomputed,
    firstTokenMs: median(runs.map(({ timings }) => timings.firstTokenMs)),
    normalizedLatencyMs: median(
      runs.map(({ timings, usage }) => (timings.totalMs - timings.interceptedMs) / usage.completionTokens),
    ),
    tokensPerSecond: runs.reduce((sum, run) => sum + run.usage.completionTokens, 0) / seconds,
    seconds,
    neededTokens: agents.reduce((sum, agent) => sum + agent.contextTokens, 0),
    poolTokens: engine.capacity().kvTokens,
  };
}

export function printTable(reports: PolicyReport[], agents: number): void {
  const percent = (value: number) => `${(value * 100).toFixed(2)} %`;
  const rows: [string, (report: PolicyReport) => string][] = [
    ['answers right', (r) => `${r.answersRight} of ${agents}`],
    ['tool calls', (r) => String(r.toolCalls)],
    ['decisions: preserve', (r) => String(r.decisions.preserve)],
    ['decisions: swap', (r) => String(r.decisions.swap)],
    ['decisions: discard', (r) => String(r.decisions.discard)],
    ['tokens recomputed', (r) => String(r.recomputedTokens)],
    ['waste: preserved idle', (r) => percent(r.waste.preservedIdle)],
    ['waste: recompute', (r) => percent(r.waste.recompute)],
    ['waste: stall', (r) => percent(r.waste.stall)],
    ['waste: swap wait', (r) => percent(r.waste.swapWait)],
    ['TTFT, median', (r) => `${r.firstTokenMs.toFixed(1)} ms`],
    ['normalized latency, median', (r) => `${r.normalizedLatencyMs.toFixed(2)} ms/token`],
    ['output', (r) => `${r.tokensPerSecond.toFixed(0)} tokens/s`],
    ['time', (r) => `${r.seconds.toFixed(1)} s`],
  ];
  console.log(`\n${''.padEnd(28)}${reports.map((report) => report.policy.padStart(18)).join('')}`);
  for (const [title, cell] of rows) {
    console.log(title.padEnd(28) + reports.map((report) => cell(report).padStart(18)).join(''));
  }
  const first = reports[0]!;
  console.log(
    `\nThe agents' contexts had ${first.neededTokens} tokens in the end; the KV pool holds ${first.poolTokens} ` +
      `(${percent(first.poolTokens / first.neededTokens)}).`,
  );
}
