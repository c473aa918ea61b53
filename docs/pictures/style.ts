// What the pictures of the documentation have in common: the colours of dispositions and policies, scales, and small shapes.
import { policySeries } from '../../bench/plot.js';
import { element, type Palette, text } from '../../bench/support/svg.js';

function coloursOn(ground: 'light' | 'dark'): Record<string, string> {
  return Object.fromEntries(policySeries.map((series) => [series.name, series[ground]]));
}

/** A class for each policy; those of preserve, swap and discard stand for the dispositions as well. */
export const palette: Palette = { light: coloursOn('light'), dark: coloursOn('dark') };

export const width = 848;

export interface Point {
  x: number;
  y: number;
}

/** From one range to another. */
export function scale(from: readonly [number, number], to: readonly [number, number]): (value: number) => number {
  return (value) => to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);
}

const path = (points: readonly Point[]): string =>
  points.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');

/** Filled, a little see-through, so that text on it stays legible. */
export function area(points: readonly Point[], colour: string): string {
  return element('polygon', { points: path(points), class: colour, 'fill-opacity': 0.3, 'stroke-width': 1 });
}

export function line(points: readonly Point[], colour: string, dashes?: string): string {
  const dashed = dashes === undefined ? {} : { 'stroke-dasharray': dashes };
  return element('polyline', {
    points: path(points),
    class: colour,
    style: 'fill:none',
    'stroke-width': 2,
    ...dashed,
  });
}

/** A box with its label in the middle. */
export function box(place: Point & { width: number; height: number }, colour: string, label = ''): string {
  const { x, y, width: wide, height } = place;
  const corners = [
    { x, y },
    { x: x + wide, y },
    { x: x + wide, y: y + height },
    { x, y: y + height },
  ];
  const middle = { x: x + wide / 2, y: y + height / 2 + 4 };
  return area(corners, colour) + (label === '' ? '' : note(label, middle, 'middle', 'ink'));
}

export function note(
  content: string,
  at: Point,
  anchor: 'start' | 'middle' | 'end' = 'start',
  colour: 'ink' | 'soft' = 'soft',
): string {
  return text(content, { ...at, 'text-anchor': anchor, class: colour });
}

/** Numbers below a horizontal axis. */
export function ticks(values: readonly number[], unit: string, toX: (value: number) => number, y: number): string {
  return values
    .map(
      (value, index) =>
        element('line', { x1: toX(value), x2: toX(value), y1: y, y2: y + 4, class: 'soft' }) +
        note(`${value}${index === values.length - 1 ? ` ${unit}` : ''}`, { x: toX(value), y: y + 17 }, 'middle'),
    )
    .join('');
}
