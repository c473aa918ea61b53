// Our engine beside node-llama-cpp on the same file (random weights, 1.1 billion parameters), in turns in one process: medians
// and their ratios, per type of weights. Beside both: llama.cpp's own batches, and what the machine allows.
import { cpus } from 'node:os';
import { seededRandom } from '../lib/random.js';
import type { ModelWeights } from './make-model.js';
import { casesOf } from './peer/cases.js';
import { loadInfercept } from './peer/infercept.js';
import { decodeLimit, type MachineLimits, prefillLimit } from './peer/limits.js';
import { type Comparison, compareContexts, comparePrefill, type Pair } from './peer/measure.js';
import { loadNodeLlamaCpp, peerName } from './peer/node-llama-cpp.js';
import type { Bench } from './run.js';
import { modelFile, stepBytes, toModelWeights } from './support/model-files.js';
import { runNative } from './support/native.js';
import type { BenchOptions, ExtraOption } from './support/options.js';
import { round } from './support/statistics.js';

export const extras: readonly ExtraOption[] = ['types'];

const defaultTypes = ['q4_0', 'q4_k', 'q8_0', 'bf16'];

/** Of one case: what was measured, and what the machine allows. */
interface Cell extends Comparison {
  limitTokensPerSecond: number;
}

export const bench: Bench = async (options) => {
  const types = (options.types ?? (options.quick ? ['q4_k'] : defaultTypes)).map(toModelWeights);
  const limits = runNative(['limits'], options).limits as MachineLimits;
  console.log(`${cpus()[0]?.model}, ${options.threads} threads, infercept and ${peerName} in turns`);
  const ratios: Record<string, Record<string, number>> = {};
  const details: Record<string, unknown> = { limits };
  for (const [index, type] of types.entries()) {
    const cells = await compareType(type, options, limits, index === 0);
    ratios[type] = ratiosOf(cells);
    details[type] = cells;
  }
  return { ...ratios, threads: options.threads, details };
};

async function compareType(
  type: ModelWeights,
  options: BenchOptions,
  limits: MachineLimits,
  first: boolean,
): Promise<Record<string, Cell>> {
  const bytes = stepBytes(type);
  const limitOf = (contexts?: number): number =>
    contexts === undefined ? prefillLimit(type, limits) : decodeLimit(type, contexts, bytes, limits);
  const cases = casesOf(options, first);
  const cells: Record<string, Cell> = {};
  const add = (name: string, comparison: Comparison, contexts?: number): void => {
    cells[name] = { ...comparison, limitTokensPerSecond: round(limitOf(contexts)) };
    console.log(row(name, cells[name]));
  };
  console.log(`\n${head(type)}`);
  const pair = await load(modelFile(type), options.threads);
  try {
    const promptOf = makePrompts();
    add('prefill', await comparePrefill(pair, cases.prefill, promptOf));
    for (const contextCases of cases.contexts) await compareContexts(pair, contextCases, promptOf, add);
  } finally {
    await pair.ours.close();
    await pair.peer.close();
  }
  return cells;
}

/** Random tokens, never the same twice: no prefix cache helps. */
function makePrompts(): (tokens: number) => number[] {
  const random = seededRandom(1);
  return (tokens) => Array.from({ length: tokens }, () => 400 + Math.floor(random() * 30_000));
}

async function load(path: string, threads: number): Promise<Pair> {
  const ours = await loadInfercept(path, threads);
  return { ours, peer: await loadNodeLlamaCpp(path, threads) };
}

/** Ours over node-llama-cpp's, by case; and over llama.cpp's batches as `CASE_batch`. */
function ratiosOf(cells: Record<string, Cell>): Record<string, number> {
  const ratios: Record<string, number> = {};
  for (const [name, { ours, peer, batch }] of Object.entries(cells)) {
    ratios[name] = round(ours!.tokensPerSecond / peer!.tokensPerSecond);
    if (batch) ratios[`${name}_batch`] = round(ours!.tokensPerSecond / batch.tokensPerSecond);
  }
  return ratios;
}

const columns = [
  'infercept',
  'peer',
  'ratio',
  'llama.cpp batch',
  'ratio',
  'limit',
  'share',
  'processor ms, ours',
  'peer',
];
const widths = columns.map((column) => Math.max(column.length, 8) + 3);

function head(type: string): string {
  return `${type.padEnd(14)}${columns.map((column, index) => column.padStart(widths[index]!)).join('')}`;
}

function row(name: string, { ours, peer, batch, limitTokensPerSecond }: Cell): string {
  const [mine, theirs, batched] = [ours!.tokensPerSecond, peer!.tokensPerSecond, batch?.tokensPerSecond];
  const cells = [
    mine.toFixed(1),
    theirs.toFixed(1),
    (mine / theirs).toFixed(2),
    batched?.toFixed(1) ?? '',
    batched === undefined ? '' : (mine / batched).toFixed(2),
    limitTokensPerSecond.toFixed(1),
    `${Math.round((100 * mine) / limitTokensPerSecond)} %`,
    ours!.processorMs.toFixed(1),
    peer!.processorMs.toFixed(1),
  ];
  return `${name.padEnd(14)}${cells.map((cell, index) => cell.padStart(widths[index]!)).join('')}`;
}
