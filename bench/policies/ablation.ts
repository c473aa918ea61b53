// The paper's ablation, as far as the scheduler's options allow: the mix at the paper's rate, one more idea at each step.
import type { SimulateOptions } from 'infercept';
import type { Case, Size } from './cases.js';
import { measurePoint, type Point, type Simulator } from './measure.js';
import { type PaperStep, paperSteps, paperStepsRate } from './paper.js';

interface Step {
  name: string;
  options: SimulateOptions;
  paper?: PaperStep;
}

/** Without chunking whole prompts are one step's work: as many tokens as the longest context has. */
const unchunked = { saturationTokens: 2048, stepTokens: 2560 };

const short = { math: 'preserve', question: 'preserve', environment: 'preserve' } as const;
const everything = {
  math: 'swap',
  question: 'swap',
  environment: 'swap',
  chat: 'swap',
  image: 'swap',
  speech: 'swap',
} as const;

/** Wishes are followed as far as the copy budget goes; where the host is full, contexts are discarded. */
const steps: readonly Step[] = [
  {
    name: 'vLLM: discard, back to the tail',
    options: { policy: 'discard-requeue', ...unchunked },
    paper: paperSteps.vllm,
  },
  { name: '+ original arrival', options: { policy: 'discard', ...unchunked }, paper: paperSteps.arrivalOrder },
  { name: '+ chunked recompute', options: { policy: 'discard' }, paper: paperSteps.chunking },
  { name: '+ budgeted swap', options: { policy: 'discard', dispositions: everything }, paper: paperSteps.budgetedSwap },
  {
    name: '+ preserve short tools',
    options: { policy: 'discard', dispositions: { ...everything, ...short } },
    paper: paperSteps.preserve,
  },
  { name: '+ min-waste (infercept)', options: { policy: 'infercept' }, paper: paperSteps.minWaste },
  { name: 'adaptive', options: { policy: 'adaptive' } },
];

export interface AblationRow {
  name: string;
  point: Point;
  /** Share of the previous row's median latency that this step takes away; negative when it adds. */
  reduction?: number;
  paper?: PaperStep;
}

export async function measureAblation(simulator: Simulator, mix: Case, size: Size): Promise<AblationRow[]> {
  const points = await Promise.all(
    steps.map(({ options }) => measurePoint(simulator, mix, size, paperStepsRate, options)),
  );
  return steps.map(({ name, paper }, index) => {
    const point = points[index]!;
    const before = points[index - 1];
    return {
      name,
      point,
      ...(before !== undefined && { reduction: 1 - point.latencyMs / before.latencyMs }),
      ...(paper !== undefined && { paper }),
    };
  });
}
