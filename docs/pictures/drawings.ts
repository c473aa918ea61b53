// The pictures that are drawn from formulas alone, by name; the one that is simulated is in load.ts.
import { drawBlockTable } from './block-table.js';
import { drawCrossover } from './crossover.js';
import { drawResidual } from './residual.js';
import { drawStep } from './step.js';
import { drawWasteOverTime } from './waste-over-time.js';

export const drawings: Readonly<Record<string, () => string>> = {
  'waste-over-time': drawWasteOverTime,
  crossover: drawCrossover,
  residual: drawResidual,
  step: drawStep,
  'block-table': drawBlockTable,
};
