// Runs the native benchmarks (bench/native), built on demand.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from './options.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Prints the tables of the native benchmarks with these names; their figures by name. */
export function runNative<Name extends string>(
  names: readonly Name[],
  { quick, threads }: Pick<BenchOptions, 'quick' | 'threads'>,
): Record<Name, unknown> {
  run(process.execPath, ['.ci/setup.mjs', '--bench']);
  const options = ['--json', '--threads', String(threads), ...(quick ? ['--quick'] : [])];
  const figures = names.map((name) => {
    const lines = run('build/infercept_bench', [name, ...options])
      .trimEnd()
      .split('\n');
    const last = lines.pop() ?? '{}';
    console.log(lines.join('\n'));
    return [name, JSON.parse(last)];
  });
  return Object.fromEntries(figures);
}

function run(command: string, args: string[]): string {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')} ended with status ${status}`);
  return stdout;
}
