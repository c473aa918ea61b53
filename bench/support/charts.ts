// The two charts of the benchmarks: columns in groups with a mark for the limit of each, and labelled bars.
import { document, element, heading, type Palette, text } from './svg.js';

const palette: Palette = {
  light: {
    peer: '#b6bfc8',
    batch: '#818b98',
    ours: '#0969da',
    limit: '#cf222e',
  },
  dark: {
    peer: '#656c76',
    batch: '#9198a1',
    ours: '#4493f8',
    limit: '#f85149',
  },
};

/** What a column stands for. */
export type Series = 'peer' | 'batch' | 'ours';

export interface Group {
  label: string;
  values: Partial<Record<Series, number>>;
  limit: number;
}

export interface Panel {
  title: string;
  groups: readonly Group[];
}

const panelSize = { width: 440, height: 240, gap: 20 };
const headHeight = 84;
/** Inside a panel: its title above, the groups' labels below. */
const plotArea = { top: 28, bottom: 24 };
const columnWidth = 22;

/** Panels in two columns, each with its own scale from zero. */
export function columnChart(
  titles: { title: string; subtitle: string },
  names: Record<Series | 'limit', string>,
  panels: readonly Panel[],
): string {
  const rows = Math.ceil(panels.length / 2);
  const width = 2 * panelSize.width + panelSize.gap;
  const drawn = panels.map((panel, index) => {
    const x = (index % 2) * (panelSize.width + panelSize.gap);
    const y = headHeight + Math.floor(index / 2) * (panelSize.height + panelSize.gap);
    return element('g', { transform: `translate(${x} ${y})` }, ...drawPanel(panel));
  });
  const height = headHeight + rows * (panelSize.height + panelSize.gap);
  return document(width, height, palette, [...heading(titles), drawLegend(names), ...drawn]);
}

function drawLegend(names: Record<Series | 'limit', string>): string {
  let x = 0;
  const entries = (['peer', 'batch', 'ours', 'limit'] as const).map((series) => {
    const mark =
      series === 'limit'
        ? element('line', { x1: x, x2: x + 12, y1: 60, y2: 60, class: 'limit', 'stroke-width': 2 })
        : element('rect', { x, y: 54, width: 12, height: 12, rx: 2, class: series });
    const label = text(names[series], { x: x + 18, y: 64, class: 'soft' });
    x += 34 + 6.6 * names[series].length; // about the width of a character at 12 px
    return mark + label;
  });
  return entries.join('');
}

function drawPanel({ title, groups }: Panel): string[] {
  const { width, height } = panelSize;
  const bottom = height - plotArea.bottom;
  const top = Math.max(...groups.flatMap(({ values, limit }) => [...Object.values(values), limit]));
  const toY = (value: number): number => bottom - (value / top) * (bottom - plotArea.top - 12);
  const groupWidth = width / groups.length;
  const drawn = groups.map((group, index) => drawGroup(group, (index + 0.5) * groupWidth, bottom, toY));
  return [
    text(title, { x: 0, y: 14, class: 'ink', style: 'font-weight:600' }),
    element('line', { x1: 0, x2: width, y1: bottom, y2: bottom, class: 'line' }),
    ...drawn.flat(),
  ];
}

function drawGroup({ label, values, limit }: Group, centre: number, bottom: number, toY: (value: number) => number) {
  const columns = (['peer', 'batch', 'ours'] as const).filter((series) => values[series] !== undefined);
  const left = centre - (columns.length * columnWidth) / 2;
  const drawn = columns.map((series, index) => {
    const value = values[series]!;
    const x = left + index * columnWidth;
    const y = labelY(toY(value), toY(limit));
    const label = { x: x + columnWidth / 2, y, 'text-anchor': 'middle', style: 'font-size:10px' };
    const shape = { x: x + 1, y: toY(value), width: columnWidth - 2, height: bottom - toY(value), rx: 2 };
    return element('rect', { ...shape, class: series }) + text(value.toFixed(0), { ...label, class: 'soft' });
  });
  const mark = { x1: left - 4, x2: left + columns.length * columnWidth + 4, y1: toY(limit), y2: toY(limit) };
  return [
    ...drawn,
    element('line', { ...mark, class: 'limit', 'stroke-width': 2 }),
    text(label, { x: centre, y: bottom + 17, 'text-anchor': 'middle', class: 'soft' }),
  ];
}

/** Above the column, and above the mark of the limit where that would cross it out. */
function labelY(columnY: number, limitY: number): number {
  const above = columnY - 4;
  const textHeight = 11;
  return limitY < above + 2 && limitY > above - textHeight ? limitY - 4 : above;
}

export interface Bar {
  label: string;
  value: number;
  /** What stands behind the bar. */
  note: string;
  series: Series;
}

const barSize = { height: 22, gap: 8, labels: 190, longest: 460, notes: 210 };

/** One bar below the other. */
export function barChart(titles: { title: string; subtitle: string }, bars: readonly Bar[]): string {
  const top = Math.max(...bars.map(({ value }) => value));
  const { height, gap, labels, longest, notes } = barSize;
  const drawn = bars.map(({ label, value, note, series }, index) => {
    const y = 56 + index * (height + gap);
    const width = (value / top) * longest;
    return [
      text(label, { x: labels - 10, y: y + 15, 'text-anchor': 'end', class: 'ink' }),
      element('rect', { x: labels, y, width, height, rx: 2, class: series }),
      text(note, { x: labels + width + 8, y: y + 15, class: 'soft' }),
    ].join('');
  });
  const bottom = 56 + bars.length * (height + gap);
  return document(labels + longest + notes, bottom, palette, [...heading(titles), ...drawn]);
}
