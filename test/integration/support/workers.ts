/** Worker threads that run TypeScript. */
import { Worker } from 'node:worker_threads';

/** Starts a worker with this module; it finds `data` as `workerData`. */
export function startWorker(module: URL, data?: unknown): Worker {
  const source = `
    import('tsx/esm/api').then(({ register }) => {
      register();
      return import(${JSON.stringify(module.href)});
    });
  `;
  return new Worker(source, { eval: true, workerData: data, execArgv: [] });
}
