// npm run bench -- NAME [--quick] [--json] [--threads N]: runs bench/NAME.ts. With --json, the last line printed is one JSON
// object.
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** What every benchmark takes. */
export interface BenchOptions {
  /** Ends within a minute. */
  quick: boolean;
  threads: number;
}

/** Prints a table; resolves to the same figures. */
export type Bench = (options: BenchOptions) => Promise<Record<string, unknown>>;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [name = ''] = positionals;
const fileOf = (bench: string): string => fileURLToPath(new URL(`./${bench}.ts`, import.meta.url));
if (!/^[a-z]+$/.test(name) || name === 'run' || !existsSync(fileOf(name))) {
  const names = readdirSync(new URL('.', import.meta.url)).filter(
    (file) => /^[a-z]+\.ts$/.test(file) && file !== 'run.ts',
  );
  console.error(`usage: npm run bench -- NAME [--quick] [--json] [--threads N]`);
  console.error(`names: ${names.map((file) => basename(file, '.ts')).join(', ')}`);
  process.exit(2);
}
const { bench } = (await import(`./${name}.ts`)) as { bench: Bench };
const figures = await bench({ quick: values.quick, threads: Number(values.threads) });
if (values.json) console.log(JSON.stringify(figures));
