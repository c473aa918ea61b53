// Each public method in each state: allowed, or which code. The table is the documentation; a change of it is a change of
// the interface.
import { describe, expect, it } from 'vitest';
import { type Outcomes, type State, states, tryState } from './support/states.js';
import { startWorker } from './support/workers.js';

const all = (outcome: string, ...names: string[]): Outcomes => Object.fromEntries(names.map((name) => [name, outcome]));

const engineMakes = ['engine.session', 'engine.generate'];
const engineTells = [
  'engine.tokenize',
  'engine.detokenize',
  'engine.stats',
  'engine.metrics',
  'engine.dump',
  'engine.estimates',
  'engine.capacity',
];
const sessionActs = ['session.checkpoint', 'session.rewind', 'session.fork', 'session.suspend', 'session.send'];
const always = all(
  'ok',
  'session.messages',
  'session.explain',
  'session.dispose',
  'engine.dispose',
  'run.cancel',
  'run.explain',
);

const busy: Outcomes = {
  ...always,
  ...all('ok', ...engineMakes, ...engineTells, 'run.intercept'),
  ...all('ERR_BUSY', ...sessionActs),
};

const table: Record<State, Outcomes> = {
  idle: {
    ...always,
    ...all('ok', ...engineMakes, ...engineTells, ...sessionActs, 'await run'),
    'run.intercept': 'ERR_BUSY',
  },
  running: busy,
  'in a hook': busy,
  paused: busy,
  aborted: {
    ...always,
    ...all('ok', ...engineMakes, ...engineTells, ...sessionActs),
    'run.intercept': 'ERR_BUSY',
    'await run': 'ERR_ABORTED',
  },
  'session disposed': {
    ...always,
    ...all('ok', ...engineMakes, ...engineTells),
    ...all('ERR_DISPOSED', ...sessionActs, 'await run'),
    'run.intercept': 'ERR_BUSY',
  },
  disposed: {
    ...always,
    ...all('ERR_DISPOSED', ...engineMakes, ...engineTells, ...sessionActs, 'await run'),
    'run.intercept': 'ERR_BUSY',
  },
  failed: {
    ...always,
    ...all('ok', ...engineTells),
    ...all('ERR_DEVICE', ...engineMakes, ...sessionActs, 'await run'),
    'run.intercept': 'ERR_BUSY',
  },
};

function inWorker(state: State): Promise<Outcomes> {
  const worker = startWorker(new URL('./support/states-worker.ts', import.meta.url), state);
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the worker ended with ${code} before it had tried everything`)));
  });
}

describe.each(states)('%s', (state) => {
  it('on the main thread', async () => {
    expect(await tryState(state)).toEqual(table[state]);
  });

  it('in a worker thread', async () => {
    expect(await inWorker(state)).toEqual(table[state]);
  });
});
