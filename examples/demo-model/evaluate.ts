// The share of the 600 held-out dialogues that the demo model gets fully right: every call, in order, and every answer.
// Greedy decoding through the engine, with the real tools, many dialogues at once.
//
//     npx tsx examples/demo-model/evaluate.ts [how many dialogues]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { defineTool, Engine, type RunResult } from 'infercept';
import { type EvaluationDialogue, type ExpectedTurn, evaluationDialogues } from './evaluation.js';
import { demoTools } from './tools.js';

const SESSIONS_AT_ONCE = 64;
/** The longest answer takes 60 tokens; one that runs on is wrong. */
const TOKENS_MAX = 200;
const SHARE_MIN = 0.95;

const folder = mkdtempSync(join(tmpdir(), 'infercept-evaluation-'));
const model = new URL('./demo.gguf', import.meta.url).pathname;
const dialogues = evaluationDialogues().slice(0, Number(process.argv[2] ?? 600));

async function main(): Promise<void> {
  const engine = await Engine.load(model);
  const started = performance.now();
  const waiting = dialogues.values();
  const mistakes = new Map<EvaluationDialogue, string>();
  const worker = async () => {
    for (const dialogue of waiting) {
      const mistake = await findMistake(engine, dialogue);
      if (mistake !== undefined) mistakes.set(dialogue, mistake);
    }
  };
  await Promise.all(Array.from({ length: SESSIONS_AT_ONCE }, worker));
  await engine.dispose();
  report(mistakes, (performance.now() - started) / 1000);
}

/** Holds one dialogue; what went wrong first, or undefined. */
async function findMistake(engine: Engine, dialogue: EvaluationDialogue): Promise<string | undefined> {
  const available = demoTools({ folder });
  const session = engine.session({
    tools: dialogue.tools.map((name) => defineTool(available[name])),
    ...(dialogue.system !== undefined && { system: dialogue.system }),
  });
  try {
    for (const turn of dialogue.turns) {
      const result = await session.send(turn.user, { maxTokens: TOKENS_MAX });
      const mistake = compare(turn, result);
      if (mistake !== undefined) return mistake;
    }
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    session.dispose();
  }
}

function compare(turn: ExpectedTurn, result: RunResult): string | undefined {
  const expected = turn.steps.flat().map((call) => ({ name: call.name, input: call.arguments, output: call.result }));
  const made = result.toolCalls.map(({ toolName, input, output }) => ({ name: toolName, input, output }));
  if (!isDeepStrictEqual(made, expected)) return `${turn.user} → ${JSON.stringify(made)}`;
  if (result.text !== turn.text) return `${turn.user} → ${result.text}`;
  return undefined;
}

function report(mistakes: ReadonlyMap<EvaluationDialogue, string>, seconds: number): void {
  for (const [{ id }, mistake] of mistakes) console.log(`${id}: ${mistake}`);
  for (const kind of new Set(dialogues.map((dialogue) => dialogue.kind))) {
    const all = dialogues.filter((dialogue) => dialogue.kind === kind);
    const right = all.filter((dialogue) => !mistakes.has(dialogue));
    console.log(`${kind.padEnd(18)}${String(right.length).padStart(4)} of ${all.length}`);
  }
  const of = dialogues.length;
  const right = of - mistakes.size;
  const share = right / of;
  console.log(JSON.stringify({ right, of, share, seconds: Number(seconds.toFixed(1)) }));
  if (share < SHARE_MIN) process.exitCode = 1;
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
