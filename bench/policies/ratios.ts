// The ratios in one line: what they say of the policies on one profile.
import type { PolicyName } from 'infercept';
import { round } from '../support/statistics.js';
import type { CaseFigures } from './measure.js';

/** Of loads under the bound that is the same for all policies, unless said otherwise. */
export interface Ratios {
  infercept_over_discard_requeue?: number;
  infercept_over_discard?: number;
  adaptive_over_infercept?: number;
  adaptive_over_discard?: number;
  /** On agents, where `discard` has the prefix cache. */
  adaptive_over_discard_on_agent_traces?: number;
  /** Share of what known durations gain over `discard` that estimated ones do. */
  estimator_over_oracle?: number;
  /** At the load that `infercept` sustains. */
  adaptive_waste_over_infercept?: number;
  /** At the same load: 99th percentiles, `adaptive` over the best of the others. */
  adaptive_first_token_over_best?: number;
  /** The worst of all cases, all profiles: `adaptive` over the best of the others. */
  adaptive_over_best_worst_case: number;
}

export interface RatioInput {
  mix: CaseFigures | undefined;
  agents: CaseFigures | undefined;
  /** What `adaptive` sustains on the mix when it knows every duration. */
  oracle: number | undefined;
  all: readonly CaseFigures[];
}

const load = (figures: CaseFigures, policy: PolicyName): number => figures.policies[policy].sustained.fixedBound;

function over(figures: CaseFigures, one: PolicyName, other: PolicyName): number {
  return round(load(figures, one) / load(figures, other));
}

function bestOther(
  figures: CaseFigures,
  best: (...values: number[]) => number,
  value: (policy: PolicyName) => number,
): number {
  const others = (Object.keys(figures.policies) as PolicyName[]).filter((policy) => policy !== 'adaptive');
  return best(...others.map(value));
}

export function ratiosOf({ mix, agents, oracle, all }: RatioInput): Ratios {
  const worst = all.map(
    (figures) => load(figures, 'adaptive') / bestOther(figures, Math.max, (policy) => load(figures, policy)),
  );
  return {
    ...(mix !== undefined && mixRatios(mix, oracle)),
    ...(agents !== undefined && { adaptive_over_discard_on_agent_traces: over(agents, 'adaptive', 'discard') }),
    adaptive_over_best_worst_case: round(Math.min(...worst)),
  };
}

function mixRatios(mix: CaseFigures, oracle: number | undefined): Partial<Ratios> {
  const { adaptive, infercept } = mix.policies;
  const discard = load(mix, 'discard');
  const firstToken = (policy: PolicyName) => mix.policies[policy].common.firstTokenP99Ms;
  return {
    infercept_over_discard_requeue: over(mix, 'infercept', 'discard-requeue'),
    infercept_over_discard: over(mix, 'infercept', 'discard'),
    adaptive_over_infercept: over(mix, 'adaptive', 'infercept'),
    adaptive_over_discard: over(mix, 'adaptive', 'discard'),
    ...(oracle !== undefined && {
      estimator_over_oracle: round((load(mix, 'adaptive') - discard) / (oracle - discard)),
    }),
    adaptive_waste_over_infercept: round(adaptive.common.waste.total / infercept.common.waste.total),
    adaptive_first_token_over_best: round(firstToken('adaptive') / bestOther(mix, Math.min, firstToken)),
  };
}
