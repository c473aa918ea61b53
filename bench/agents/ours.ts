// The agents on our engine: all at once, each one run that an interceptor pauses at its tool calls.
import { setTimeout as delay } from 'node:timers/promises';
import { Engine, type PolicyName } from 'infercept';
import { kvTokenBytes } from '../support/model-files.js';
import { type Agent, writtenTokens } from './workload.js';

/** Random weights say nothing of use: this token is always the most probable one, and a row of it is a tool call. */
const scriptedToken = 300;

export interface OurOptions {
  model: string;
  threads: number;
  policy: PolicyName;
  /** Tokens that fit into the KV cache. */
  kvTokens: number;
  contextTokens: number;
}

export interface OurFigures {
  seconds: number;
  recomputedTokens: number;
  cachedTokens: number;
  wasteShare: number;
}

/** No host tier: on a processor it would be more of the same memory, and the budget is one. */
export async function runOurs(options: OurOptions, warmUp: Agent, agents: readonly Agent[]): Promise<OurFigures> {
  const { model, threads, policy, contextTokens } = options;
  const engine = await Engine.load(model, {
    device: 'cpu',
    threads,
    policy,
    contextTokens,
    kvCache: { bytes: options.kvTokens * kvTokenBytes },
    swap: { hostBytes: 0 },
  });
  try {
    await runAgent(engine, warmUp);
    const before = engine.stats();
    const started = performance.now();
    await Promise.all(agents.map((agent) => runAgent(engine, agent)));
    const seconds = (performance.now() - started) / 1000;
    const { tokens, waste } = engine.stats();
    return {
      seconds,
      recomputedTokens: tokens.recomputed - before.tokens.recomputed,
      cachedTokens: tokens.cached - before.tokens.cached,
      wasteShare: waste.share,
    };
  } finally {
    await engine.dispose();
  }
}

async function runAgent(engine: Engine, agent: Agent): Promise<void> {
  let calls = 0;
  const { usage } = await engine.generate({
    tokens: agent.prompt,
    maxTokens: writtenTokens(agent),
    sampling: { logitBias: { [scriptedToken]: 100 } },
    interceptors: [
      {
        kind: 'tool',
        trigger: { tokens: new Array<number>(agent.callTokens).fill(scriptedToken) },
        async onIntercept() {
          const call = agent.calls[calls++]!;
          await delay(call.delayMs);
          return call.result;
        },
      },
    ],
  });
  if (calls === agent.calls.length && usage.completionTokens === writtenTokens(agent)) return;
  throw new Error(`an agent ended after ${calls} calls and ${usage.completionTokens} tokens`);
}
