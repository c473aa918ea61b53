// Figures that are kept: bench/results/YYYY-MM-DD-NAME.json, with the machine that they were measured on.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Result {
  name: string;
  /** YYYY-MM-DD. */
  date: string;
  machine: { processor: string; cores: number; memoryGigabytes: number; platform: string; node: string };
  arguments: readonly string[];
  figures: Record<string, unknown>;
}

export const resultsFolder = fileURLToPath(new URL('../results', import.meta.url));

/** @returns the path of the file */
export function saveResult(name: string, args: readonly string[], figures: Record<string, unknown>): string {
  const processors = cpus();
  const result: Result = {
    name,
    date: new Date().toISOString().slice(0, 10),
    machine: {
      processor: processors[0]?.model ?? 'unknown',
      cores: processors.length,
      memoryGigabytes: Math.round(totalmem() / 2 ** 30),
      platform: `${process.platform}-${process.arch}`,
      node: process.version,
    },
    arguments: args,
    figures,
  };
  mkdirSync(resultsFolder, { recursive: true });
  const path = join(resultsFolder, `${result.date}-${name}.json`);
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  return path;
}

/** The newest result of a benchmark, if there is one. Dates in names sort as they should. */
export function newestResult<T = Result>(name: string, folder = resultsFolder): T | undefined {
  if (!existsSync(folder)) return undefined;
  const file = readdirSync(folder)
    .filter((entry) => /^\d{4}-\d\d-\d\d-/.test(entry) && entry.slice(11) === `${name}.json`)
    .sort()
    .at(-1);
  return file === undefined ? undefined : (JSON.parse(readFileSync(join(folder, file), 'utf8')) as T);
}
