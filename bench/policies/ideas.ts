// What each idea of `adaptive` brings: what it sustains without it.
import type { SimulateOptions } from 'infercept';
import { adaptiveIdeas } from '../../lib/policy-names.js';
import type { Case, Size } from './cases.js';
import { type CaseFigures, Contestant, type Point, type Simulator } from './measure.js';

interface Variant {
  name: string;
  options: SimulateOptions;
}

const variants: readonly Variant[] = [
  { name: 'adaptive', options: {} },
  { name: 'without copying ahead', options: { without: ['copyAhead'] } },
  { name: 'without spare copies on the host', options: { without: ['spareCopies'] } },
  { name: 'one link budget for both directions', options: { without: ['fullDuplex'] } },
  { name: 'without turnover of the full host', options: { without: ['hostTurnover'] } },
  { name: 'without pricing the return', options: { without: ['priceReturn'] } },
  { name: 'without coming back in parts', options: { without: ['partialReturn'] } },
  { name: 'without large contexts letting others pass', options: { without: ['largeYield'] } },
  { name: 'elapsed time instead of what was learnt', options: { durationsLearned: false } },
  {
    name: 'none of these: under pressure only',
    options: {
      without: [...adaptiveIdeas],
      durationsLearned: false,
    },
  },
];

export interface IdeaRow {
  name: string;
  /** Sessions per second under the bound of the case. */
  sustained: number;
  /** At half as much again as `adaptive` sustains. */
  saturated: Point;
}

/** One case, each idea taken away by itself, and all together. */
export async function measureIdeas(
  simulator: Simulator,
  subject: Case & { figures: CaseFigures },
  size: Size,
): Promise<IdeaRow[]> {
  const { boundMs, policies } = subject.figures;
  const guess = policies.adaptive.sustained.fixedBound;
  return Promise.all(
    variants.map(async ({ name, options }) => {
      const contestant = new Contestant(simulator, subject, size, { policy: 'adaptive', ...options });
      const sustained = await contestant.sustained(boundMs, guess);
      return { name, sustained, saturated: await contestant.curve.at(1.5 * guess) };
    }),
  );
}
