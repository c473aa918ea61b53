// Charts as text: well-formed, to scale, and with everything that was given.
import { describe, expect, it } from 'vitest';
import { barChart, columnChart } from '../../bench/support/charts.js';
import { element, text } from '../../bench/support/svg.js';

const titles = { title: 'Title', subtitle: 'a & b' };
const names = { peer: 'theirs', batch: 'batches', ours: 'ours', limit: 'limit' };

const attributes = (svg: string, name: string, kind: string): number[] =>
  [...svg.matchAll(new RegExp(`<rect[^>]* ${name}="([\\d.]+)"[^>]* class="${kind}"`, 'g'))].map(([, value]) =>
    Number(value),
  );

/** Every element that is opened is closed, in order. */
function expectWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, closing, name, self] of svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)) {
    if (self) continue;
    if (closing) expect(open.pop()).toBe(name);
    else open.push(name!);
  }
  expect(open).toEqual([]);
  expect(svg).not.toMatch(/NaN|undefined/);
}

describe('svg', () => {
  it('escapes and rounds', () => {
    expect(element('rect', { x: 1.26, class: '"' })).toBe('<rect x="1.3" class="&quot;"/>');
    expect(text('a < b & c', {})).toBe('<text>a &lt; b &amp; c</text>');
  });
});

describe('charts', () => {
  it('draw columns to scale, and the limit as a line', () => {
    const panel = {
      title: 'Q4_K',
      groups: [
        { label: '1', values: { peer: 25, batch: 50, ours: 100 }, limit: 200 },
        { label: '8', values: { peer: 50, ours: 200 }, limit: 100 },
      ],
    };
    const svg = columnChart(titles, names, [panel]);
    expectWellFormed(svg);
    const [, first, second] = attributes(svg, 'height', 'ours'); // the first one is the legend's
    expect(second! / first!).toBeCloseTo(2, 1);
    expect(attributes(svg, 'height', 'batch')).toHaveLength(2);
    expect(svg.match(/<line[^>]* class="limit"/g)).toHaveLength(3);
    for (const label of ['Q4_K', 'Title', 'a &amp; b', 'theirs', 'batches']) expect(svg).toContain(`>${label}<`);
    expect(svg).toContain('prefers-color-scheme:dark');
  });

  it('draw bars to scale', () => {
    const svg = barChart(titles, [
      { label: 'peer', value: 5, note: '5.0', series: 'peer' },
      { label: 'ours', value: 40, note: '40.0', series: 'ours' },
    ]);
    expectWellFormed(svg);
    expect(attributes(svg, 'width', 'ours')[0]! / attributes(svg, 'width', 'peer')[0]!).toBeCloseTo(8, 1);
    expect(svg).toContain('>40.0<');
  });
});
