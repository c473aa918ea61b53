import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { evaluateExpression } from './calculator.js';
import { drawPicture } from './drawing.js';
import { speakText } from './speech.js';
import { World } from './world.js';

/** What the tools need of the context that a tool call gets. */
export interface DemoToolContext {
  signal: AbortSignal;
}

/** A tool as `defineTool` takes it; every one of them has a single string as argument. */
export interface DemoTool {
  name: DemoToolName;
  description: string;
  parameters: { type: 'object'; properties: Record<string, { type: 'string' }>; required: string[] };
  execute(input: Record<string, string>, context: DemoToolContext): Promise<string>;
}

export type DemoToolName = 'calculator' | 'wiki_search' | 'environment_step' | 'draw' | 'speak';

export interface DemoToolOptions {
  /** Where drawings and speech go. Made if it does not exist. */
  folder: string;
  /** How long a call takes beside its own work, in milliseconds. Default: nothing. */
  delayMs?: (tool: DemoToolName) => number;
}

/** The demo model's tools for one agent: each agent moves through its own world. */
export function demoTools({ folder, delayMs = () => 0 }: DemoToolOptions): Record<DemoToolName, DemoTool> {
  const world = new World();
  const tool = (
    name: DemoToolName,
    argument: string,
    description: string,
    work: (value: string) => string | Promise<string>,
  ) => ({
    name,
    description,
    parameters: {
      type: 'object' as const,
      properties: { [argument]: { type: 'string' as const } },
      required: [argument],
    },
    async execute(input: Record<string, string>, { signal }: DemoToolContext): Promise<string> {
      await wait(delayMs(name), undefined, { signal });
      return await work(input[argument] ?? '');
    },
  });
  return {
    calculator: tool('calculator', 'expression', 'Evaluates an arithmetic expression.', evaluateExpression),
    wiki_search: tool('wiki_search', 'query', 'Finds an article about a place, a person or a book.', findArticle),
    environment_step: tool('environment_step', 'action', 'Does one action: go, take or put.', (a) => world.step(a)),
    draw: tool('draw', 'prompt', 'Draws a picture.', (prompt) => saveDrawing(folder, prompt)),
    speak: tool('speak', 'text', 'Reads a text aloud.', (text) => saveSpeech(folder, text)),
  };
}

let articles: Map<string, string> | undefined;

/** The article with this title, in the bundled fact base. */
function findArticle(query: string): string {
  articles ??= new Map(
    (
      JSON.parse(readFileSync(new URL('./facts.json', import.meta.url), 'utf8')) as { title: string; text: string }[]
    ).map(({ title, text }) => [title.toLowerCase(), text]),
  );
  return articles.get(query.trim().toLowerCase()) ?? 'There is no such article.';
}

async function saveDrawing(folder: string, prompt: string): Promise<string> {
  const name = `drawing-${fileNumber(prompt)}.svg`;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), drawPicture(prompt));
  return `Saved as ${name}.`;
}

async function saveSpeech(folder: string, text: string): Promise<string> {
  const name = `speech-${fileNumber(text)}.wav`;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), speakText(text));
  return `Saved as ${name}.`;
}

/** The four digits in a file's name, from what was asked for. */
function fileNumber(text: string): number {
  return 1000 + (crc32(text) % 9000);
}
