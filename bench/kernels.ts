// Each kernel beside the machine's limit, and the whole forward pass: runs the native benchmark (bench/native).
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Bench } from './run.js';

const root = fileURLToPath(new URL('..', import.meta.url));

export const bench: Bench = async ({ quick, threads }) => {
  run(process.execPath, ['.ci/setup.mjs', '--bench']);
  const options = ['--json', '--threads', String(threads), ...(quick ? ['--quick'] : [])];
  const figures = ['kernels', 'model'].map((name) => {
    const lines = run('build/infercept_bench', [name, ...options])
      .trimEnd()
      .split('\n');
    const last = lines.pop() ?? '{}';
    console.log(lines.join('\n'));
    return [name, JSON.parse(last)];
  });
  return Object.fromEntries(figures);
};

function run(command: string, args: string[]): string {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')} ended with status ${status}`);
  return stdout;
}
