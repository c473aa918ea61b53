import { readFileSync } from 'node:fs';
import type { DemoToolName } from './tools.js';

/** One call of a tool with the result that was recorded for it. */
export interface ExpectedCall {
  name: DemoToolName;
  arguments: Record<string, string>;
  result: string;
}

/** What a user says, the assistant's messages with calls (several calls in one message are parallel), its last text. */
export interface ExpectedTurn {
  user: string;
  steps: ExpectedCall[][];
  text: string;
}

export type DialogueKind = 'calculator' | 'wiki_search' | 'environment_step' | 'human' | 'draw' | 'speak';

export interface EvaluationDialogue {
  id: string;
  kind: DialogueKind;
  /** Absent: the chat template's own. */
  system?: string;
  tools: DemoToolName[];
  turns: ExpectedTurn[];
}

/** The 600 held-out dialogues, kinds in turn: any first 6·n of them hold n of each kind. */
export function evaluationDialogues(): EvaluationDialogue[] {
  const lines = readFileSync(new URL('./evaluation.jsonl', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as EvaluationDialogue);
}
