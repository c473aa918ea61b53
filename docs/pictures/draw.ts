// Draws the pictures of docs/scheduling.md beside this file: npx tsx docs/pictures/draw.ts (needs the package built)
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { drawings } from './drawings.js';
import { drawLoad } from './load.js';

for (const [name, draw] of Object.entries({ ...drawings, load: drawLoad })) {
  const path = fileURLToPath(new URL(`${name}.svg`, import.meta.url));
  writeFileSync(path, await draw());
  console.log(path);
}
