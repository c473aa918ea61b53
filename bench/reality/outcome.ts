// What one run of the sessions gives, in either world, and how the worlds compare.
import { median } from '../support/statistics.js';

export interface Outcome {
  /** Sessions that ended in time. */
  completed: number;
  /** Median of the normalized latencies of all that arrived. */
  latencyMs: number;
  steps: number;
  computedTokens: number;
  recomputedTokens: number;
  /** To the host. */
  swappedBlocks: number;
}

/** One run of a policy and its replay with the costs that were measured meanwhile. */
export interface Pair {
  real: Outcome;
  simulated: Outcome;
  /** Mean relative error of the engine's predictions of step time. */
  costError: number;
}

/** All runs of a policy together. */
export interface Comparison {
  /** Completed sessions. */
  real: number;
  simulated: number;
  /** Simulated over real. */
  ratio: number;
  /** Of each run, in reality: how far they differ. */
  runs: number[];
  latencyMs: { real: number; simulated: number };
  /** Of the last run. */
  last: Pair;
}

export function compare(pairs: readonly Pair[]): Comparison {
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  const runs = pairs.map(({ real }) => real.completed);
  const simulated = sum(pairs.map((pair) => pair.simulated.completed));
  return {
    real: sum(runs),
    simulated,
    ratio: simulated / sum(runs),
    runs,
    latencyMs: {
      real: median(pairs.map(({ real }) => real.latencyMs)),
      simulated: median(pairs.map((pair) => pair.simulated.latencyMs)),
    },
    last: pairs.at(-1)!,
  };
}

/** The largest deviation of a ratio from 1. */
export function worstDeviation(comparisons: readonly Comparison[]): number {
  return Math.max(...comparisons.map(({ ratio }) => Math.abs(ratio - 1)));
}

/** Policies that complete fewer or more by less than this share are equals: so much two runs of one policy differ. */
const equalShare = 0.03;

/** 1: completes more; -1: fewer; 0: as many. */
function order(one: number, other: number): -1 | 0 | 1 {
  const difference = (one - other) / Math.max(one, other, 1);
  return Math.abs(difference) < equalShare ? 0 : difference > 0 ? 1 : -1;
}

/** Pairs of policies of which one completes more in reality and the other one in the simulation. */
export function swappedPairs<Name extends string>(comparisons: ReadonlyMap<Name, Comparison>): [Name, Name][] {
  const entries = [...comparisons];
  return entries.flatMap(([name, one], index) =>
    entries
      .slice(index + 1)
      .filter(([, other]) => order(one.real, other.real) * order(one.simulated, other.simulated) < 0)
      .map(([other]): [Name, Name] => [name, other]),
  );
}

/** Spearman's coefficient of the two rankings; equal numbers share their mean rank. */
export function rankCorrelation(comparisons: readonly Comparison[]): number {
  const real = ranks(comparisons.map((comparison) => comparison.real));
  const simulated = ranks(comparisons.map((comparison) => comparison.simulated));
  const mean = (real.length + 1) / 2;
  const product = (one: number[], other: number[]): number =>
    one.reduce((sum, rank, index) => sum + (rank - mean) * (other[index]! - mean), 0);
  return product(real, simulated) / Math.sqrt(product(real, real) * product(simulated, simulated));
}

function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const smaller = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return smaller + (equal + 1) / 2;
  });
}
