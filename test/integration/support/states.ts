/** Brings an engine, a session and a run into a state, and tries every public method in it. */
import { fileURLToPath } from 'node:url';
import { Engine, type Run, type RunPart, type SamplingOptions, type Session } from '../../../lib/index.js';
import { codeOf, endless } from './engines.js';

export const states = [
  'idle',
  'running',
  'in a hook',
  'paused',
  'aborted',
  'session disposed',
  'disposed',
  'failed',
] as const;
export type State = (typeof states)[number];

/** `ok`, or the code of the error. */
export type Outcomes = Record<string, string>;

interface Scene {
  engine: Engine;
  session: Session;
  run: Run;
}

const methods: Record<string, (scene: Scene) => unknown> = {
  'engine.session': ({ engine }) => engine.session().dispose(),
  'engine.generate': ({ engine }) => engine.generate({ prompt: 'Hello', maxTokens: 2 }),
  'engine.tokenize': ({ engine }) => engine.tokenize('Hello'),
  'engine.detokenize': ({ engine }) => engine.detokenize([1, 2]),
  'engine.stats': ({ engine }) => engine.stats(),
  'engine.metrics': ({ engine }) => engine.metrics(),
  'engine.dump': ({ engine }) => engine.dump(),
  'engine.estimates': ({ engine }) => engine.estimates(),
  'engine.capacity': ({ engine }) => engine.capacity(),
  'session.messages': ({ session }) => session.messages,
  'session.explain': ({ session }) => session.explain(),
  'session.checkpoint': ({ session }) => session.checkpoint(),
  'session.rewind': ({ session }) => session.rewind(session.checkpoint()),
  'session.fork': ({ session }) => session.fork().dispose(),
  'session.suspend': ({ session }) => session.suspend(),
  'run.intercept': async ({ run }) => {
    const handle = run.intercept();
    handle.catch(() => {});
    // In a state that lasts, the pause comes after it; that the request was taken is what counts.
    await Promise.race([handle, new Promise((resolve) => setTimeout(resolve, 20))]);
  },
  'session.send': ({ session }) => session.send('Hello', { maxTokens: 2 }),
  'run.cancel': ({ run }) => run.cancel(),
  'run.explain': ({ run }) => run.explain(),
  'await run': ({ run }) => run,
  'session.dispose': ({ session }) => session.dispose(),
  'engine.dispose': ({ engine }) => engine.dispose(),
};

const forever = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

async function load(): Promise<Engine> {
  const nativeBinding = fileURLToPath(new URL('./faulty-binding.cjs', import.meta.url));
  return Engine.load('demo', { nativeBinding, threads: 1, kvCache: { bytes: '8MiB' }, swap: { hostBytes: '8MiB' } });
}

async function enter(state: State, engine: Engine, sampling: SamplingOptions): Promise<Scene> {
  const session = engine.session(
    state === 'in a hook'
      ? { sampling, interceptors: [{ trigger: { text: ' ' }, onIntercept: ({ signal }) => forever(signal) }] }
      : { sampling },
  );
  const controller = new AbortController();
  const run = session.send('Hello, tell me a story.', { signal: controller.signal });
  if (state === 'idle') {
    run.cancel();
    await run;
  } else if (state === 'in a hook') {
    await partOf(run, 'interception-start');
  } else if (state === 'paused') {
    await run.intercept();
  } else {
    await partOf(run, 'text-delta');
  }
  if (state === 'aborted') controller.abort();
  if (state === 'session disposed') session.dispose();
  if (state === 'disposed') await engine.dispose();
  if (state === 'failed') (globalThis as unknown as { failEngines(): void }).failEngines();
  return { engine, session, run };
}

/** Waits for a part without leaving the loop, which would cancel the run. */
async function partOf(run: Run, type: RunPart['type']): Promise<void> {
  const parts = run[Symbol.asyncIterator]();
  for (let part = await parts.next(); part.value?.type !== type; ) part = await parts.next();
}

/** What every method does in the state. A method that ends the state gets a scene of its own; the engine's end comes last. */
export async function tryState(state: State): Promise<Outcomes> {
  const outcomes: Outcomes = {};
  const engine = await load();
  const sampling = { logitBias: await endless(engine) };
  const final = state === 'disposed' || state === 'failed' ? await enter(state, engine, sampling) : undefined;
  for (const [name, method] of Object.entries(methods)) {
    if (name === 'await run' && (state === 'running' || state === 'in a hook' || state === 'paused')) continue;
    const scene = final ?? (await enter(state, engine, sampling));
    outcomes[name] = (await codeOf(() => method(scene))) ?? 'ok';
    if (scene !== final) scene.session.dispose();
  }
  await engine.dispose();
  return outcomes;
}
