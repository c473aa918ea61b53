/** A worker thread that never rests: loads engines, runs, intercepts, disposes, until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { Engine } from '../../../lib/index.js';
import { random, wait } from './engines.js';

const uniform = random(workerData as number);

for (;;) {
  parentPort!.postMessage('loading');
  const engine = await Engine.load('demo', { threads: 1, kvCache: { bytes: '1MiB' }, swap: { hostBytes: '1MiB' } });
  engine.on('step', () => {});
  parentPort!.postMessage('loaded');
  const runs = Array.from({ length: 6 }, (_, index) =>
    engine.generate({
      prompt: `Count to ${index}`,
      maxTokens: 200,
      sampling: { temperature: 1 },
      interceptors: [{ trigger: { text: ' ' }, onIntercept: () => wait(uniform() * 5).then(() => '') }],
    }),
  );
  void runs[0]!
    .intercept()
    .then((handle) => handle.resume(' and '))
    .catch(() => {});
  await Promise.allSettled(runs.slice(0, 3));
  parentPort!.postMessage('disposing');
  await engine.dispose();
}
