// The block table of a context of 250 tokens, of which some blocks are shared, some backed, some on the host only.
import { document, element, heading } from '../../bench/support/svg.js';
import { box, line, note, palette, width } from './style.js';

const block = { width: 44, height: 30, gap: 4 };
const left = 92;
const rows = { table: 76, device: 140, host: 204 };

interface Stretch {
  /** Of the table's entries. */
  first: number;
  count: number;
  device?: string;
  host?: string;
  name: string;
  says: string;
}

const stretches: readonly Stretch[] = [
  { first: 0, count: 4, device: 'infercept', name: 'shared', says: 'a prefix of others, too' },
  { first: 4, count: 4, device: 'adaptive', name: 'private', says: 'leaves by a copy' },
  { first: 8, count: 5, device: 'preserve', host: 'preserve', name: 'backed', says: 'leaves at once' },
  { first: 13, count: 3, host: 'swap', name: 'swapped out', says: 'comes back by a copy' },
];
const entries = 16;

const toX = (index: number): number => left + index * (block.width + block.gap);
const cell = (index: number, y: number) => ({ x: toX(index), y, width: block.width, height: block.height });

function drawStretch({ first, count, device, host, name, says }: Stretch): string[] {
  const indices = Array.from({ length: count }, (_, index) => first + index);
  const end = toX(first + count) - block.gap;
  const below = rows.host + block.height + 14;
  const middle = (toX(first) + end) / 2;
  return [
    ...indices.map((index) => box(cell(index, rows.table), 'soft', String(index))),
    ...(device === undefined ? [] : indices.map((index) => box(cell(index, rows.device), device))),
    ...(host === undefined ? [] : indices.map((index) => box(cell(index, rows.host), host))),
    line(
      [
        { x: toX(first), y: below },
        { x: end, y: below },
      ],
      device ?? host!,
    ),
    note(name, { x: middle, y: below + 18 }, 'middle', 'ink'),
    note(says, { x: middle, y: below + 34 }, 'middle'),
  ];
}

export function drawBlockTable(): string {
  const titles = {
    title: 'The block table says where a context is, per block of 16 tokens',
    subtitle: 'a paused context of 250 tokens; it gives up blocks from its end, so that what stays is a beginning',
  };
  const arrow = { from: toX(entries) - block.gap, to: toX(11), y: rows.table - 12 };
  return document(width + 16, 290, palette, [
    ...heading(titles),
    ...['table', 'device', 'host'].map((name) =>
      note(name, { x: left - 12, y: rows[name as keyof typeof rows] + 19 }, 'end', 'ink'),
    ),
    line(
      [
        { x: arrow.from, y: arrow.y },
        { x: arrow.to, y: arrow.y },
      ],
      'soft',
    ),
    element('polygon', {
      points: `${arrow.to - 8},${arrow.y} ${arrow.to},${arrow.y - 4} ${arrow.to},${arrow.y + 4}`,
      class: 'soft',
    }),
    note('gives up', { x: arrow.to - 14, y: arrow.y + 4 }, 'end'),
    ...stretches.flatMap(drawStretch),
  ]);
}
