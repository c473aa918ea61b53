// What the scheduler itself costs per step: runs the native benchmark (bench/native/overhead_bench.cc).
import type { Bench } from './run.js';
import { runNative } from './support/native.js';

export const bench: Bench = async (options) => {
  const { overhead } = runNative(['overhead'], options);
  return overhead as Record<string, unknown>;
};
