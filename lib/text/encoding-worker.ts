import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { InferceptError } from '../errors.js';
import type { TokenizerDefinition } from './tokenizer-source.js';

/**
 * Encodes long texts on a thread of its own, so that the event loop goes on. The thread is started by the first text and
 * does not keep the process alive while it has nothing to do.
 */
export interface EncodingWorker {
  encode(text: string, definition: TokenizerDefinition): Promise<Int32Array>;
  /** Ends the thread; pending texts reject with `ERR_DISPOSED`. */
  dispose(): void;
}

/** Plain JavaScript in a string: it must run from ESM and CJS bundles and from TypeScript alike. */
const workerSource = `
const { parentPort, workerData } = require('node:worker_threads');
const { Tokenizer } = require(workerData.library);
const tokenizers = workerData.definitions.map((json) => new Tokenizer(JSON.parse(json), {}));
parentPort.on('message', ({ ticket, text, variant }) => {
  try {
    const ids = Int32Array.from(tokenizers[variant].encode(text, { add_special_tokens: false }).ids);
    parentPort.postMessage({ ticket, ids }, [ids.buffer]);
  } catch (error) {
    parentPort.postMessage({ ticket, error: String(error && error.message) });
  }
});
`;

interface Reply {
  ticket: number;
  ids?: Int32Array;
  error?: string;
}

interface Pending {
  resolve(ids: Int32Array): void;
  reject(error: InferceptError): void;
}

/** @param definitions those that `encode` will be called with; the same one twice costs nothing */
export function createEncodingWorker(definitions: Iterable<TokenizerDefinition>): EncodingWorker {
  const variants = [...new Set(definitions)];
  const pending = new Map<number, Pending>();
  let worker: Worker | undefined;
  let tickets = 0;
  let disposed = false;

  function rejectAll(error: InferceptError): void {
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  }

  function start(): Worker {
    const library = createRequire(import.meta.url).resolve('@huggingface/tokenizers');
    const workerData = { library, definitions: variants.map((definition) => JSON.stringify(definition)) };
    // No execArgv: loaders of the host (tsx, test runners) are of no use to the source above.
    const started = new Worker(workerSource, { eval: true, workerData, execArgv: [] });
    started.on('message', ({ ticket, ids, error }: Reply) => {
      const { resolve, reject } = pending.get(ticket)!;
      pending.delete(ticket);
      if (pending.size === 0) started.unref();
      if (ids !== undefined) resolve(ids);
      else reject(new InferceptError('ERR_INTERNAL', `The tokenizer failed: ${error}.`));
    });
    started.on('error', (cause) => {
      worker = undefined;
      rejectAll(new InferceptError('ERR_INTERNAL', `The tokenizer's thread failed: ${cause.message}.`, { cause }));
    });
    return started;
  }

  return {
    encode(text, definition) {
      if (disposed) return Promise.reject(disposedError());
      worker ??= start();
      worker.ref();
      const ticket = tickets++;
      return new Promise((resolve, reject) => {
        pending.set(ticket, { resolve, reject });
        worker!.postMessage({ ticket, text, variant: variants.indexOf(definition) });
      });
    },
    dispose() {
      disposed = true;
      void worker?.terminate();
      rejectAll(disposedError());
    },
  };
}

function disposedError(): InferceptError {
  return new InferceptError('ERR_DISPOSED', 'The tokenizer was disposed together with its engine.');
}
