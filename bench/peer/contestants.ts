// Both libraries behind one small interface: complete so many prompts at once, greedily.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Engine } from 'infercept';

export interface Contestant {
  name: string;
  /** Processes each prompt and samples `newTokens` tokens after it, all prompts at the same time. */
  complete(prompts: readonly number[][], newTokens: number): Promise<void>;
  close(): Promise<void>;
}

const contextTokens = 1024;
const sequencesMax = 8;

export async function loadInfercept(model: string, threads: number): Promise<Contestant> {
  const engine = await Engine.load(model, { device: 'cpu', threads, contextTokens, kvCache: { prefixCache: false } });
  return {
    name: 'infercept',
    async complete(prompts, newTokens) {
      const runs = prompts.map((tokens) => engine.generate({ tokens, maxTokens: newTokens }));
      for (const { usage } of await Promise.all(runs)) expectTokens(usage.completionTokens, newTokens);
    },
    close: async () => engine.dispose(),
  };
}

const peerVersion = '3.22.1';

/** The part of node-llama-cpp's interface that is used here. */
interface NodeLlamaCpp {
  getLlama(options: { gpu: false; build: 'never'; logLevel: string; maxThreads: number }): Promise<{
    loadModel(options: { modelPath: string; gpuLayers: number }): Promise<{
      createContext(options: {
        contextSize: number;
        sequences: number;
        threads: number;
        batchSize: number;
      }): Promise<{ getSequence(): Sequence }>;
    }>;
    dispose(): Promise<void>;
  }>;
}

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: { temperature: number; yieldEogToken: boolean }): AsyncIterable<number>;
}

/** Installs the package below `folder` first, unless it is there. */
export async function loadNodeLlamaCpp(modelPath: string, threads: number, folder: string): Promise<Contestant> {
  const { getLlama } = await importPeer(folder);
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
  // contextSize is per sequence.
  const context = await model.createContext({
    contextSize: contextTokens,
    sequences: sequencesMax,
    threads,
    batchSize: 512,
  });
  const sequences = Array.from({ length: sequencesMax }, () => context.getSequence());
  return {
    name: `node-llama-cpp ${peerVersion}`,
    async complete(prompts, newTokens) {
      await Promise.all(prompts.map((tokens, index) => completeOne(sequences[index]!, tokens, newTokens)));
    },
    close: () => llama.dispose(),
  };
}

async function completeOne(sequence: Sequence, tokens: number[], newTokens: number): Promise<void> {
  await sequence.clearHistory();
  let count = 0;
  for await (const _ of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    if (++count === newTokens) break;
  }
  expectTokens(count, newTokens);
}

async function importPeer(folder: string): Promise<NodeLlamaCpp> {
  const home = join(folder, `node-llama-cpp-${peerVersion}`);
  const entry = join(home, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  if (!existsSync(entry)) install(home);
  return (await import(pathToFileURL(entry).href)) as NodeLlamaCpp;
}

function install(home: string): void {
  console.log(`installing node-llama-cpp ${peerVersion} into ${home}`);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'package.json'), '{ "private": true }\n');
  // Without a GPU's binaries, which take 700 MB, where the name of the plain one is known.
  const platform = process.platform === 'linux' ? [`@node-llama-cpp/linux-${process.arch}@${peerVersion}`] : [];
  const omit = platform.length > 0 ? ['--omit=optional'] : [];
  const args = [
    'install',
    `node-llama-cpp@${peerVersion}`,
    ...platform,
    ...omit,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ];
  const { status, stderr } = spawnSync('npm', args, {
    cwd: home,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed:\n${stderr}`);
}

function expectTokens(actual: number, expected: number): void {
  if (actual !== expected) throw new Error(`${actual} tokens were sampled instead of ${expected}`);
}
