// node-llama-cpp: through its public interface as its users have it, and llama.cpp's batches beneath it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { benchFolder } from '../support/model-files.js';
import { type Contestant, type Contexts, contextTokensMax, sampleTokens } from './contestant.js';

const peerVersion = '3.22.1';

export const peerName = `node-llama-cpp ${peerVersion}`;

/** The part of the library's interface that is used here. */
export interface PeerModel {
  createContext(options: ContextOptions): Promise<PeerContext>;
  dispose(): Promise<void>;
}

interface ContextOptions {
  /** Of each sequence. */
  contextSize: number;
  sequences: number;
  threads: number;
  batchSize: number;
  flashAttention?: boolean;
  /** Elements of cached keys and values. Default: F16. */
  experimentalKvCacheKeyType?: string;
  experimentalKvCacheValueType?: string;
}

export interface PeerContext {
  getSequence(): PeerSequence;
  dispose(): Promise<void>;
  /** Not part of the public interface: the native context that the library's JavaScript wraps. */
  _ctx: NativeContext;
}

export interface PeerSequence {
  nextTokenIndex: number;
  clearHistory(): Promise<void>;
  adaptStateToTokens(tokens: readonly number[], allowShift?: boolean): Promise<void>;
  evaluate(tokens: readonly number[], options: EvaluateOptions): AsyncGenerator<number, void, undefined | number[]>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  /** Per token what was asked for. */
  controlledEvaluate(
    tokens: readonly [number, { generateNext: { logits: true } }][],
  ): Promise<{ next: { logits: Map<number, number> } }[]>;
  /** Not part of the public interface. */
  _sequenceId: number;
  _copyStateFromOtherSequence(other: PeerSequence, tokens: number): Promise<boolean>;
}

interface EvaluateOptions {
  temperature: number;
  yieldEogToken: boolean;
}

/** Greedy, and never at an end: random weights may well say that they are. */
export const scripted: EvaluateOptions = { temperature: 0, yieldEogToken: true };

interface NativeContext {
  setThreads(threads: number): void;
  initBatch(tokens: number): void;
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  removeTokenCellsFromSequence(sequence: number, begin: number, end: number): boolean;
}

interface Llama {
  loadModel(options: { modelPath: string; gpuLayers: number }): Promise<PeerModel>;
}

let llama: Promise<Llama> | undefined;

/** Installs the package first, unless it is there. The library is started once; models come and go. */
export async function loadPeerModel(modelPath: string, threads: number): Promise<PeerModel> {
  const { getLlama } = await importPeer(benchFolder());
  llama ??= getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
  return (await llama).loadModel({ modelPath, gpuLayers: 0 });
}

export async function loadNodeLlamaCpp(modelPath: string, threads: number): Promise<Contestant> {
  const model = await loadPeerModel(modelPath, threads);
  // 512 is the library's own default.
  const createContext = (contextSize: number, sequences: number): Promise<PeerContext> =>
    model.createContext({ contextSize, sequences, threads, batchSize: 512 });
  const prompts = await createContext(shortContextTokens, 1);
  const sequence = prompts.getSequence();
  return {
    name: peerName,
    async prefill(prompt) {
      await sequence.clearHistory();
      const tokens = sequence.evaluate(prompt, scripted);
      await tokens.next();
      await tokens.return();
    },
    async begin(list, onFirst) {
      const long = list[0]!.length > shortContextTokens / 2;
      const context = await createContext(long ? contextTokensMax : shortContextTokens, list.length);
      return begin(context, list, threads, onFirst);
    },
    close: () => model.dispose(),
  };
}

/** Room for a short prompt, and for all samples after it. */
const shortContextTokens = 512;

/** Only the first prompt is processed. The others' caches are copies: what is in them changes the cost of nothing. */
async function begin(
  context: PeerContext,
  prompts: readonly (readonly number[])[],
  threads: number,
  onFirst: () => void,
): Promise<Contexts> {
  const sequences = prompts.map(() => context.getSequence());
  const [prompt, first] = [prompts[0]!, sequences[0]!];
  await first.evaluateWithoutGeneratingNewTokens(prompt);
  onFirst();
  for (const sequence of sequences.slice(1)) {
    if (!(await sequence._copyStateFromOtherSequence(first, prompt.length))) throw new Error('the copy is incomplete');
  }
  const tokens = sequences.map((sequence) => sequence.evaluate([prompt[0]!], scripted));
  return {
    async decode(count) {
      await Promise.all(tokens.slice(0, count).map((iterator) => take(iterator, sampleTokens)));
    },
    decodeBatches: (count) => decodeBatches(context._ctx, sequences.slice(0, count), threads),
    async end() {
      for (const iterator of tokens) await iterator.return();
      await context.dispose();
    },
  };
}

async function take(tokens: AsyncIterator<number>, count: number): Promise<void> {
  for (let taken = 0; taken < count; taken++) {
    if ((await tokens.next()).done) throw new Error(`only ${taken} tokens were sampled instead of ${count}`);
  }
}

/** One native decode per step with all sequences in it; nothing is sampled. What it appends is removed again. */
async function decodeBatches(context: NativeContext, sequences: readonly PeerSequence[], threads: number) {
  context.setThreads(threads);
  const token = Uint32Array.of(1000);
  const firstLogits = Uint32Array.of(0);
  for (let step = 0; step < sampleTokens; step++) {
    context.initBatch(sequences.length);
    for (const { _sequenceId, nextTokenIndex } of sequences) {
      context.addToBatch(_sequenceId, nextTokenIndex + step, token, firstLogits);
    }
    await context.decodeBatch();
  }
  for (const { _sequenceId, nextTokenIndex } of sequences) {
    context.removeTokenCellsFromSequence(_sequenceId, nextTokenIndex, nextTokenIndex + sampleTokens);
  }
}

type GetLlama = (options: { gpu: false; build: 'never'; logLevel: string; maxThreads: number }) => Promise<Llama>;

async function importPeer(folder: string): Promise<{ getLlama: GetLlama }> {
  const home = join(folder, `node-llama-cpp-${peerVersion}`);
  const entry = join(home, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  if (!existsSync(entry)) install(home);
  return (await import(pathToFileURL(entry).href)) as { getLlama: GetLlama };
}

function install(home: string): void {
  console.log(`installing ${peerName} into ${home}`);
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
