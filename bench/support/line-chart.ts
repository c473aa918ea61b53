// Lines in panels: one line per series, and a dashed line for the bound of each panel.
import { document, element, heading, type Palette, text } from './svg.js';

export interface Line {
  /** One of the chart's series. */
  series: string;
  points: readonly { x: number; y: number }[];
}

export interface LinePanel {
  title: string;
  lines: readonly Line[];
  /** Drawn across; the axis ends at three times as much, and lines leave the panel there. */
  bound: number;
}

export interface Series {
  name: string;
  light: string;
  dark: string;
}

export interface LineTitles {
  title: string;
  subtitle: string;
  x: string;
  y: string;
}

const panelSize = { width: 400, height: 240, gap: 40 };
const headHeight = 92;
const plotArea = { left: 44, top: 24, bottom: 40 };
/** The axis in bounds. */
const boundsHigh = 3;
const ticks = 4;

/** Panels in two columns, each with its own scales from zero. */
export function lineChart(titles: LineTitles, series: readonly Series[], panels: readonly LinePanel[]): string {
  const width = 2 * (panelSize.width + panelSize.gap);
  const drawn = panels.map((panel, index) => {
    const x = (index % 2) * (panelSize.width + panelSize.gap);
    const y = headHeight + Math.floor(index / 2) * (panelSize.height + panelSize.gap);
    return element('g', { transform: `translate(${x} ${y})` }, ...drawPanel(panel, titles, series));
  });
  const rows = Math.ceil(panels.length / 2);
  const height = headHeight + rows * (panelSize.height + panelSize.gap);
  return document(width, height, toPalette(series), [...heading(titles), drawLegend(series), ...drawn]);
}

function toPalette(series: readonly Series[]): Palette {
  const colours = (ground: 'light' | 'dark') =>
    Object.fromEntries(series.map((entry, index) => [`s${index}`, entry[ground]]));
  return { light: colours('light'), dark: colours('dark') };
}

function drawLegend(series: readonly Series[]): string {
  let x = 0;
  const entries = series.map(({ name }, index) => {
    const mark = element('line', { x1: x, x2: x + 16, y1: 60, y2: 60, class: `s${index}`, 'stroke-width': 2 });
    const label = text(name, { x: x + 22, y: 64, class: 'soft' });
    x += 40 + 6.6 * name.length; // about the width of a character at 12 px
    return mark + label;
  });
  return entries.join('');
}

function drawPanel({ title, lines, bound }: LinePanel, titles: LineTitles, series: readonly Series[]): string[] {
  const bottom = panelSize.height - plotArea.bottom;
  const right = Math.max(...lines.flatMap(({ points }) => points.map(({ x }) => x)));
  const top = boundsHigh * bound;
  const toX = (x: number): number => plotArea.left + (x / right) * (panelSize.width - plotArea.left);
  const toY = (y: number): number => bottom - (y / top) * (bottom - plotArea.top);
  const drawn = lines.map(({ series: name, points }) => {
    const path = clip(points, top).map(({ x, y }) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`);
    const place = series.findIndex((entry) => entry.name === name);
    return element('polyline', { points: path.join(' '), class: `s${place}`, 'stroke-width': 2, style: 'fill:none' });
  });
  return [
    text(title, { x: 0, y: 14, class: 'ink', style: 'font-weight:600' }),
    ...drawAxes({ right, top, bottom, toX, toY }, titles),
    element('line', {
      x1: plotArea.left,
      x2: panelSize.width,
      y1: toY(bound),
      y2: toY(bound),
      class: 'soft',
      'stroke-dasharray': '4 4',
    }),
    ...drawn,
  ];
}

interface Scales {
  right: number;
  top: number;
  bottom: number;
  toX(x: number): number;
  toY(y: number): number;
}

function drawAxes({ right, top, bottom, toX, toY }: Scales, titles: LineTitles): string[] {
  const marks = Array.from({ length: ticks + 1 }, (_, index) => index / ticks);
  const middle = (plotArea.left + panelSize.width) / 2;
  return [
    ...marks.map((share) =>
      text(format(share * right), { x: toX(share * right), y: bottom + 16, 'text-anchor': 'middle', class: 'soft' }),
    ),
    ...marks.map((share) =>
      text(format(share * top), { x: plotArea.left - 6, y: toY(share * top) + 4, 'text-anchor': 'end', class: 'soft' }),
    ),
    ...marks.map((share) =>
      element('line', {
        x1: plotArea.left,
        x2: panelSize.width,
        y1: toY(share * top),
        y2: toY(share * top),
        class: 'line',
      }),
    ),
    text(titles.x, { x: middle, y: bottom + 34, 'text-anchor': 'middle', class: 'soft' }),
    text(titles.y, { x: panelSize.width, y: 14, 'text-anchor': 'end', class: 'soft' }),
  ];
}

const format = (value: number): string => (value >= 10 ? value.toFixed(0) : value.toPrecision(2));

/** Up to where the line leaves the panel. */
function clip(points: readonly { x: number; y: number }[], top: number): { x: number; y: number }[] {
  const outside = points.findIndex(({ y }) => y > top);
  if (outside < 0) return [...points];
  const kept = points.slice(0, outside);
  const [before, after] = [kept.at(-1), points[outside]!];
  if (before === undefined) return [];
  const share = (top - before.y) / (after.y - before.y);
  return [...kept, { x: before.x + share * (after.x - before.x), y: top }];
}
