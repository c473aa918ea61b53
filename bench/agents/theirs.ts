// The agents on node-llama-cpp, as its users would run them: a context with as many sequences as the budget allows; an agent
// waits for a free one and keeps it until it ends. What a sequence holds of the next agent's prompt (the system prompt) stays.
import { setTimeout as delay } from 'node:timers/promises';
import { loadPeerModel, type PeerSequence, scripted } from '../peer/node-llama-cpp.js';
import type { Agent } from './workload.js';

export interface TheirOptions {
  model: string;
  threads: number;
  /** Of each sequence. */
  contextTokens: number;
  sequences: number;
}

/** Seconds until the last agent has ended. */
export async function runTheirs(options: TheirOptions, warmUp: Agent, agents: readonly Agent[]): Promise<number> {
  const { threads, sequences, contextTokens } = options;
  const model = await loadPeerModel(options.model, threads);
  try {
    const context = await model.createContext({ contextSize: contextTokens, sequences, threads, batchSize: 512 });
    const free = Array.from({ length: sequences }, () => context.getSequence());
    await runAgent(free[0]!, warmUp);
    await free[0]!.clearHistory();
    const queue = [...agents];
    const started = performance.now();
    await Promise.all(
      free.map(async (sequence) => {
        for (let agent = queue.shift(); agent !== undefined; agent = queue.shift()) await runAgent(sequence, agent);
      }),
    );
    return (performance.now() - started) / 1000;
  } finally {
    await model.dispose();
  }
}

async function runAgent(sequence: PeerSequence, agent: Agent): Promise<void> {
  await sequence.adaptStateToTokens(agent.prompt, false);
  let input = agent.prompt.slice(sequence.nextTokenIndex);
  for (const { delayMs, result } of agent.calls) {
    const last = await write(sequence, input, agent.callTokens);
    await delay(delayMs);
    // The token written last is in the answer but not yet in the context.
    input = [last, ...result];
  }
  await write(sequence, input, agent.answerTokens);
}

/** Evaluates the input and writes so many tokens after it. @returns the last of them */
async function write(sequence: PeerSequence, input: readonly number[], count: number): Promise<number> {
  const tokens = sequence.evaluate(input, scripted);
  let last = Number.NaN;
  for (let written = 0; written < count; written++) {
    const { value, done } = await tokens.next();
    if (done) throw new Error(`an agent ended after ${written} of ${count} tokens`);
    last = value;
  }
  await tokens.return();
  return last;
}
