// The pictures of the documentation are what the scheduler's code says today. If one differs: npx tsx docs/pictures/draw.ts
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { drawings } from '../../docs/pictures/drawings.js';

const committed = (name: string) => readFileSync(new URL(`../../docs/pictures/${name}.svg`, import.meta.url), 'utf8');

describe('pictures', () => {
  it.each(Object.keys(drawings))('%s is up to date', (name) => {
    expect(drawings[name]!()).toBe(committed(name));
  });
});
