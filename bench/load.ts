// Loading: how long until an engine serves, and how much memory that takes at most, beside the size of the file. Each load
// has a process of its own, whose peak the system counts (VmHWM: mapped pages of the file included); the file is in the
// page cache. `npx tsx bench/load.ts FILE THREADS` is one such process.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Bench } from './run.js';
import { modelFile } from './support/model-files.js';

interface Figures {
  /** Reading headers and vocabulary, packing weights, measuring costs, and all of it. */
  headersMs: number;
  weightsMs: number;
  calibrateMs: number;
  totalMs: number;
  /** Peaks of the process, in bytes: before, and after loading. */
  peakBefore: number;
  peak: number;
}

export const bench: Bench = async ({ quick, threads }) => {
  const model = modelFile('q8_0');
  const fileBytes = statSync(model).size;
  loadInProcess(model, threads); // fills the page cache
  const samples = Array.from({ length: quick ? 3 : 7 }, () => loadInProcess(model, threads));
  const best = samples.reduce((a, b) => (a.totalMs < b.totalMs ? a : b));
  const peakShare = (best.peak - best.peakBefore) / fileBytes;
  console.log(`${(fileBytes / 1e9).toFixed(2)} GB, ${threads} threads, the fastest of ${samples.length} loads`);
  const ms = (value: number): string => `${value.toFixed(0).padStart(6)} ms`;
  console.log(`headers and vocabulary ${ms(best.headersMs)}`);
  console.log(`weights                ${ms(best.weightsMs)}`);
  console.log(`calibration            ${ms(best.calibrateMs)}`);
  console.log(`in all                 ${ms(best.totalMs)}`);
  console.log(`peak memory            ${peakShare.toFixed(3).padStart(6)} x the file`);
  return { threads, ...best, fileBytes, peakShare };
};

function loadInProcess(model: string, threads: number): Figures {
  const script = fileURLToPath(import.meta.url);
  const { status, stdout, stderr } = spawnSync('npx', ['tsx', script, model, String(threads)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`loading ${model} ended with status ${status}: ${stderr}`);
  return JSON.parse(stdout) as Figures;
}

async function load(model: string, threads: number): Promise<Figures> {
  const { Engine } = await import('infercept');
  const peakBefore = peakBytes();
  const started = performance.now();
  const phases: Record<string, number> = {};
  const engine = await Engine.load(model, {
    threads,
    // Little KV: this is about weights.
    kvCache: { bytes: '64MB' },
    swap: { hostBytes: 0 },
    onProgress: ({ phase }) => {
      phases[phase] ??= performance.now();
    },
  });
  const ended = performance.now();
  const peak = peakBytes();
  await engine.dispose();
  const { weights = ended, calibrate = ended } = phases;
  return {
    headersMs: weights - started,
    weightsMs: calibrate - weights,
    calibrateMs: ended - calibrate,
    totalMs: ended - started,
    peakBefore,
    peak,
  };
}

/** The most memory that this process ever had. Linux only; elsewhere 0. */
function peakBytes(): number {
  if (!existsSync('/proc/self/status')) return 0;
  const [, kilobytes = '0'] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return 1024 * Number(kilobytes);
}

const [, script, model, threads] = process.argv;
if (script !== undefined && import.meta.url === pathToFileURL(script).href) {
  if (model === undefined) throw new Error('usage: tsx bench/load.ts FILE [THREADS]');
  console.log(JSON.stringify(await load(model, Number(threads ?? 0))));
}
