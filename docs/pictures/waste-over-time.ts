// One context that waits for 0.69 s, the paper's question to an encyclopedia: its device memory over time, by what is done with it.
import { document, element, heading, text } from '../../bench/support/svg.js';
import * as example from './example.js';
import { area, note, type Point, palette, scale, ticks, width } from './style.js';

const waitSeconds = 0.69;
const beginSeconds = -0.12;
const endSeconds = 1.8;
const left = 10;
const top = 80;
const row = { height: 60, gap: 42 };

const toX = scale([beginSeconds, endSeconds], [left, width]);
const megabyteSeconds = (waste: number): string => `${(waste / 1e6).toFixed(0)} MB·s`;

/** Memory as a share of the context's, from some time on until the next one. */
type Level = readonly [seconds: number, share: number];

/** The steps of `levels` as an outline on the row's ground. */
function outline(levels: readonly Level[], until: number, bottom: number): Point[] {
  const toY = scale([0, 1], [bottom, bottom - row.height]);
  const points = levels.flatMap(([seconds, share], index) => {
    const next = levels[index + 1]?.[0] ?? until;
    return [
      { x: toX(seconds), y: toY(share) },
      { x: toX(next), y: toY(share) },
    ];
  });
  return [{ x: points[0]!.x, y: bottom }, ...points, { x: points.at(-1)!.x, y: bottom }];
}

interface Row {
  name: string;
  /** Memory that serves nobody, in pieces. */
  wasted: readonly { levels: readonly Level[]; until: number }[];
  /** When the context is of use again. */
  back: number;
  says: string;
}

function drawRow({ name, wasted, back, says }: Row, index: number): string[] {
  const bottom = top + row.height + index * (row.height + row.gap);
  const used = [
    { levels: [[beginSeconds, 1]] as const, until: 0 },
    { levels: [[back, 1]] as const, until: endSeconds },
  ];
  return [
    ...used.map(({ levels, until }) => area(outline(levels, until, bottom), 'line')),
    ...wasted.map(({ levels, until }) => area(outline(levels, until, bottom), name)),
    element('line', { x1: left, x2: width, y1: bottom, y2: bottom, class: 'soft' }),
    text(name, { x: left, y: bottom - row.height - 8, class: 'ink', style: 'font-weight:600' }),
    note(says, { x: left + 72, y: bottom - row.height - 8 }),
  ];
}

const { stepSeconds, recomputeSeconds, copyBudget, contextBlocks } = example;

/** What still has to move when so many steps have copied. */
const leftAfter = (steps: number): number => Math.max(0, 1 - (steps * copyBudget) / contextBlocks);
const copySteps = Math.ceil(contextBlocks / copyBudget);
const steps = Array.from({ length: copySteps }, (_, index) => index);

const chunkTokens = example.saturationTokens - example.decodes;
const chunks = Math.ceil(example.contextTokens / chunkTokens);

const rows: readonly Row[] = [
  {
    name: 'preserve',
    wasted: [{ levels: [[0, 1]], until: waitSeconds }],
    back: waitSeconds,
    says: `stays: 646 MB for 0.69 s are ${megabyteSeconds(example.wastePreserve(waitSeconds))}; for 20 s they would be 30 times as many`,
  },
  {
    name: 'swap',
    wasted: [
      { levels: steps.map((step): Level => [step * stepSeconds, leftAfter(step)]), until: copySteps * stepSeconds },
      {
        levels: steps.map((step): Level => [waitSeconds + step * stepSeconds, 1 - leftAfter(step + 1)]),
        until: waitSeconds + copySteps * stepSeconds,
      },
    ],
    back: waitSeconds + copySteps * stepSeconds,
    says: `${copyBudget} blocks per step beside the computation, out and back in: the formula says 0, what is left is half a copy each way`,
  },
  {
    name: 'discard',
    wasted: [
      {
        levels: Array.from(
          { length: chunks },
          (_, chunk): Level => [
            waitSeconds + (chunk * recomputeSeconds) / chunks,
            Math.min(1, ((chunk + 1) * chunkTokens) / example.contextTokens),
          ],
        ),
        until: waitSeconds + recomputeSeconds,
      },
    ],
    back: waitSeconds + recomputeSeconds,
    says: `gone at once; computed again in ${chunks} chunks, which add ${(1000 * recomputeSeconds).toFixed(0)} ms to steps: ${megabyteSeconds(example.wasteDiscardOwn)} of its own ...`,
  },
];

/** The others' waste as an area of the same scale, as high as one context. */
function drawOthers(): string[] {
  const bottom = top + row.height + rows.length * (row.height + row.gap);
  const seconds = example.wasteDiscardOthers / example.bytes(example.contextTokens);
  const gigabytes = (example.bytes(example.runningTokens) / 1e9).toFixed(1);
  return [
    area(outline([[waitSeconds, 1]], waitSeconds + seconds, bottom), 'discard'),
    element('line', { x1: left, x2: width, y1: bottom, y2: bottom, class: 'soft' }),
    note(
      `... and everybody else's ${gigabytes} GB for as long: ${megabyteSeconds(example.wasteDiscardOthers)}, drawn as an area of the same scale`,
      { x: left + 72, y: bottom - row.height - 8 },
    ),
  ];
}

export function drawWasteOverTime(): string {
  const bottom = top + (rows.length + 1) * (row.height + row.gap) - row.gap;
  const titles = {
    title: 'A context of 1,408 tokens waits for 0.69 s: its device memory, by what is done with it',
    subtitle:
      'coloured areas are waste, memory × time that serves nobody; grey: in use. GPT-J-6B on an A100, 16 others decoding',
  };
  return document(width, bottom + 24, palette, [
    ...heading(titles),
    ...rows.flatMap(drawRow),
    ...drawOthers(),
    ticks([0, 0.5, waitSeconds, 1, 1.5], 's', toX, bottom),
  ]);
}
