// Latency against load by policy, simulated as `npm run bench -- policies` does it, with fewer rates and over less time.
import { cpus } from 'node:os';
import { policySeries } from '../../bench/plot.js';
import { type Case, policies } from '../../bench/policies/cases.js';
import { Contestant, Simulator } from '../../bench/policies/measure.js';
import { type LinePanel, lineChart } from '../../bench/support/line-chart.js';
import { profiles } from '../../lib/profiles.js';

const size = { seconds: 200, untilSeconds: 240, seeds: 1, tolerance: 0.1, unloadedSessions: 60, chartRates: 8 };
/** The axis of latencies ends at three times as much. */
const boundOverUnloaded = 2.25;

const profile = { profileName: 'a100-gpt-j-6b', profile: profiles['a100-gpt-j-6b'] } as const;

/** Rates up to where the best policy's line leaves the panel. */
const panels: readonly { title: string; subject: Case; rateMax: number }[] = [
  { title: "the paper's mix of six tools", subject: { ...profile, workload: 'mix' }, rateMax: 4 },
  { title: 'coding agents with shared prefixes', subject: { ...profile, workload: 'agents' }, rateMax: 0.4 },
];

async function measurePanel(
  simulator: Simulator,
  { title, subject, rateMax }: (typeof panels)[number],
): Promise<LinePanel> {
  const contestants = policies.map((policy) => ({
    policy,
    contestant: new Contestant(simulator, subject, size, { policy }),
  }));
  const preserve = contestants.find(({ policy }) => policy === 'preserve')!.contestant;
  await preserve.measureUnloaded();
  const rates = Array.from({ length: size.chartRates }, (_, index) => (rateMax * (index + 1)) / size.chartRates);
  const lines = await Promise.all(
    contestants.map(async ({ policy, contestant }) => {
      const points = await Promise.all(rates.map((rate) => contestant.curve.at(rate)));
      return { series: policy, points: points.map(({ rate, latencyMs }) => ({ x: rate, y: latencyMs })) };
    }),
  );
  return { title, lines, bound: boundOverUnloaded * preserve.unloadedMs };
}

export async function drawLoad(): Promise<string> {
  const simulator = new Simulator(cpus().length);
  const measured = await Promise.all(panels.map((panel) => measurePanel(simulator, panel)));
  const titles = {
    title: 'Median normalized latency against load, simulated: GPT-J-6B on an A100',
    subtitle: `dashed: ${boundOverUnloaded} times the latency that preserve has without load, the bound of sustained load`,
    x: 'sessions per second',
    y: 'ms per token',
  };
  return lineChart(titles, policySeries, measured);
}
