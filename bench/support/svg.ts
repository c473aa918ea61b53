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

/** A whole document on a transparent ground; `palette` gives each class its colour. */
export function document(width: number, height: number, palette: Palette, children: readonly string[]): string {
  const rules = (colours: Record<string, string>): string =>
    Object.entries(colours)
      .map(([name, colour]) => `.${name}{fill:${colour};stroke:${colour}}`)
      .join('');
  const style = [
    'text{font:12px system-ui,sans-serif;stroke:none!important}',
    'rect{stroke:none!important}',
    rules(palette.light),
    `@media (prefers-color-scheme:dark){${rules(palette.dark)}}`,
  ].join('\n');
  const attributes = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height };
  return `${element('svg', attributes, element('style', {}, style), ...children.map((child) => `\n${child}`))}\n`;
}

/** Pixels need no more than a tenth. */
function format(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 10) / 10) : value;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
