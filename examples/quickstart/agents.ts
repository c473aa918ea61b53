/** The agents of the quickstart: each one plays a held-out dialogue, with real tools that take their time. */

import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { defineTool, type Engine, type RunResult } from 'infercept';
import { type DialogueKind, type EvaluationDialogue, evaluationDialogues } from '../demo-model/evaluation.js';
import { type DemoToolName, demoTools } from '../demo-model/tools.js';

/** Mean seconds of each augmentation in the InferCept paper (ICML 2024, Table 1), and their standard deviation. */
const DURATIONS: Record<DialogueKind, [mean: number, deviation: number]> = {
  calculator: [9e-5, 6e-5],
  wiki_search: [0.69, 0.17],
  environment_step: [0.09, 0.014],
  human: [28.6, 15.6],
  draw: [20.03, 7.8],
  speak: [17.24, 7.6],
};

/** The paper's times are divided by this, so that the whole job ends within a minute. */
export const SPEED_UP = 10;

export type AgentState = 'queued' | 'thinking' | 'tool' | 'waiting' | 'right' | 'wrong';

export interface Agent {
  kind: DialogueKind;
  state: AgentState;
  toolCalls: number;
  contextTokens: number;
  runs: RunResult[];
}

/** Seeded, so that every policy meets the same world: a uniform number in [0, 1) for each name. */
function hashUniform(name: string): number {
  let hash = 2166136261;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0)!, 16777619);
  return (Math.imul(hash ^ (hash >>> 15), 2246822519) >>> 0) / 2 ** 32;
}

function waitingMs(kind: DialogueKind, name: string, speedUp: number): number {
  const [mean, deviation] = DURATIONS[kind];
  // Four uniform numbers, centred and scaled to variance 1, are normal enough.
  const normal = Math.sqrt(12 / 4) * [0, 1, 2, 3].reduce((sum, i) => sum + hashUniform(`${name}/${i}`) - 0.5, 0);
  return (Math.max(mean / 10, mean + deviation * normal) * 1000) / speedUp;
}

export function newAgent(kind: DialogueKind): Agent {
  return { kind, state: 'queued', toolCalls: 0, contextTokens: 0, runs: [] };
}

/** The first held-out dialogues; kinds take turns. */
export function dialoguesFor(agents: number): EvaluationDialogue[] {
  return evaluationDialogues().slice(0, agents);
}

/** Plays one dialogue. The agent's fields follow it, for whoever watches. */
export async function playDialogue(
  engine: Engine,
  dialogue: EvaluationDialogue,
  agent: Agent,
  speedUp = SPEED_UP,
): Promise<void> {
  const available = demoTools({
    folder: 'examples/output',
    delayMs: (tool) => waitingMs(tool, `${dialogue.id}/${agent.toolCalls}`, speedUp),
  });
  const session = engine.session({
    ...(dialogue.system === undefined ? {} : { system: dialogue.system }),
    tools: dialogue.tools.map((name: DemoToolName) => defineTool(available[name])),
  });
  try {
    let right = true;
    for (const [index, turn] of dialogue.turns.entries()) {
      if (index > 0) {
        agent.state = 'waiting';
        await wait(waitingMs('human', `${dialogue.id}/${index}`, speedUp));
      }
      agent.state = 'thinking';
      const run = session.send(turn.user, { maxTokens: 200 });
      for await (const part of run) {
        if (part.type === 'interception-start') agent.state = 'tool';
        if (part.type === 'interception-end') agent.state = 'thinking';
        if (part.type === 'tool-call') agent.toolCalls += 1;
      }
      const result = await run;
      agent.runs.push(result);
      agent.contextTokens = result.usage.contextTokens;
      const calls = result.toolCalls.map(({ toolName, input }) => ({ name: toolName, arguments: input }));
      const expected = turn.steps.flat().map(({ name, arguments: input }) => ({ name, arguments: input }));
      right &&= result.text.trim() === turn.text && isDeepStrictEqual(calls, expected);
    }
    agent.state = right ? 'right' : 'wrong';
  } finally {
    session.dispose();
  }
}
