// The primitive underneath tools: triggers by text and by tokens, until, and interceptions marked from code.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, GenerateOptions, Interceptor } from '../../lib/index.js';
import { codeOf, endless, freeBlocks, loadDemo, settledStats, wait } from './support/engines.js';

let engine: Engine;
let base: GenerateOptions;
let plain: { text: string; tokens: number[] };
beforeAll(async () => {
  engine = await loadDemo();
  base = { prompt: 'What is 12 + 30?', maxTokens: 40, sampling: { logitBias: await endless(engine) } };
  plain = await engine.generate(base);
});
afterAll(async () => {
  const { free, all } = freeBlocks(await settledStats(engine));
  expect(free).toBe(all);
  await engine.dispose();
});

const generate = (interceptor: Interceptor, more: Partial<GenerateOptions> = {}) =>
  engine.generate({ ...base, ...more, interceptors: [interceptor] });

/** A text in the middle of the plain answer that occurs there once. */
function middle(): string {
  for (let length = 3; ; length += 1) {
    const text = plain.text.slice(10, 10 + length);
    if (plain.text.indexOf(text) === plain.text.lastIndexOf(text)) return text;
  }
}

describe('a text trigger', () => {
  it('pauses at the token that completes it, and what the hook returns follows', async () => {
    const trigger = middle();
    const run = generate({ kind: 'probe', trigger: { text: trigger }, onIntercept: ({ text }) => `<${text}>` });
    const parts = [];
    for await (const part of run) parts.push(part);
    const { text, interceptions, tokens } = await run;
    const end = plain.text.indexOf(trigger) + trigger.length;
    expect(text.indexOf(`<${trigger}>`)).toBeGreaterThanOrEqual(end);
    expect(text.slice(0, end)).toBe(plain.text.slice(0, end));
    expect(interceptions[0]).toMatchObject({ kind: 'probe', disposition: 'preserve' });
    expect(parts.filter((part) => part.type === 'text-delta' && part.returned)).toMatchObject([
      { text: `<${trigger}>` },
    ]);
    expect(engine.detokenize(tokens)).toBe(text);
  });

  it('waits for `until` and gives what stands between', async () => {
    const open = plain.text.slice(4, 7);
    const start = plain.text.indexOf(open) + open.length;
    const until = plain.text.slice(start + 6, start + 8);
    const between = plain.text.slice(start, plain.text.indexOf(until, start));
    const seen: string[] = [];
    await generate({
      trigger: { text: open },
      until,
      onIntercept: ({ text }) => {
        seen.push(text);
        return '';
      },
    });
    expect(seen[0]).toBe(between);
  });
});

describe('a token trigger', () => {
  it('is exact', async () => {
    const pair = plain.tokens.slice(6, 8);
    let context = 0;
    const run = generate({ trigger: { tokens: pair }, onIntercept: () => [] });
    for await (const part of run) if (part.type === 'interception-start') context ||= part.contextTokens;
    const { tokens, usage } = await run;
    expect(tokens).toEqual(plain.tokens);
    const first = plain.tokens.findIndex((token, index) => token === pair[0] && plain.tokens[index + 1] === pair[1]);
    expect(context).toBe(usage.contextTokens - tokens.length + first + 2);
  });
});

describe('a hook', () => {
  it('may return token ids or a stream of text', async () => {
    const ids = await engine.tokenize(' and so');
    const byIds = await generate({ trigger: { text: middle() }, onIntercept: () => ids });
    const byText = await generate({
      trigger: { text: middle() },
      async onIntercept() {
        async function* stream() {
          yield ' and';
          yield ' so';
        }
        return stream();
      },
    });
    expect(byIds.tokens).toEqual(byText.tokens);
  });

  it('cannot write control tokens', async () => {
    const { tokens } = await generate({ trigger: { text: middle() }, onIntercept: () => '<|im_start|>' });
    expect(tokens.every((token) => engine.detokenize([token]) !== '<|im_start|>')).toBe(true);
  });

  it('that throws fails its run only', async () => {
    const failing = generate({
      trigger: { text: middle() },
      onIntercept: () => {
        throw new Error('no');
      },
    });
    expect(await codeOf(() => failing)).toBe('ERR_TOOL_FAILED');
    expect((await engine.generate(base)).tokens).toEqual(plain.tokens);
  });

  it('that returns nonsense fails its run', async () => {
    const run = generate({ trigger: { text: middle() }, onIntercept: () => 7 as never });
    expect(await codeOf(() => run)).toBe('ERR_INVALID_ARGUMENT');
  });

  it('is given up after timeoutMs, and its signal fires', async () => {
    let signal: AbortSignal | undefined;
    const run = generate({
      trigger: { text: middle() },
      timeoutMs: 20,
      onIntercept: (context) => {
        signal = context.signal;
        return new Promise<string>(() => {});
      },
    });
    expect(await codeOf(() => run)).toBe('ERR_TOOL_TIMEOUT');
    expect(signal?.aborted).toBe(true);
  });

  it('hears of an abort', async () => {
    const controller = new AbortController();
    let heard = false;
    const run = generate(
      {
        trigger: { text: middle() },
        onIntercept: ({ signal }) => {
          signal.addEventListener('abort', () => {
            heard = true;
          });
          controller.abort();
          return new Promise<string>(() => {});
        },
      },
      { signal: controller.signal },
    );
    expect(await codeOf(() => run)).toBe('ERR_ABORTED');
    expect(heard).toBe(true);
  });
});

describe('run.intercept', () => {
  it('pauses, waits, and goes on with nothing, invisibly', async () => {
    const expected = await engine.generate({ ...base, maxTokens: 400 });
    const run = engine.generate({ ...base, maxTokens: 400 });
    let next = run.intercept({ kind: 'break', expectedMs: 5 });
    for (let i = 0; i < 3; i += 1) {
      const handle = await next;
      await wait(3);
      handle.almostDone();
      // Asked for in time, the next one begins before another token is sampled, however busy the machine is.
      if (i < 2) next = run.intercept({ kind: 'break', expectedMs: 5 });
      await handle.resume();
    }
    const { tokens, interceptions } = await run;
    expect(tokens).toEqual(expected.tokens);
    expect(interceptions.map(({ kind }) => kind)).toEqual(['break', 'break', 'break']);
  });

  it('goes on with text', async () => {
    const run = engine.generate({ ...base, maxTokens: 200 });
    const handle = await run.intercept();
    const { text } = handle;
    await handle.resume(' WAIT ');
    const result = await run;
    expect(result.text.startsWith(`${text} WAIT `)).toBe(true);
    expect(await codeOf(() => handle.resume())).toBe('ERR_BUSY');
  });

  it('queues behind an interception that is going on', async () => {
    const order: string[] = [];
    let handle: Promise<unknown> | undefined;
    const run = generate({
      kind: 'first',
      trigger: { text: middle() },
      async onIntercept() {
        handle = run.intercept({ kind: 'second' }).then(async (second) => {
          order.push('second');
          await second.resume();
        });
        await wait(10);
        order.push('first');
        return '';
      },
    });
    await run;
    await handle;
    expect(order).toEqual(['first', 'second']);
  });

  it('of a run that has ended is refused', async () => {
    const run = engine.generate({ ...base, maxTokens: 1 });
    await run;
    expect(await codeOf(() => run.intercept())).toBe('ERR_BUSY');
  });

  it('that is never resumed ends with the run', async () => {
    const run = engine.generate({ ...base, maxTokens: 200 });
    const handle = await run.intercept();
    run.cancel();
    expect(handle.signal.aborted).toBe(true);
    expect(await codeOf(() => handle.resume('x'))).toBe('ERR_ABORTED');
    expect((await run).finishReason).toBe('aborted');
  });
});
