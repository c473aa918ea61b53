// Just enough SVG for charts. Colours are classes, so that a chart suits light and dark pages alike.

export type Attributes = Record<string, string | number>;

/** An element; children are elements or what `text` returns. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(format(value))}"`);
  const head = `<${name}${list.join('')}`;
  return children.length === 0 ? `${head}/>` : `${head}>${children.join('')}</${name}>`;
}

export function text(content: string, attributes: Attributes): string {
  return element('text', attributes, escaped(content));
}

export interface Palette {
  light: Record<string, string>;
  dark: Record<string, string>;
}

/** Of what every picture has: text, less important text, lines, and the ground. */
export const neutral: Palette = {
  light: { ink: '#1f2328', soft: '#59636e', line: '#d1d9e0', ground: '#ffffff' },
  dark: { ink: '#f0f6fc', soft: '#9198a1', line: '#3d444d', ground: '#0d1117' },
};

/** Around the picture, so that nothing touches the end of its ground. */
const margin = 16;

/** Title and subtitle, in the first 44 pixels. */
export function heading({ title, subtitle }: { title: string; subtitle: string }): string[] {
  return [
    text(title, { x: 0, y: 18, class: 'ink', style: 'font-size:16px;font-weight:600' }),
    text(subtitle, { x: 0, y: 38, class: 'soft' }),
  ];
}

/** A whole document, on a ground of its own: pages differ; `palette` gives each further class its colour. */
export function document(width: number, height: number, palette: Palette, children: readonly string[]): string {
  const rules = (colours: Record<string, string>): string =>
    Object.entries(colours)
      .map(([name, colour]) => `.${name}{fill:${colour};stroke:${colour}}`)
      .join('');
  const style = [
    'text{font:12px system-ui,sans-serif;stroke:none!important}',
    'rect{stroke:none!important}',
    rules({ ...neutral.light, ...palette.light }),
    `@media (prefers-color-scheme:dark){${rules({ ...neutral.dark, ...palette.dark })}}`,
  ].join('\n');
  const frame = { width: width + 2 * margin, height: height + 2 * margin };
  const viewBox = [-margin, -margin, frame.width, frame.height].join(' ');
  const ground = element('rect', { x: -margin, y: -margin, ...frame, class: 'ground' });
  const lines = [ground, ...children].map((child) => `\n${child}`);
  return `${element('svg', { xmlns: 'http://www.w3.org/2000/svg', viewBox, ...frame }, element('style', {}, style), ...lines)}\n`;
}

/** Pixels need no more than a tenth. */
function format(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 10) / 10) : value;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
