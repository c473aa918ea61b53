// One case: what each policy sustains, and how the policies compare at the same loads.
import { type PolicyName, type SimulateOptions, type SimulationReport, simulate } from 'infercept';
import { round } from '../support/statistics.js';
import { type Case, makeWorkload, policies, type Size } from './cases.js';
import { type Curve, makeCurve, sustainedRate } from './search.js';

/** Shares of device memory times time, by what became of it. */
export interface WasteShares {
  preservedIdle: number;
  recompute: number;
  stall: number;
  swapWait: number;
  /** The sum of these. */
  total: number;
  /** As the paper counts: all memory of paused contexts is waste, wanted or not. */
  paper: number;
}

/** What one policy does at one rate; latencies as the paper defines them. */
export interface Point {
  rate: number;
  /** Median. */
  latencyMs: number;
  latencyMeanMs: number;
  firstTokenP50Ms: number;
  firstTokenP99Ms: number;
  completedPerSecond: number;
  waste: WasteShares;
}

export interface PolicyFigures {
  unloadedMs: number;
  sustained: {
    /** Sessions per second while the median latency stays under twice the policy's own unloaded value. */
    twiceUnloaded: number;
    /** And under the bound of the case, the same for all policies. */
    fixedBound: number;
  };
  /** At the load that `infercept` sustains. */
  common: Point;
  /** At half as much again as the best policy sustains. */
  saturated: Point;
  /** For the charts. */
  curve: Point[];
}

export interface CaseFigures {
  boundMs: number;
  policies: Record<PolicyName, PolicyFigures>;
}

/** The bound of a case, over the unloaded latency of the policy that gives nothing up: 12 ms where that is 5.3. */
const boundOverUnloaded = 2.25;

/** Sessions per second that hardly meet: those of the mix take two or three minutes at most, agents' up to ten. */
const unloadedRate = ({ workload }: Case): number => (workload === 'agents' ? 0.001 : 0.02);

/** Share of what computing alone would allow: where the search begins. */
const firstGuess = 0.2;

/** Runs at most so many simulations at once, and counts them. */
export class Simulator {
  simulations = 0;
  virtualSeconds = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async run(...args: Parameters<typeof simulate>): Promise<SimulationReport> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      const report = await simulate(...args);
      this.simulations += 1;
      this.virtualSeconds += report.virtualSeconds;
      return report;
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }
}

/**
 * What the paper compares has no prefix cache: what is discarded is gone. Agents have one, as servers have today, and share
 * their beginnings by it.
 */
function usualOptions({ profile, workload }: Case): SimulateOptions {
  return { profile, prefixCache: workload === 'agents' };
}

/** What is measured of a policy in a case, with its options beside the usual ones. */
export async function measurePoint(
  simulator: Simulator,
  subject: Case,
  size: Size,
  rate: number,
  options: SimulateOptions,
): Promise<Point> {
  const seeds = Array.from({ length: size.seeds }, (_, index) => index + 1);
  const reports = await Promise.all(
    seeds.map((seed) =>
      simulator.run(makeWorkload(subject, { rate, seconds: size.seconds, seed }), {
        ...usualOptions(subject),
        untilMs: 1000 * size.untilSeconds,
        ...options,
      }),
    ),
  );
  return meanPoint(reports.map((report) => toPoint(rate, report)));
}

function toPoint(rate: number, report: SimulationReport): Point {
  const { paperLatencyMs, firstTokenMs, completedPerSecond } = report;
  return {
    rate,
    latencyMs: paperLatencyMs.p50,
    latencyMeanMs: paperLatencyMs.mean,
    firstTokenP50Ms: firstTokenMs.p50,
    firstTokenP99Ms: firstTokenMs.p99,
    completedPerSecond,
    waste: toShares(report.stats.waste),
  };
}

function toShares(waste: SimulationReport['stats']['waste']): WasteShares {
  const { capacity, preservedIdle, recompute, stall, swapWait, paperPreserved } = waste;
  const share = (byteSeconds: number) => byteSeconds / capacity;
  return {
    preservedIdle: share(preservedIdle),
    recompute: share(recompute),
    stall: share(stall),
    swapWait: share(swapWait),
    total: share(preservedIdle + recompute + stall + swapWait),
    paper: share(paperPreserved + recompute + stall + swapWait),
  };
}

function meanPoint(points: readonly Point[]): Point {
  const mean = (value: (point: Point) => number) =>
    round(points.reduce((sum, point) => sum + value(point), 0) / points.length);
  const wasteKinds = Object.keys(points[0]!.waste) as (keyof WasteShares)[];
  const shares = wasteKinds.map((kind) => [kind, mean(({ waste }) => 1000 * waste[kind]) / 1000]);
  return {
    rate: round(points[0]!.rate),
    latencyMs: mean(({ latencyMs }) => latencyMs),
    latencyMeanMs: mean(({ latencyMeanMs }) => latencyMeanMs),
    firstTokenP50Ms: mean(({ firstTokenP50Ms }) => firstTokenP50Ms),
    firstTokenP99Ms: mean(({ firstTokenP99Ms }) => firstTokenP99Ms),
    completedPerSecond: mean(({ completedPerSecond }) => completedPerSecond),
    waste: Object.fromEntries(shares) as unknown as WasteShares,
  };
}

/** A case under one policy, with what else is set. */
export class Contestant {
  readonly curve: Curve<Point>;
  unloadedMs = Number.NaN;

  constructor(
    private readonly simulator: Simulator,
    private readonly subject: Case,
    private readonly size: Size,
    private readonly options: SimulateOptions,
  ) {
    this.curve = makeCurve((rate) => measurePoint(simulator, subject, size, rate, options));
  }

  /** Median latency of sessions that never meet. @returns tokens computed per session */
  async measureUnloaded(): Promise<number> {
    const rate = unloadedRate(this.subject);
    const seconds = this.size.unloadedSessions / rate;
    const workload = makeWorkload(this.subject, { rate, seconds, seed: 1 });
    const report = await this.simulator.run(workload, { ...usualOptions(this.subject), ...this.options });
    this.unloadedMs = round(report.paperLatencyMs.p50);
    return report.stats.tokens.computed / report.sessions;
  }

  /** The highest rate at which the median latency stays under a bound. */
  async sustained(boundMs: number, guess: number): Promise<number> {
    const { tolerance } = this.size;
    const holds = ({ latencyMs }: Point) => latencyMs <= boundMs;
    return round(await sustainedRate(this.curve, holds, { guess, lowest: unloadedRate(this.subject), tolerance }));
  }
}

export async function measureCase(
  simulator: Simulator,
  subject: Case,
  size: Size,
  report: (line: string) => void,
): Promise<CaseFigures> {
  const contestants = policies.map((policy) => ({
    policy,
    contestant: new Contestant(simulator, subject, size, { policy }),
  }));
  const tokens = await Promise.all(contestants.map(({ contestant }) => contestant.measureUnloaded()));
  const place = (policy: PolicyName) => policies.indexOf(policy);
  const boundMs = round(boundOverUnloaded * contestants[place('preserve')]!.contestant.unloadedMs);
  const guess = (firstGuess * computedPerSecond(subject)) / tokens[place('preserve')]!;
  const sustained = await Promise.all(
    contestants.map(async ({ policy, contestant }) => {
      const fixedBound = await contestant.sustained(boundMs, guess);
      const twiceUnloaded = await contestant.sustained(2 * contestant.unloadedMs, fixedBound || guess);
      report(`  ${policy.padEnd(16)} sustains ${fixedBound} /s`);
      return { twiceUnloaded, fixedBound };
    }),
  );
  const best = Math.max(...sustained.map(({ fixedBound }) => fixedBound));
  const commonRate = sustained[place('infercept')]!.fixedBound || unloadedRate(subject);
  const rates = subject.workload === 'mix' ? chartRates(best, size.chartRates) : [];
  const figures = await Promise.all(
    contestants.map(async ({ policy, contestant }, index): Promise<[PolicyName, PolicyFigures]> => {
      const common = await contestant.curve.at(commonRate);
      const saturated = await contestant.curve.at(1.5 * Math.max(best, unloadedRate(subject)));
      const curve = await Promise.all(rates.map((rate) => contestant.curve.at(rate)));
      return [policy, { unloadedMs: contestant.unloadedMs, sustained: sustained[index]!, common, saturated, curve }];
    }),
  );
  return { boundMs, policies: Object.fromEntries(figures) as Record<PolicyName, PolicyFigures> };
}

/** Query tokens per second of saturated steps that read no context: more than any policy reaches. */
function computedPerSecond({ profile: { step, perQueryToken, saturationTokens } }: Case): number {
  const tokens = saturationTokens || (2 * step) / perQueryToken;
  return tokens / (step + tokens * perQueryToken);
}

/** Evenly spaced, the last ones beyond what the best policy sustains. */
function chartRates(best: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => round((1.25 * best * (index + 1)) / count));
}
