// Makes a fresh clone ready: npm packages, the native addon, the TypeScript build. Does only what is out of date.
// Options: --tests also builds the native tests, --bench the native benchmarks.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

function fail(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}

function run(title, command, args) {
  const started = Date.now();
  process.stderr.write(`setup: ${title} ... `);
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    shell: process.platform === 'win32',
  });
  if (result.status !== 0) {
    process.stderr.write('failed\n');
    fail(`\`${command} ${args.join(' ')}\` failed:\n${result.stdout ?? ''}\n${result.stderr ?? result.error ?? ''}`);
  }
  process.stderr.write(`${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

function has(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Newest modification time below a path, in ms; 0 when it does not exist. */
function newest(path) {
  if (!existsSync(path)) return 0;
  const status = statSync(path);
  if (!status.isDirectory()) return status.mtimeMs;
  return Math.max(status.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

if (newest('node_modules/.package-lock.json') < newest('package-lock.json')) {
  // Not `npm ci`: it insists on optional packages of other platforms, which some registries do not have.
  run('installing npm packages', 'npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']);
}

const compiler = process.env.CXX ?? ['g++', 'clang++', 'c++'].find(has);
if (!compiler || !has(compiler)) fail('no C++20 compiler was found; install one, e.g. `apt-get install g++`.');
if (!has('cmake')) fail('cmake 3.24 or newer was not found; install it, e.g. `apt-get install cmake make`.');
if (!has('make') && !has('ninja')) fail('neither make nor ninja was found; install one, e.g. `apt-get install make`.');

const options = [];
if (process.argv.includes('--tests')) options.push('--CDINFERCEPT_TESTS=ON');
if (process.argv.includes('--bench')) options.push('--CDINFERCEPT_BENCH=ON');
const cmakeJs = join('node_modules', 'cmake-js', 'bin', 'cmake-js');
if (options.length > 0 || !existsSync('build/CMakeCache.txt')) {
  run('configuring the addon', process.execPath, [cmakeJs, 'configure', ...options]);
}
run('building the addon', process.execPath, [cmakeJs, 'build', '-p', '2']);

if (existsSync('lib/index.ts') && newest('dist/index.d.cts') < Math.max(newest('lib'), newest('package.json'))) {
  run('building the TypeScript library', process.execPath, [join('node_modules', 'tsup', 'dist', 'cli-default.js')]);
}
