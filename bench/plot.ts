// Draws the newest saved results: bench/results/peer.svg and agents.svg.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './run.js';
import { type Bar, barChart, columnChart, type Group } from './support/charts.js';
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
  const charts = { peer: drawPeer, agents: drawAgents };
  const written: string[] = [];
  for (const [name, draw] of Object.entries(charts)) {
    const result = newestResult(name);
    if (result === undefined) continue;
    const path = join(resultsFolder, `${name}.svg`);
    writeFileSync(path, draw(result));
    console.log(`${path}: ${result.date}`);
    written.push(path);
  }
  if (written.length === 0) {
    throw new UsageError(`There is nothing in ${resultsFolder} to draw; run \`npm run bench -- peer --save\` first.`);
  }
  return { written };
};

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
