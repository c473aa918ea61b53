// npm run bench -- NAME [options]: runs bench/NAME.ts. With --json, the last line printed is one JSON object.
import { existsSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BenchOptions, type ExtraOption, readOptions, UsageError } from './support/options.js';
import { saveResult } from './support/results.js';

/** Prints a table; resolves to the same figures. */
export type Bench = (options: BenchOptions) => Promise<Record<string, unknown>>;

interface BenchModule {
  bench: Bench;
  /** Options that it takes beside those that all take. */
  extras?: readonly ExtraOption[];
}

const isBench = (file: string): boolean => /^[a-z]+\.ts$/.test(file) && file !== 'run.ts';

async function main([name = '', ...args]: string[]): Promise<void> {
  const file = `${name}.ts`;
  if (!isBench(file) || !existsSync(fileURLToPath(new URL(file, import.meta.url)))) {
    const names = readdirSync(new URL('.', import.meta.url)).filter(isBench);
    const known = `names: ${names.map((entry) => basename(entry, '.ts')).join(', ')}`;
    throw new UsageError(`usage: npm run bench -- NAME [options]\n${known}`);
  }
  const { bench, extras } = (await import(`./${name}.ts`)) as BenchModule;
  const options = readOptions(name, args, extras);
  const figures = await bench(options);
  if (options.save) console.log(`saved as ${saveResult(name, args, figures)}`);
  if (options.json) console.log(JSON.stringify(figures));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
