// Each kernel beside the machine's limit, and the whole forward pass: runs the native benchmark (bench/native).
import type { Bench } from './run.js';
import { runNative } from './support/native.js';

export const bench: Bench = async (options) => runNative(['kernels', 'model'], options);
