// What one question to the policy core costs (infercept/policy), from JavaScript and back: with and without pressure on memory.
import { type PausedContext, PolicyCore, profiles, type StepLoad } from 'infercept/policy';
import type { Bench } from './run.js';
import { median, round } from './support/statistics.js';

const policies = ['adaptive', 'infercept', 'discard'] as const;
const kinds = Array.from({ length: 20 }, (_, index) => `tool:${index}`);

interface Row {
  paused: number;
  /** Microseconds per call, and what came of it. */
  micros: Record<string, number>;
  decisions: Record<string, number>;
}

function makePaused(count: number): PausedContext<number>[] {
  return Array.from({ length: count }, (_, id) => ({
    id,
    kind: kinds[id % kinds.length]!,
    shape: `depth=${id % 4}`,
    tokens: 500 + ((id * 7919) % 3000),
    deviceBlocks: 30 + (id % 100),
    elapsedSeconds: ((id * 7919) % 1000) / 10,
  }));
}

function learn(core: PolicyCore): void {
  for (let index = 0; index < 2000; index += 1) {
    const kind = kinds[index % kinds.length]!;
    core.observeInterception({ kind, shape: `depth=${index % 4}`, seconds: ((index * 7919) % 1000) / 10 });
  }
}

function measure(count: number, samples: number): Row {
  const paused = makePaused(count);
  const calm: StepLoad = { shortageBlocks: 0, runningTokens: 40_000, queryTokens: 100, hostBlocksFree: 10_000 };
  const row: Row = { paused: count, micros: {}, decisions: {} };
  for (const policy of policies) {
    const core = new PolicyCore({ policy, profile: profiles['h200-llama3-8b'] });
    learn(core);
    for (const [name, shortageBlocks] of Object.entries({ calm: 0, short: 500 })) {
      if (policy !== 'adaptive' && name === 'short') continue;
      const times: number[] = [];
      let decided = 0;
      for (let sample = 0; sample < samples; sample += 1) {
        const start = performance.now();
        decided = core.decide({ paused, load: { ...calm, shortageBlocks } }).length;
        times.push(1000 * (performance.now() - start));
      }
      const column = policy === 'adaptive' ? `${policy}, ${name}` : policy;
      row.micros[column] = round(median(times));
      row.decisions[column] = decided;
    }
  }
  return row;
}

export const bench: Bench = async (options) => {
  const rows: Row[] = [];
  for (const count of [1, 100, 1000, 10_000]) {
    const row = measure(count, options.quick ? 200 : 1000);
    if (rows.length === 0) {
      const titles = Object.keys(row.micros).map((name) => name.padStart(18));
      console.log(`microseconds per question (decisions)\n  paused${titles.join('')}`);
    }
    const cells = Object.entries(row.micros).map(([name, micros]) => `${micros} (${row.decisions[name]})`.padStart(18));
    console.log(`${String(count).padStart(8)}${cells.join('')}`);
    rows.push(row);
  }
  return { rows };
};
