// Waste of the example's context against how long its interception turns out to last: always preserving, always discarding, the
// paper's rule, which preserves as long as that is the cheaper thing so far, and twice what knowing the duration would waste.
import { document, element, heading } from '../../bench/support/svg.js';
import { breakEvenSeconds, wasteDiscard, wastePreserve } from './example.js';
import { line, note, type Point, palette, scale, ticks, width } from './style.js';

const secondsMax = 3;
const plot = { left: 52, right: 590, top: 64, bottom: 324 };

const toX = scale([0, secondsMax], [plot.left, plot.right]);
const toY = scale([0, 3 * wasteDiscard], [plot.bottom, plot.top]);
const at = (seconds: number, waste: number): Point => ({ x: toX(seconds), y: toY(waste) });

function drawAxes(): string[] {
  const marks = [0, 0.5, 1, 1.5].map((gigabytes) => gigabytes * 1e9);
  return [
    ...marks.map((waste) =>
      element('line', { x1: plot.left, x2: plot.right, y1: toY(waste), y2: toY(waste), class: 'line' }),
    ),
    ...marks.map((waste) => note(String(waste / 1e9), { x: plot.left - 8, y: toY(waste) + 4 }, 'end')),
    note('GB·s', { x: plot.left - 8, y: plot.top - 4 }, 'end'),
    ticks([0, 1, 2, 3], 's', toX, plot.bottom),
    note(
      'how long the interception turns out to last',
      { x: (plot.left + plot.right) / 2, y: plot.bottom + 34 },
      'middle',
    ),
  ];
}

const beside = (waste: number, content: string): string =>
  note(content, { x: plot.right + 10, y: toY(waste) + 4 }, 'start', 'ink');

export function drawCrossover(): string {
  const ends = { preserve: wastePreserve(secondsMax), rule: 2 * wasteDiscard };
  const titles = {
    title: 'Taking the time that has passed for the time to come wastes at most twice the optimum',
    subtitle: `a context of 1,408 tokens; preserving and discarding cost the same at ${breakEvenSeconds.toFixed(2)} s`,
  };
  return document(width, plot.bottom + 36, palette, [
    ...heading(titles),
    ...drawAxes(),
    line([at(0, 0), at(breakEvenSeconds, 2 * wasteDiscard), at(secondsMax, 2 * wasteDiscard)], 'soft', '3 4'),
    line([at(0, 0), at(((3 * wasteDiscard) / ends.preserve) * secondsMax, 3 * wasteDiscard)], 'preserve'),
    line([at(0, wasteDiscard), at(secondsMax, wasteDiscard)], 'discard'),
    line(
      [at(0, 0), at(breakEvenSeconds, wasteDiscard), at(breakEvenSeconds, ends.rule), at(secondsMax, ends.rule)],
      'infercept',
    ),
    beside(2.94 * wasteDiscard, 'preserve: T · C · M'),
    beside(2.08 * wasteDiscard, "the paper's rule:"),
    beside(1.9 * wasteDiscard, 'preserve, then discard'),
    note('dotted: twice the optimum', { x: toX(1), y: toY(2.08 * wasteDiscard) }),
    beside(wasteDiscard, 'discard: however long, the same'),
  ]);
}
