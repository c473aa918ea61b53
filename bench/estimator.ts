// What estimates of interceptions' durations cost, and what they bring: the paper's mix under `adaptive`, with what is learnt,
// with elapsed times (the paper's rule), and with an oracle that knows every duration.
import { type SimulateOptions, simulate } from 'infercept';
import type { Bench } from './run.js';
import { runNative } from './support/native.js';

const settings = {
  learned: {},
  elapsed: { durationsLearned: false },
  oracle: { durationsKnown: true },
} satisfies Record<string, SimulateOptions>;
type Estimator = keyof typeof settings;
const estimators = Object.keys(settings) as Estimator[];

interface Row {
  rate: number;
  completedPerSecond: Record<Estimator, number>;
  /** Medians, milliseconds per token. */
  normalizedLatencyMs: Record<Estimator, number>;
}

const perEstimator = (value: (estimator: Estimator) => number): Record<Estimator, number> =>
  Object.fromEntries(estimators.map((estimator) => [estimator, value(estimator)])) as Record<Estimator, number>;

async function measure(rate: number, seconds: number): Promise<Row> {
  const options: SimulateOptions = { policy: 'adaptive', untilMs: seconds * 1.2 * 1000 };
  const run = (estimator: Estimator) => simulate({ mix: { rate, seconds } }, { ...options, ...settings[estimator] });
  const reports = await Promise.all(estimators.map(run));
  const report = (estimator: Estimator) => reports[estimators.indexOf(estimator)]!;
  return {
    rate,
    completedPerSecond: perEstimator((estimator) => report(estimator).completedPerSecond),
    normalizedLatencyMs: perEstimator((estimator) => report(estimator).normalizedLatencyMs.p50),
  };
}

function print({ rate, completedPerSecond, normalizedLatencyMs }: Row): void {
  const cells = estimators.map((estimator) =>
    `${completedPerSecond[estimator].toFixed(2)} (${normalizedLatencyMs[estimator].toFixed(1)} ms)`.padStart(20),
  );
  console.log(`${String(rate).padStart(6)}/s${cells.join('')}`);
}

export const bench: Bench = async (options) => {
  const { estimator: cost } = runNative(['estimator'], options);
  console.log(
    `completed per second (median normalized latency)\n        ${estimators.map((name) => name.padStart(20)).join('')}`,
  );
  const rows: Row[] = [];
  for (const rate of [1, 2, 3, 4, 5, 6]) {
    const row = await measure(rate, options.quick ? 120 : 300);
    print(row);
    rows.push(row);
  }
  return { cost, rows };
};
