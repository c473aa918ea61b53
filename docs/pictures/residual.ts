// What is expected of a tool that answers from its cache or takes eight seconds: learnt from 200 calls by the scheduler's own
// estimator, and by the time that has passed.
import { PolicyCore } from 'infercept/policy';
import { document, element, heading } from '../../bench/support/svg.js';
import { a100GptJ } from '../../lib/profiles.js';
import { lognormal, seededRandom } from '../../lib/random.js';
import { line, note, type Point, palette, scale, ticks, width } from './style.js';

const kind = 'tool:search';
const cachedShare = 0.7;
const cached = { median: 0.05, spread: 0.3 };
const searched = { median: 8, spread: 0.15 };
const elapsedMax = 12;
const expectedMax = 12;
const plot = { left: 40, right: 620, top: 80, bottom: 320 };

const toX = scale([0, elapsedMax], [plot.left, plot.right]);
const toY = scale([0, expectedMax], [plot.bottom, plot.top]);
const at = (elapsed: number, expected: number): Point => ({ x: toX(elapsed), y: toY(expected) });

function learnt(): PolicyCore {
  const core = new PolicyCore({ profile: a100GptJ });
  const random = seededRandom(1);
  for (let call = 0; call < 200; call += 1) {
    const seconds = random() < cachedShare ? lognormal(random, cached) : lognormal(random, searched);
    core.observeInterception({ kind, seconds });
  }
  return core;
}

function drawAxes(): string[] {
  const marks = [0, 4, 8, 12];
  return [
    ...marks.map((seconds) =>
      element('line', { x1: plot.left, x2: plot.right, y1: toY(seconds), y2: toY(seconds), class: 'line' }),
    ),
    ...marks.map((seconds) => note(String(seconds), { x: plot.left - 8, y: toY(seconds) + 4 }, 'end')),
    note('expected to go on for, s', { x: plot.left - 24, y: plot.top - 14 }),
    ticks(marks, 's', toX, plot.bottom),
    note('how long it has lasted', { x: (plot.left + plot.right) / 2, y: plot.bottom + 34 }, 'middle'),
  ];
}

export function drawResidual(): string {
  const core = learnt();
  const elapsed = Array.from({ length: 481 }, (_, index) => (elapsedMax * index) / 480);
  const expected = elapsed.map((elapsedSeconds) => core.residual({ kind, elapsedSeconds }));
  const points = elapsed.map((seconds, index) => at(seconds, Math.min(expectedMax, expected[index]!)));
  const titles = {
    title: 'How much longer? Learnt from 200 calls, and by the time that has passed',
    subtitle: 'a tool that answers from its cache in about 50 ms (7 of 10 calls) or takes about 8 s',
  };
  const beside = (y: number, content: string) => note(content, { x: plot.right + 10, y: toY(y) + 4 }, 'start', 'ink');
  return document(width, plot.bottom + 36, palette, [
    ...heading(titles),
    ...drawAxes(),
    line([at(0, 0), at(elapsedMax, expectedMax)], 'infercept'),
    line(points, 'adaptive'),
    beside(12, 'elapsed time, the rule of the paper;'),
    beside(11.2, 'also where nothing longer was seen'),
    note('learnt', { x: toX(0.5), y: toY(8.2) }, 'start', 'ink'),
  ]);
}
