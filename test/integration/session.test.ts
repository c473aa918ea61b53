// Conversations: context that stays, forks, checkpoints, aborts that leave no trace, and the gap between two sends.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineTool, type Engine, type RunResult, type SamplingOptions } from '../../lib/index.js';
import { codeOf, endless, freeBlocks, loadDemo, settledStats, wait } from './support/engines.js';

let engine: Engine;
/** Sampling that never ends a turn. */
let sampling: SamplingOptions;
beforeAll(async () => {
  engine = await loadDemo();
  sampling = { logitBias: await endless(engine) };
});
afterAll(async () => {
  const { free, all } = freeBlocks(await settledStats(engine));
  expect(free).toBe(all);
  await engine.dispose();
});

const questions = ['My name is Ana.', 'What is my name?', 'Thank you.'];
const limits = { maxTokens: 60 };

describe('a session', () => {
  it('never renders again what was sampled: its context is what came in and what came out', async () => {
    const session = engine.session();
    let contextTokens = 0;
    for (const question of questions) {
      const { usage, tokens } = await session.send(question, limits);
      expect(usage.contextTokens).toBe(contextTokens + usage.promptTokens + tokens.length);
      contextTokens = usage.contextTokens;
      expect(session.contextTokens).toBe(contextTokens);
    }
    expect(session.messages).toHaveLength(6);
    expect(session.messages.filter(({ role }) => role === 'user').map(({ content }) => content)).toEqual(questions);
    session.dispose();
  });

  it('waits between sends as an interception of kind human', async () => {
    const started: string[] = [];
    const listen = ({ kind }: { kind: string }) => started.push(kind);
    engine.on('interception-start', listen);
    const session = engine.session();
    await session.send(questions[0]!, limits);
    await wait(30);
    const { interceptions } = await session.send(questions[1]!, limits);
    expect(started).toContain('human');
    expect(interceptions[0]).toMatchObject({ kind: 'human' });
    expect(interceptions[0]!.waitedMs).toBeGreaterThan(20);
    engine.off('interception-start', listen);
    session.dispose();
  });

  it('continues after an answer that was cut off', async () => {
    const session = engine.session();
    const first = await session.send(questions[0]!, { maxTokens: 2 });
    expect(first.finishReason).toBe('length');
    const second = await session.send(questions[1]!, limits);
    expect(second.usage.contextTokens).toBe(
      first.usage.contextTokens + second.usage.promptTokens + second.tokens.length,
    );
    session.dispose();
  });

  it('begins with messages of an earlier conversation', async () => {
    const session = engine.session({
      system: 'You are a helpful assistant.',
      messages: [
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: 'Hello! How can I help?' },
      ],
    });
    await session.send('What is 2 + 3?', limits);
    expect(session.messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user', 'assistant']);
    session.dispose();
  });

  it('does one thing at a time', async () => {
    const session = engine.session();
    const run = session.send(questions[0]!, limits);
    expect(session.busy).toBe(true);
    expect(await codeOf(() => session.send('again'))).toBe('ERR_BUSY');
    expect(await codeOf(() => session.fork())).toBe('ERR_BUSY');
    expect(await codeOf(() => session.checkpoint())).toBe('ERR_BUSY');
    await run;
    expect(session.busy).toBe(false);
    session.dispose();
  });

  it('can be suspended, and comes back unharmed', async () => {
    const plain = engine.session();
    const session = engine.session();
    for (const each of [plain, session]) await each.send(questions[0]!, limits);
    await session.suspend();
    const other = engine.session(); // gives the engine steps in which to move the context
    await other.send('Hello', limits);
    const [expected, actual] = [await plain.send(questions[1]!, limits), await session.send(questions[1]!, limits)];
    expect(actual.tokens).toEqual(expected.tokens);
    expect(await codeOf(() => session.suspend({ to: 'disk' }))).toBe('ERR_INVALID_ARGUMENT');
    for (const each of [plain, session, other]) each.dispose();
  });
});

describe('an abort', () => {
  it('leaves the session as it was, in the first send and in later ones', async () => {
    const expected = engine.session();
    const session = engine.session();
    const results: RunResult[] = [];
    for (const question of questions) results.push(await expected.send(question, limits));
    for (const [index, question] of questions.entries()) {
      const before = session.messages;
      const controller = new AbortController();
      const run = session.send('Something else entirely.', { signal: controller.signal, sampling });
      setTimeout(() => controller.abort(), index * 3);
      expect(await codeOf(() => run)).toBe('ERR_ABORTED');
      expect(session.messages).toEqual(before);
      expect((await session.send(question, limits)).tokens).toEqual(results[index]!.tokens);
    }
    expected.dispose();
    session.dispose();
  });

  it('in a tool call ends the call', async () => {
    let aborted = false;
    const slow = defineTool({
      name: 'calculator',
      description: 'Evaluates an arithmetic expression.',
      parameters: { type: 'object' },
      execute: (_input, { signal }) =>
        new Promise<string>((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            reject(signal.reason);
          });
        }),
    });
    const session = engine.session({ tools: [slow] });
    const run = session.send('What is 4821 * 77?', { maxTokens: 150 });
    for await (const part of run) if (part.type === 'interception-start') break;
    expect((await run).finishReason).toBe('aborted');
    expect(aborted).toBe(true);
    expect(session.messages).toEqual([]);
    session.dispose();
  });
});

describe('forks and checkpoints', () => {
  it('go their own ways from a common past', async () => {
    const session = engine.session();
    await session.send(questions[0]!, limits);
    const fork = session.fork();
    const here = await session.send(questions[1]!, limits);
    const there = await fork.send(questions[1]!, limits);
    expect(there.tokens).toEqual(here.tokens);
    await fork.send(questions[2]!, limits);
    expect(session.messages).toHaveLength(4);
    expect(fork.messages).toHaveLength(6);
    session.dispose();
    expect((await fork.send('Bye.', limits)).finishReason).not.toBe('aborted');
    fork.dispose();
  });

  it('share memory', async () => {
    const session = engine.session();
    await session.send('A long message. '.repeat(12), limits);
    const used = async () => {
      const { device } = await settledStats(engine);
      return device.blocks - device.free - device.cached;
    };
    const before = await used();
    const forks = Array.from({ length: 8 }, () => session.fork());
    expect(await used()).toBe(before);
    for (const each of [session, ...forks]) each.dispose();
  });

  it('go back', async () => {
    const session = engine.session();
    const start = session.checkpoint();
    const first = await session.send(questions[0]!, limits);
    const point = session.checkpoint();
    const second = await session.send(questions[1]!, limits);
    const late = session.checkpoint();
    session.rewind(point);
    expect(session.messages).toHaveLength(2);
    expect((await session.send(questions[1]!, limits)).tokens).toEqual(second.tokens);
    expect(await codeOf(() => session.rewind(late))).toBe('ERR_INVALID_ARGUMENT');
    session.rewind(start);
    expect(session.messages).toEqual([]);
    expect((await session.send(questions[0]!, limits)).tokens).toEqual(first.tokens);
    session.dispose();
  });

  it('belong to their own session', async () => {
    const session = engine.session();
    await session.send(questions[0]!, limits);
    const other = engine.session();
    expect(await codeOf(() => other.rewind(session.checkpoint()))).toBe('ERR_INVALID_ARGUMENT');
    const fork = session.fork();
    const point = session.checkpoint();
    await fork.send(questions[1]!, limits);
    fork.rewind(point);
    expect(fork.messages).toHaveLength(2);
    for (const each of [session, other, fork]) each.dispose();
  });
});

describe('a context that became too long', () => {
  it('fails the send only', async () => {
    const session = engine.session();
    const first = await session.send(questions[0]!, limits);
    expect(await codeOf(() => session.send('word '.repeat(5000)))).toBe('ERR_CONTEXT_TOO_LONG');
    expect(session.messages).toHaveLength(2);
    const second = await session.send(questions[1]!, limits);
    expect(second.usage.contextTokens).toBe(
      first.usage.contextTokens + second.usage.promptTokens + second.tokens.length,
    );
    session.dispose();
  });
});
