// The sessions on the real engine: each one run that an interceptor pauses at its calls. Random weights say nothing of use, so
// what the model writes is scripted.
import { setTimeout as delay } from 'node:timers/promises';
import { type DeviceProfile, Engine, type EngineStats, type PolicyName, type RunResult } from 'infercept';
import { seededRandom } from '../../lib/random.js';
import { median } from '../support/statistics.js';
import type { Outcome } from './outcome.js';
import { type ToolSession, writtenTokens } from './workload.js';

export interface Room {
  model: string;
  vocabularySize: number;
  threads: number;
  kvBytes: number;
  hostBytes: number;
}

/** This token is always the most probable one, and a row of it is a tool call. */
const scriptedToken = 300;
/** Beyond special tokens, bytes and the scripted one. */
const firstPlainToken = 400;
/** How often the measured costs are looked at: they follow the machine, and a run has one mean. */
const profileMs = 100;

export interface RealRun {
  outcome: Outcome;
  /** The machine while it ran. */
  profile: DeviceProfile;
  /** Mean relative error of its predictions of step time, as the engine has it at the end. */
  costError: number;
}

/** Serves sessions for so many milliseconds; who is not done then counts as ending there. */
export async function runReal(
  room: Room,
  policy: PolicyName,
  sessions: readonly ToolSession[],
  untilMs: number,
): Promise<RealRun> {
  const engine = await Engine.load(room.model, {
    device: 'cpu',
    threads: room.threads,
    policy,
    kvCache: { bytes: room.kvBytes, prefixCache: false },
    swap: { hostBytes: room.hostBytes },
  });
  try {
    const tokens = tokenSource(room.vocabularySize);
    await warmUp(engine, tokens);
    const before = engine.stats();
    const profiles: DeviceProfile[] = [];
    const watch = setInterval(() => profiles.push(engine.profile()), profileMs);
    const results = await serve(engine, sessions, tokens, untilMs).finally(() => clearInterval(watch));
    const after = engine.stats();
    const { measured, predicted } = difference(before.stepSeconds, after.stepSeconds);
    return {
      profile: meanProfile(profiles, measured / predicted),
      costError: after.costError,
      outcome: {
        completed: results.filter(({ finishReason }) => finishReason !== 'aborted').length,
        latencyMs: median(results.map(normalizedLatencyMs)),
        steps: after.steps - before.steps,
        computedTokens: after.tokens.computed - before.tokens.computed,
        recomputedTokens: after.tokens.recomputed - before.tokens.recomputed,
        swappedBlocks: after.swappedBlocks.out - before.swappedBlocks.out,
      },
    };
  } finally {
    await engine.dispose();
  }
}

type TokenSource = (count: number) => number[];

/** No two prompts begin alike. */
function tokenSource(vocabularySize: number): TokenSource {
  const random = seededRandom(7);
  const draw = (): number => firstPlainToken + Math.floor(random() * (vocabularySize - firstPlainToken));
  return (count) => Array.from({ length: count }, draw);
}

/** Uses every block once, with steps of many sizes: the system has given all memory, and the cost model knows the machine. */
async function warmUp(engine: Engine, tokens: TokenSource): Promise<void> {
  const promptTokens = 200;
  const runs = Math.ceil(engine.capacity().kvTokens / promptTokens);
  await Promise.all(
    Array.from({ length: runs }, (_, index) =>
      engine.generate({ tokens: tokens(promptTokens), maxTokens: 4 + (index % 40) }),
    ),
  );
}

async function serve(
  engine: Engine,
  sessions: readonly ToolSession[],
  tokens: TokenSource,
  untilMs: number,
): Promise<RunResult[]> {
  const prompts = sessions.map(({ promptTokens }) => tokens(promptTokens));
  const returned = sessions.map(({ calls }) => calls.map(({ returnedTokens }) => tokens(returnedTokens)));
  const startedAt = performance.now();
  const runs = sessions.map(async (session, index) => {
    await delay(startedAt + session.arrivalMs - performance.now());
    const run = generate(engine, session, prompts[index]!, returned[index]!);
    const end = setTimeout(() => run.cancel(), startedAt + untilMs - performance.now());
    return run.result.finally(() => clearTimeout(end));
  });
  return Promise.all(runs);
}

function generate(engine: Engine, session: ToolSession, prompt: readonly number[], returned: readonly number[][]) {
  let call = 0;
  return engine.generate({
    tokens: prompt,
    maxTokens: writtenTokens(session),
    sampling: { logitBias: { [scriptedToken]: 100 } },
    interceptors: [
      {
        kind: session.kind,
        trigger: { tokens: new Array<number>(session.callTokens).fill(scriptedToken) },
        async onIntercept({ signal }) {
          const index = call++;
          await delay(session.calls[index]!.durationMs, undefined, { signal });
          return returned[index]!;
        },
      },
    ],
  });
}

function normalizedLatencyMs({ timings, usage }: RunResult): number {
  return (timings.totalMs - timings.interceptedMs) / Math.max(1, usage.completionTokens);
}

type StepSeconds = EngineStats['stepSeconds'];

function difference(before: StepSeconds, after: StepSeconds): StepSeconds {
  return { measured: after.measured - before.measured, predicted: after.predicted - before.predicted };
}

type CopyCost = NonNullable<DeviceProfile['copyIn']>;

/** The engine follows what steps usually take; `slowness` is what they took in sum, over what that made expect. */
function meanProfile(profiles: readonly DeviceProfile[], slowness: number): DeviceProfile {
  const mean = (value: (profile: DeviceProfile) => number): number =>
    profiles.reduce((sum, profile) => sum + value(profile), 0) / profiles.length;
  const meanCopy = (copyOf: (profile: DeviceProfile) => CopyCost): CopyCost => ({
    copyStart: mean((profile) => copyOf(profile).copyStart),
    secondsPerCopiedByte: mean((profile) => copyOf(profile).secondsPerCopiedByte),
  });
  return {
    ...profiles.at(-1)!,
    step: slowness * mean(({ step }) => step),
    perQueryToken: slowness * mean(({ perQueryToken }) => perQueryToken),
    perKvToken: slowness * mean(({ perKvToken }) => perKvToken),
    ...meanCopy((profile) => profile),
    copyIn: meanCopy(({ copyIn, ...out }) => copyIn ?? out),
  };
}
