const COLOURS: Record<string, string> = {
  purple: '#7b4fa3',
  yellow: '#f2c230',
  orange: '#ee8426',
  silver: '#b8bec6',
  golden: '#d9a520',
  red: '#cf3a32',
  blue: '#3a6fcf',
  green: '#3f9a52',
  white: '#f5f3ee',
  black: '#2b2b2f',
  rusty: '#a5532b',
  wooden: '#9a6b3f',
  frozen: '#a8d4e6',
  velvet: '#7d1f3c',
  spotted: '#c9a36a',
  striped: '#d2813c',
};

const GROUNDS: Record<string, [sky: string, ground: string]> = {
  desert: ['#f7d9a0', '#d9a866'],
  jungle: ['#bfe3c0', '#2f7d3b'],
  snowstorm: ['#dfe8ef', '#ffffff'],
  lagoon: ['#bfe6f2', '#3fa7b5'],
  swamp: ['#c3ccb0', '#5a6b3c'],
  subway: ['#6b6f78', '#3c3f46'],
  village: ['#cfe6f7', '#8fb56a'],
  canyon: ['#f3c9a0', '#b5623a'],
};

/** Draws a prompt as an SVG picture of 320 × 240: sky, ground and a figure whose colour and shape the words decide. */
export function drawPicture(prompt: string): string {
  const words = prompt.toLowerCase().match(/[a-z]+/g) ?? [];
  const random = randomFrom(prompt);
  const [sky, ground] = words.map((word) => GROUNDS[word]).find((pair) => pair !== undefined) ?? ['#cfe6f7', '#8fb56a'];
  const colour =
    words.map((word) => COLOURS[word]).find((c) => c !== undefined) ?? `hsl(${range(random, 0, 360)} 55% 50%)`;
  const hills = Array.from({ length: 4 }, () =>
    ellipse(range(random, 0, 320), 195, range(random, 60, 140), 35, ground),
  );
  return [
    '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="240" viewBox="0 0 320 240">',
    `<title>${escapeXml(prompt)}</title>`,
    `<rect width="320" height="240" fill="${sky}"/>`,
    `<circle cx="${range(random, 30, 290)}" cy="45" r="22" fill="#fff2b0"/>`,
    ...hills,
    `<rect y="190" width="320" height="50" fill="${ground}"/>`,
    ...figure(random, colour),
    '</svg>',
    '',
  ].join('\n');
}

/** A creature: body, legs, head, ears and an eye. */
function figure(random: () => number, colour: string): string[] {
  const x = range(random, 110, 190);
  const length = range(random, 38, 62);
  const height = range(random, 22, 36);
  const head = { x: x + length, y: 165 - height };
  const legs = [-0.6, -0.3, 0.3, 0.6].map(
    (part) => `<rect x="${Math.round(x + part * length)}" y="165" width="7" height="42" rx="3" fill="${colour}"/>`,
  );
  const ears = [-9, 9].map((side) => ellipse(head.x + side, head.y - 20, 5, range(random, 8, 20), colour));
  return [
    ...legs,
    ellipse(x, 165, length, height, colour),
    ...ears,
    ellipse(head.x, head.y, 20, 18, colour),
    ellipse(head.x + 7, head.y - 4, 4, 4, '#1d1d1f'),
  ];
}

function ellipse(x: number, y: number, rx: number, ry: number, fill: string): string {
  return `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${ry}" fill="${fill}"/>`;
}

function range(random: () => number, low: number, high: number): number {
  return Math.round(low + random() * (high - low));
}

/** A small generator (mulberry32) seeded by the text, so that a prompt always gives the same picture. */
function randomFrom(text: string): () => number {
  let state = [...text].reduce((sum, character) => (Math.imul(sum, 31) + character.codePointAt(0)!) | 0, 7);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
