// One full step of the example: what its query tokens are spent on, and what the link moves while they are computed.
import { document, element, heading, text } from '../../bench/support/svg.js';
import { copyBudget, decodes, saturationTokens, stepParts, stepSeconds } from './example.js';
import { box, note, palette, scale, ticks, width } from './style.js';

const left = 128;
const right = width - 60;
const bar = { height: 34, gap: 18 };

/** What is drawn of one bar. */
interface Piece {
  amount: number;
  colour: string;
  label: string;
}

/** Pieces one after the other; the title stands before them. */
function drawBar(title: string, y: number, toX: (value: number) => number, pieces: readonly Piece[]): string[] {
  let from = 0;
  const drawn = pieces.map(({ amount, colour, label }) => {
    const place = { x: toX(from), y, width: toX(from + amount) - toX(from), height: bar.height };
    from += amount;
    return box(place, colour, label);
  });
  return [note(title, { x: left - 10, y: y + bar.height / 2 + 4 }, 'end'), ...drawn];
}

const section = (content: string, y: number): string =>
  text(content, { x: 0, y, class: 'ink', style: 'font-weight:600' });

const returnedTokens = 85;

function drawTokens(top: number): string[] {
  const toX = scale([0, saturationTokens], [left, right]);
  const recompute = saturationTokens - decodes - returnedTokens;
  return [
    section(`Query tokens: S = ${saturationTokens}`, top),
    ...drawBar('the batch', top + 12, toX, [
      { amount: returnedTokens, colour: 'adaptive', label: `${returnedTokens} returned` },
      { amount: decodes, colour: 'infercept', label: String(decodes) },
      { amount: recompute, colour: 'discard', label: `${recompute} of a recompute of 1,408; the rest in later steps` },
    ]),
    note(`the oldest sequence, then ${decodes} decodes, one token each, then whoever waits longest`, {
      x: left,
      y: top + bar.height + 28,
    }),
  ];
}

/** How many of the link's blocks go where: an example, within the budget of each direction. */
const moved = { out: 12, ahead: copyBudget - 12, back: 30 };

function drawTimes(top: number): string[] {
  const toX = scale([0, stepSeconds], [left, right]);
  const perBlock = stepSeconds / copyBudget;
  const rowY = (row: number): number => top + 12 + row * (bar.height + bar.gap);
  const bottom = rowY(3) + 2;
  return [
    section('Time: what the link moves while the step computes', top),
    ...drawBar('compute', rowY(0), toX, [
      { amount: stepParts.weights, colour: 'soft', label: 'weights' },
      { amount: stepParts.tokens, colour: 'soft', label: `${saturationTokens} query tokens` },
      { amount: stepParts.reading, colour: 'soft', label: 'contexts' },
    ]),
    ...drawBar('device → host', rowY(1), toX, [
      { amount: moved.out * perBlock, colour: 'swap', label: `${moved.out} blocks that leave` },
      {
        amount: moved.ahead * perBlock,
        colour: 'preserve',
        label: `${moved.ahead} copied ahead of time: they stay, and are backed`,
      },
    ]),
    ...drawBar('host → device', rowY(2), toX, [
      {
        amount: moved.back * perBlock,
        colour: 'swap',
        label: `${moved.back} blocks of a context whose tool has returned`,
      },
    ]),
    element('line', {
      x1: toX(stepSeconds),
      x2: toX(stepSeconds),
      y1: rowY(0) - 6,
      y2: bottom,
      class: 'ink',
      'stroke-dasharray': '4 4',
    }),
    note('commit', { x: toX(stepSeconds) + 6, y: rowY(0) + 6 }, 'start', 'ink'),
    ticks([0, 10, 20, 30], 'ms', (milliseconds) => toX(milliseconds / 1000), bottom),
    note('what left has freed its memory only now', { x: right, y: bottom + 34 }, 'end'),
  ];
}

export function drawStep(): string {
  const titles = {
    title: 'One step: decodes first, prefill in chunks, copies in both directions beside the computation',
    subtitle: `GPT-J-6B on an A100: ${(1000 * stepSeconds).toFixed(1)} ms, in which each direction of the link moves ${copyBudget} blocks of 16 tokens`,
  };
  return document(width, 380, palette, [...heading(titles), ...drawTokens(72), ...drawTimes(176)]);
}
