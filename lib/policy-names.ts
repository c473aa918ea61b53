/** The names of policies, and of what they decide. */

/**
 * How the scheduler treats paused contexts. `adaptive` gives up memory only under pressure, by least waste; `infercept`
 * is the paper's rule; the others are its baselines.
 */
export type PolicyName = 'adaptive' | 'infercept' | 'preserve' | 'swap' | 'discard' | 'discard-requeue';

export const policyNames = ['adaptive', 'infercept', 'preserve', 'swap', 'discard', 'discard-requeue'] as const;

/** In the order of `addon/sched/step_plan.h`. */
export const dispositions = ['preserve', 'swap', 'discard'] as const;

/** What `adaptive` does beyond the paper's rule: see `docs/scheduling.md`. */
export const adaptiveIdeas = [
  'copyAhead',
  'spareCopies',
  'fullDuplex',
  'hostTurnover',
  'priceReturn',
  'partialReturn',
  'largeYield',
] as const;
export type AdaptiveIdea = (typeof adaptiveIdeas)[number];
