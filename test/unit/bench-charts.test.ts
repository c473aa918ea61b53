// Charts as text: well-formed, to scale, and with everything that was given.
import { describe, expect, it } from 'vitest';
import { drawDevice } from '../../bench/plot.js';
import { barChart, columnChart } from '../../bench/support/charts.js';
import { lineChart } from '../../bench/support/line-chart.js';
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

describe('line charts', () => {
  const series = [
    { name: 'one', light: '#000', dark: '#fff' },
    { name: 'two', light: '#111', dark: '#eee' },
  ];
  const line = (name: string, ys: number[]) => ({ series: name, points: ys.map((y, index) => ({ x: index + 1, y })) });
  const draw = (...lines: ReturnType<typeof line>[]) =>
    lineChart({ ...titles, x: 'load', y: 'latency' }, series, [{ title: 'Panel', bound: 10, lines }]);
  const points = (svg: string) =>
    [...svg.matchAll(/<polyline points="([^"]*)"/g)].map(([, list]) =>
      list!.split(' ').map((pair) => pair.split(',').map(Number)),
    );

  it('draw points to scale and the bound across', () => {
    const svg = draw(line('one', [0, 10, 20]), line('two', [5, 5, 5]));
    expectWellFormed(svg);
    const [first, second] = points(svg);
    const [zero, ten, twenty] = first!.map(([, y]) => y!);
    expect(zero! - ten!).toBeCloseTo(ten! - twenty!, 0);
    expect(zero! - second![0]![1]!).toBeCloseTo((zero! - ten!) / 2, 0);
    expect(svg).toMatch(new RegExp(`y1="${ten}"[^>]*stroke-dasharray`));
    for (const label of ['Panel', 'load', 'latency', 'one', 'two']) expect(svg).toContain(`>${label}<`);
  });

  it('end lines where they leave the panel, at three times the bound', () => {
    const [path] = points(draw(line('one', [10, 50, 90])));
    expect(path).toHaveLength(2);
    // From 10 to 50: 30 is half way between the first two of three places.
    expect(path![1]![0]! - path![0]![0]!).toBeCloseTo((400 - 44) / 6, 0);
  });
});

describe('what a device did', () => {
  const served = (p50: number) => ({ latencyMs: { p50 } });
  const loads = [1, 2].map((rate) => ({ rate, real: served(4 * rate), simulated: served(3 * rate) }));
  const policies = { machine: 'gpt-j-6b', boundMs: 9, policies: { adaptive: { loads }, swap: { loads } } };

  it('is drawn beside what was predicted', () => {
    const svg = drawDevice({ date: '2026-01-02T03:04:05Z', machine: { gpu: 'a GPU' }, parts: { policies } });
    expectWellFormed(svg);
    expect(svg).toContain('gpt-j-6b, a GPU');
    expect(svg).toContain('measured');
    expect(svg).toContain('simulated');
    const points = [...svg.matchAll(/<polyline[^>]* points="([^"]+)"/g)].map(([, text]) => text);
    expect(new Set(points).size).toBe(2);
    expect(points).toHaveLength(4);
  });
});
