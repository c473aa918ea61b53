// What the bench prints: one table per case, and the ablation.
import type { AblationRow } from './ablation.js';
import { type Case, policies } from './cases.js';
import type { IdeaRow } from './ideas.js';
import type { CaseFigures, WasteShares } from './measure.js';
import { paperLoads, paperStepsRate } from './paper.js';

/** Columns as wide as their widest cell; the first one is aligned left. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  return lines.map(([first, ...others]) =>
    [first!.padEnd(widths[0]!), ...others.map((cell, index) => cell.padStart(widths[index + 1]!))].join('  '),
  );
}

const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
const milliseconds = (value: number): string =>
  value < 1000 ? `${value.toFixed(1)} ms` : `${(value / 1000).toFixed(1)} s`;

function wasteCells({ preservedIdle, recompute, stall, swapWait, total, paper }: WasteShares): string[] {
  return [preservedIdle, recompute, stall, swapWait, total, paper].map((share) => percent(share));
}

const wasteHead = ['idle', 'recompute', 'stall', 'swap wait', 'waste', "paper's"];

export function caseTable(
  { profile, profileName, workload }: Case,
  { boundMs, policies: figures }: CaseFigures,
): string[] {
  const commonRate = figures.infercept.common.rate;
  const head = [
    'policy',
    'unloaded',
    'sustains: 2x own',
    `${boundMs.toFixed(1)} ms`,
    'over requeue',
    `at ${commonRate} /s:`,
    'TTFT p50',
    'p99',
    ...wasteHead,
    `done at ${figures.infercept.saturated.rate} /s`,
  ];
  const base = figures['discard-requeue'].sustained.fixedBound;
  const rows = policies.map((policy) => {
    const { unloadedMs, sustained, common, saturated } = figures[policy];
    return [
      policy,
      milliseconds(unloadedMs),
      `${sustained.twiceUnloaded.toFixed(2)} /s`,
      `${sustained.fixedBound.toFixed(2)} /s`,
      base > 0 ? `${(sustained.fixedBound / base).toFixed(2)}x` : '',
      milliseconds(common.latencyMs),
      milliseconds(common.firstTokenP50Ms),
      milliseconds(common.firstTokenP99Ms),
      ...wasteCells(common.waste),
      `${saturated.completedPerSecond.toFixed(2)} /s`,
    ];
  });
  const paper = workload === 'mix' ? paperLoads[profileName] : undefined;
  const beside = paper === undefined ? [] : [`in the paper: infercept ${paper}x the load of discard-requeue`];
  return [`${profile.name}, ${workload}`, ...formatTable(head, rows), ...beside];
}

export function ablationTable(rows: readonly AblationRow[]): string[] {
  const head = ['step', 'latency', 'mean', 'less by', 'in the paper', ...wasteHead, "paper's waste there"];
  const cells = rows.map(({ name, point, reduction, paper }) => [
    name,
    milliseconds(point.latencyMs),
    milliseconds(point.latencyMeanMs),
    reduction === undefined ? '' : percent(reduction),
    paper?.reduction === undefined ? '' : percent(paper.reduction),
    ...wasteCells(point.waste),
    paper === undefined ? '' : percent(paper.waste),
  ]);
  return [`ablation: the mix at ${paperStepsRate} sessions per second`, ...formatTable(head, cells)];
}

export function ideasTable(title: string, rows: readonly IdeaRow[]): string[] {
  const rate = rows[0]!.saturated.rate;
  const head = [title, 'sustains', `at ${rate} /s: done`, 'median', 'TTFT p99', 'waste'];
  const cells = rows.map(({ name, sustained, saturated }) => [
    name,
    `${sustained.toFixed(2)} /s`,
    `${saturated.completedPerSecond.toFixed(2)} /s`,
    milliseconds(saturated.latencyMs),
    milliseconds(saturated.firstTokenP99Ms),
    percent(saturated.waste.total),
  ]);
  return formatTable(head, cells);
}
