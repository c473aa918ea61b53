// What an engine does to the process around it: it neither holds it back when idle nor lets it go in the middle of a run.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Ended {
  code: number | null;
  output: string;
}

/** Runs a module in a process of its own. */
function run(source: string, args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [...args, '-e', source], { cwd: root, timeout: 30_000 });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += String(data)));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}

const typescript = (body: string): Promise<Ended> =>
  run(
    `import { Engine } from './lib/index.ts';
     const engine = await Engine.load('demo', { threads: 1 });
     ${body}`,
    ['--import', 'tsx', '--input-type=module'],
  );

/** Prints how many threads of the process may run on fewer processors than its main thread. */
const pinnedThreads = (options: string): Promise<Ended> =>
  run(
    `import { readdirSync, readFileSync } from 'node:fs';
     import { Engine } from './lib/index.ts';
     const engine = await Engine.load('demo', ${options});
     const processors = (task) => /Cpus_allowed_list:.*/.exec(readFileSync('/proc/self/task/' + task + '/status', 'utf8'))[0];
     const main = processors(process.pid);
     console.log(readdirSync('/proc/self/task').filter((task) => processors(task) !== main).length);
     engine.dispose();`,
    ['--import', 'tsx', '--input-type=module'],
  );

describe('the process', () => {
  it('ends by itself when the engine is idle, disposed or not', async () => {
    const { code, output } = await typescript(
      `await engine.generate({ prompt: 'Hello', maxTokens: 3 }); console.log('end');`,
    );
    expect(output).toBe('end\n');
    expect(code).toBe(0);
  });

  it('stays while a run is active', async () => {
    const { code, output } = await typescript(
      `engine.generate({ prompt: 'Hello', maxTokens: 20 }).then(({ tokens }) => console.log(tokens.length > 0));`,
    );
    expect(output).toBe('true\n');
    expect(code).toBe(0);
  });

  it('may exit in the middle of one', async () => {
    const { code, output } = await typescript(
      `engine.generate({ prompt: 'Hello', maxTokens: 400 }); setTimeout(() => process.exit(7), 5);`,
    );
    expect(output).toBe('');
    expect(code).toBe(7);
  });

  // With one processor, pinned or not is the same.
  it.runIf(platform === 'linux' && availableParallelism() > 1)(
    'keeps the threads of an engine in place if asked to',
    async () => {
      expect((await pinnedThreads('{ threads: 3, pinThreads: true }')).output).toBe('2\n');
      expect((await pinnedThreads('{ threads: 3 }')).output).toBe('0\n');
    },
  );

  it('may exit while a model is being loaded', async () => {
    const { code } = await typescript(`void Engine.load('demo'); setTimeout(() => process.exit(8), 50);`);
    expect(code).toBe(8);
  });
});

describe('the package', () => {
  const check = `
    const { Engine, defineTool, InferceptError } = lib;
    try { await Engine.load('no/such/model.gguf'); } catch (error) { console.log(InferceptError.isInstance(error), error.code); }
    const engine = await Engine.load('demo', { threads: 1 });
    console.log((await engine.generate({ prompt: 'Hello', maxTokens: 2 })).tokens.length > 0);
    await engine.dispose();`;

  it('is built', () => {
    expect(existsSync(`${root}/dist/index.cjs`), 'run `npm run build` first').toBe(true);
  });

  it('loads as an ES module', async () => {
    const { output } = await run(`const lib = await import('infercept'); ${check}`, ['--input-type=module']);
    expect(output).toBe('true ERR_MODEL_NOT_FOUND\ntrue\n');
  });

  it('loads as a CommonJS module', async () => {
    const { output } = await run(`(async () => { const lib = require('infercept'); ${check} })();`, [
      '--input-type=commonjs',
    ]);
    expect(output).toBe('true ERR_MODEL_NOT_FOUND\ntrue\n');
  });

  const decide = `
    const core = new PolicyCore({ policy: 'discard', profile: profiles['h200-llama3-8b'] });
    const paused = [{ id: 'a', tokens: 100, deviceBlocks: 7, elapsedSeconds: 1 }];
    const [{ id, disposition, blocks }] = core.decide({ paused, load: { shortageBlocks: 0, runningTokens: 0 } });
    console.log(id, disposition, blocks);`;

  it('has the policy alone, as an ES module', async () => {
    const source = `import { PolicyCore, profiles } from 'infercept/policy'; ${decide}`;
    expect(await run(source, ['--input-type=module'])).toEqual({ code: 0, output: 'a discard 7\n' });
  });

  it('has the policy alone, as a CommonJS module', async () => {
    const source = `const { PolicyCore, profiles } = require('infercept/policy'); ${decide}`;
    expect(await run(source, ['--input-type=commonjs'])).toEqual({ code: 0, output: 'a discard 7\n' });
  });

  it('says what it tried when there is no addon', async () => {
    const source = `import { Engine } from 'infercept';
      await Engine.load('demo', { nativeBinding: '/nowhere/infercept.node' }).catch((error) => console.log(error.code, error.message));`;
    const { output } = await run(source, ['--input-type=module']);
    expect(output).toMatch(/^ERR_NATIVE_NOT_FOUND [\s\S]*\/nowhere\/infercept\.node[\s\S]*npm run build/);
  });
});
