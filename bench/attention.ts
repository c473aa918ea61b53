// Attention over the paged KV cache beside the machine's limit: contexts, batches, shared beginnings, KV types.
import type { Bench } from './run.js';
import { runNative } from './support/native.js';

export const bench: Bench = async (options) => runNative(['attention'], options);
