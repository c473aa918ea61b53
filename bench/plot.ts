// Draws the newest saved results: bench/results/peer.svg, agents.svg, policies.svg, and device.svg of a GPU's.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CaseFigures } from './policies/measure.js';
import type { Bench } from './run.js';
import { type Bar, barChart, columnChart, type Group } from './support/charts.js';
import { type LinePanel, lineChart, type Series } from './support/line-chart.js';
import { UsageError } from './support/options.js';
import { newestResult, type Result, resultsFolder } from './support/results.js';

/** The part of the figures that is drawn. */
interface PeerFigures {
  threads: number;
  details: Record<string, Record<string, PeerCell>>;
}

interface PeerCell {
  ours: { tokensPerSecond: number };
  peer: { tokensPerSecond: number };
  batch?: { tokensPerSecond: number };
  limitTokensPerSecond: number;
}

interface AgentsFigures {
  peer: number;
  ours: Record<string, { perMinute: number; ratio: number }>;
  type: string;
  agents: number;
  kvTokens: number;
  peerSequences: number;
}

export const bench: Bench = async () => {
  const charts = { peer: drawPeer, agents: drawAgents, policies: drawPolicies };
  const written: string[] = [];
  for (const [name, draw] of Object.entries(charts)) {
    const result = newestResult(name);
    if (result !== undefined) written.push(write(name, draw(result), result.date));
  }
  const device = newestResult<DeviceResult>('device');
  if (device?.parts.policies?.policies !== undefined) written.push(write('device', drawDevice(device), device.date));
  if (written.length === 0) {
    throw new UsageError(`There is nothing in ${resultsFolder} to draw; run \`npm run bench -- peer --save\` first.`);
  }
  return { written };
};

function write(name: string, chart: string, date: string): string {
  const path = join(resultsFolder, `${name}.svg`);
  writeFileSync(path, chart);
  console.log(`${path}: ${date}`);
  return path;
}

const groupLabels: Record<string, string> = {
  prefill: 'prefill',
  decode1: '1 context',
  decode8: '8',
  decode16: '16',
  decode32: '32',
};

/** One panel per type of weights; short contexts only. */
export function drawPeer({ figures, machine, date }: Result): string {
  const { details, threads } = figures as unknown as PeerFigures;
  const panels = Object.entries(details)
    .filter(([type]) => type !== 'limits')
    .map(([type, cells]) => ({
      title: type.toUpperCase(),
      groups: Object.entries(groupLabels).flatMap(([name, label]) => toGroup(label, cells[name])),
    }));
  const titles = {
    title: 'Tokens per second: one prompt, and decoding of 1 to 32 contexts together',
    subtitle: `1.1 B Llama, ${machine.processor}, ${threads} threads, ${date}`,
  };
  const names = {
    peer: 'node-llama-cpp',
    batch: 'llama.cpp, its own batches',
    ours: 'infercept',
    limit: 'limit of the machine',
  };
  return columnChart(titles, names, panels);
}

function toGroup(label: string, cell: PeerCell | undefined): Group[] {
  if (cell === undefined) return [];
  const { ours, peer, batch, limitTokensPerSecond: limit } = cell;
  const values = { peer: peer.tokensPerSecond, ours: ours.tokensPerSecond };
  return [{ label, values: batch === undefined ? values : { ...values, batch: batch.tokensPerSecond }, limit }];
}

export function drawAgents({ figures, machine, date }: Result): string {
  const { peer, ours, type, agents, kvTokens, peerSequences } = figures as unknown as AgentsFigures;
  const policies = Object.entries(ours).map(
    ([policy, { perMinute, ratio }]): Bar => ({
      label: `infercept, ${policy}`,
      value: perMinute,
      note: `${perMinute.toFixed(1)}  (${ratio.toFixed(1)} x)`,
      series: 'ours',
    }),
  );
  const titles = {
    title: `Completed agents per minute: ${agents} agents, ${kvTokens.toLocaleString('en')} tokens of KV cache`,
    subtitle: `1.1 B Llama, ${type.toUpperCase()}, ${machine.processor}, ${machine.cores} cores, ${date}`,
  };
  const note = `${peer.toFixed(1)}  (${peerSequences} sequences)`;
  return barChart(titles, [{ label: 'node-llama-cpp', value: peer, note, series: 'peer' }, ...policies]);
}

/** The part of the figures that is drawn. */
interface PoliciesFigures {
  /** By profile and workload. */
  cases: Record<string, Record<string, CaseFigures>>;
}

export const policySeries: readonly Series[] = [
  { name: 'adaptive', light: '#0969da', dark: '#4493f8' },
  { name: 'infercept', light: '#1a7f37', dark: '#3fb950' },
  { name: 'preserve', light: '#8250df', dark: '#ab7df8' },
  { name: 'swap', light: '#bf8700', dark: '#d29922' },
  { name: 'discard', light: '#bc4c00', dark: '#db6d28' },
  { name: 'discard-requeue', light: '#cf222e', dark: '#f85149' },
];

/** One panel per profile: the mix. */
export function drawPolicies({ figures, date }: Result): string {
  const { cases } = figures as unknown as PoliciesFigures;
  const panels = Object.entries(cases).flatMap(([profile, { mix }]) =>
    mix !== undefined && mix.policies.adaptive.curve.length > 0 ? [toLinePanel(profile, mix)] : [],
  );
  const titles = {
    title: "The paper's mix, simulated: median normalized latency against load",
    subtitle: `sampled and returned tokens count as output, as in the paper; dashed: the bound of sustained load; ${date}`,
    x: 'sessions per second',
    y: 'ms per token',
  };
  return lineChart(titles, policySeries, panels);
}

function toLinePanel(title: string, { boundMs, policies }: CaseFigures): LinePanel {
  const lines = Object.entries(policies).map(([series, { curve }]) => ({
    series,
    points: curve.map(({ rate, latencyMs }) => ({ x: rate, y: latencyMs })),
  }));
  return { title, lines, bound: boundMs };
}

interface Served {
  latencyMs: { p50: number };
}

/** The part of what bench/device.sh wrote that is drawn. */
export interface DeviceResult {
  date: string;
  machine: { gpu: string };
  parts: {
    policies?: {
      machine: string;
      boundMs: number;
      policies?: Record<string, { loads: { rate: number; real: Served; simulated: Served }[] }>;
    };
  };
}

/** What was measured, and beside it what was predicted. REQUIRES: the part `policies`. */
export function drawDevice({ date, machine, parts }: DeviceResult): string {
  const { boundMs, policies = {}, machine: model } = parts.policies!;
  const panel = (title: string, world: 'real' | 'simulated'): LinePanel => ({
    title,
    bound: boundMs,
    lines: Object.entries(policies).map(([series, { loads }]) => ({
      series,
      points: loads.map((load) => ({ x: load.rate, y: load[world].latencyMs.p50 })),
    })),
  });
  const titles = {
    title: "The paper's mix on the engine: median normalized latency against load",
    subtitle: `${model}, ${machine.gpu}; dashed: the bound of sustained load; ${date.slice(0, 10)}`,
    x: 'sessions per second',
    y: 'ms per token',
  };
  return lineChart(titles, policySeries, [panel('measured', 'real'), panel('simulated', 'simulated')]);
}
