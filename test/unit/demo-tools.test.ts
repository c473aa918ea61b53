// Goal: the demo's tools return, word for word, what the model was trained to read.
// Method: every recorded call of the evaluation dialogues, made again; and the files that draw and speak leave behind.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { evaluateExpression } from '../../examples/demo-model/calculator.js';
import { evaluationDialogues } from '../../examples/demo-model/evaluation.js';
import { demoTools } from '../../examples/demo-model/tools.js';

const folder = mkdtempSync(join(tmpdir(), 'infercept-demo-'));
const context = { signal: new AbortController().signal };
const dialogues = evaluationDialogues();

afterAll(() => rmSync(folder, { recursive: true }));

describe('the evaluation', () => {
  test('has 100 dialogues of each of the six kinds', () => {
    for (const kind of ['calculator', 'wiki_search', 'environment_step', 'human', 'draw', 'speak']) {
      expect(dialogues.filter((dialogue) => dialogue.kind === kind)).toHaveLength(100);
    }
    expect(new Set(dialogues.map((dialogue) => dialogue.id)).size).toBe(600);
  });

  test('records what the tools return', async () => {
    let calls = 0;
    for (const dialogue of dialogues) {
      const tools = demoTools({ folder });
      for (const call of dialogue.turns.flatMap((turn) => turn.steps.flat())) {
        expect(dialogue.tools).toContain(call.name);
        expect(await tools[call.name].execute(call.arguments, context), dialogue.id).toBe(call.result);
        calls++;
      }
    }
    expect(calls).toBeGreaterThan(600);
  });
});

describe('calculator', () => {
  test.each([
    ['1 + 2 * 3', '7'],
    ['(1 + 2) * 3', '9'],
    ['-2 ^ 2', '-4'],
    ['2 ^ 3 ^ 2', '512'],
    ['0.1 + 0.2', '0.3'],
    ['7 / 2', '3.5'],
  ])('%s is %s', (expression, value) => expect(evaluateExpression(expression)).toBe(value));

  test.each(['', '1 +', '(1', '1 2', 'process.exit()', '1 / 0'])('refuses %j', (expression) => {
    expect(() => evaluateExpression(expression)).toThrow(Error);
  });
});

describe('the world', () => {
  test('remembers what was moved, for one agent only', async () => {
    const { environment_step } = demoTools({ folder });
    const act = (action: string) => environment_step.execute({ action }, context);
    await act('go kitchen');
    expect(await act('take spoon')).toBe('You take the spoon.');
    await act('go garden');
    expect(await act('put spoon')).toBe('You put down the spoon.');
    expect(await act('go garden')).toBe('You are in the garden. You see: shovel, rose, spoon.');
    expect(await act('go kitchen')).toBe('You are in the kitchen. You see: kettle, bread.');
    expect(await act('take spoon')).toBe('There is no spoon here.');
    const other = await demoTools({ folder }).environment_step.execute({ action: 'go kitchen' }, context);
    expect(other).toBe('You are in the kitchen. You see: kettle, spoon, bread.');
  });
});

describe('files', () => {
  test('draw writes an SVG that escapes its prompt', async () => {
    const result = await demoTools({ folder }).draw.execute({ prompt: 'a <b> & a "fox"' }, context);
    const text = readFileSync(join(folder, /drawing-\d{4}\.svg/.exec(result)![0]), 'utf8');
    expect(text).toMatch(/^<svg .*<title>a &#60;b&#62; &#38; a &#34;fox&#34;<\/title>.*<\/svg>\n$/s);
  });

  test('speak writes a WAV whose header fits its length and that is not silent', async () => {
    const result = await demoTools({ folder }).speak.execute({ text: 'Good morning, Alice.' }, context);
    const bytes = readFileSync(join(folder, /speech-\d{4}\.wav/.exec(result)![0]));
    expect(bytes.toString('ascii', 0, 4) + bytes.toString('ascii', 8, 12)).toBe('RIFFWAVE');
    expect(bytes.readUInt32LE(4)).toBe(bytes.length - 8);
    expect(bytes.readUInt32LE(40)).toBe(bytes.length - 44);
    const samples = Array.from({ length: (bytes.length - 44) / 2 }, (_, i) => bytes.readInt16LE(44 + 2 * i));
    expect(Math.max(...samples)).toBeGreaterThan(10_000);
  });

  test('a call that is aborted while it waits rejects', async () => {
    const tools = demoTools({ folder, delayMs: () => 60_000 });
    const running = tools.draw.execute({ prompt: 'a fox' }, { signal: AbortSignal.timeout(10) });
    await expect(running).rejects.toThrow();
  });
});
