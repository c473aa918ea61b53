// One-shot generation through the public interface: streams, limits, stops, aborts, and what a blocked event loop costs.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, RunPart, SamplingOptions } from '../../lib/index.js';
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

const prompt = 'What is 12 + 30?';

describe('a run', () => {
  it('streams what its result contains', async () => {
    const run = engine.generate({ prompt, maxTokens: 40 });
    const parts: RunPart[] = [];
    for await (const part of run) parts.push(part);
    const result = await run;
    const text = parts.map((part) => (part.type === 'text-delta' ? part.text : '')).join('');
    expect(text).toBe(result.text);
    expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: result.finishReason });
    expect(result.usage.completionTokens).toBe(result.tokens.length);
    expect(result.usage.contextTokens).toBe(result.usage.promptTokens + result.tokens.length);
    expect(engine.detokenize(result.tokens)).toContain(result.text);
  });

  it('ends after maxTokens', async () => {
    const result = await engine.generate({ prompt, maxTokens: 3, sampling });
    expect(result.finishReason).toBe('length');
    expect(result.tokens).toHaveLength(3);
  });

  it('ends before a stop text that spans tokens, and does not show it', async () => {
    const whole = await engine.generate({ prompt, maxTokens: 30, sampling });
    const stop = whole.text.slice(5, 9);
    const result = await engine.generate({ prompt, maxTokens: 30, sampling, stop });
    expect(result.finishReason).toBe('stop');
    expect(result.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
  });

  it('ends when the context is full', async () => {
    const { contextTokens } = engine.capacity();
    const tokens = Array.from({ length: contextTokens - 4 }, (_, index) => index % 50);
    const result = await engine.generate({ tokens, maxTokens: 1000, sampling });
    expect(result.finishReason).toBe('context-length');
    expect(result.usage.contextTokens).toBe(contextTokens);
    expect(await codeOf(() => engine.generate({ tokens: [...tokens, 1, 2, 3, 4] }))).toBe('ERR_CONTEXT_TOO_LONG');
  });

  it('is the same for the same seed, and another for another', async () => {
    const sample = async (seed: number) =>
      (await engine.generate({ prompt, maxTokens: 30, sampling: { ...sampling, temperature: 2, seed } })).tokens;
    expect(await sample(7)).toEqual(await sample(7));
    expect(await sample(7)).not.toEqual(await sample(8));
  });

  it('reports log probabilities that belong to its tokens', async () => {
    const { tokens, logprobs } = await engine.generate({
      prompt,
      maxTokens: 8,
      sampling: { logprobs: 3 },
    });
    expect(logprobs?.map(({ token }) => token)).toEqual(tokens);
    for (const { token, logprob, top } of logprobs ?? []) {
      expect(top).toHaveLength(3);
      expect(top[0]).toEqual({ token, logprob }); // greedy: the sampled token is the most probable one
      expect(top[1]!.logprob).toBeLessThanOrEqual(logprob);
    }
  });

  it('answers messages by the chat template, and tokens as they are', async () => {
    const { text } = await engine.generate({ messages: [{ role: 'user', content: 'Hello' }], maxTokens: 20 });
    expect(text.length).toBeGreaterThan(0);
    const tokens = await engine.tokenize(prompt);
    const byTokens = await engine.generate({ tokens, maxTokens: 5 });
    expect(byTokens.usage.promptTokens).toBe(tokens.length);
  });

  it('finds an equal prefix in the cache', async () => {
    const tokens = Array.from({ length: 100 }, (_, index) => (index * 7) % 60);
    await engine.generate({ tokens, maxTokens: 1 });
    const { usage } = await engine.generate({ tokens, maxTokens: 1 });
    expect(usage.cachedTokens).toBe(96); // six full blocks of 16
  });
});

describe('giving up', () => {
  it('rejects at once when its signal has fired before', async () => {
    const run = engine.generate({ prompt, signal: AbortSignal.abort('early') });
    await expect(run).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'early' });
  });

  it('rejects when its signal fires, after the parts that came before', async () => {
    const controller = new AbortController();
    const run = engine.generate({ prompt, maxTokens: 400, signal: controller.signal, sampling });
    let parts = 0;
    const consume = async (): Promise<void> => {
      for await (const _part of run) {
        parts += 1;
        controller.abort(new Error('enough'));
      }
    };
    expect(await codeOf(consume)).toBe('ERR_ABORTED');
    await expect(run).rejects.toMatchObject({ cause: { message: 'enough' } });
    expect(parts).toBeGreaterThan(0);
  });

  it('of many runs by one signal needs no more than one listener', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    const controller = new AbortController();
    const options = { prompt, maxTokens: 400, sampling, signal: controller.signal };
    const codes = Array.from({ length: 30 }, () => codeOf(() => engine.generate(options)));
    await wait(20);
    controller.abort();
    expect(new Set(await Promise.all(codes))).toEqual(new Set(['ERR_ABORTED']));
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  it('resolves with what there is when the loop is left', async () => {
    const run = engine.generate({ prompt, maxTokens: 400, sampling });
    for await (const part of run) if (part.type === 'text-delta') break;
    const result = await run;
    expect(result.finishReason).toBe('aborted');
    expect(result.text.length).toBeGreaterThan(0);
  });

  it('frees everything', async () => {
    const runs = Array.from({ length: 20 }, () => engine.generate({ prompt, maxTokens: 400, sampling }));
    await wait(5);
    for (const run of runs) run.cancel();
    await Promise.all(runs);
    const { free, all } = freeBlocks(await settledStats(engine));
    expect(free).toBe(all);
  });
});

describe('mistakes', () => {
  it.each([
    [{ prompt, maxToken: 3 }, 'maxTokens'],
    [{ prompt, sampling: { temprature: 1 } }, 'temperature'],
    [{ prompt, maxTokens: 0 }, 'maxTokens'],
    [{ prompt, tokens: [1] }, 'exactly one'],
    [{}, 'exactly one'],
    [{ prompt, stop: '' }, 'stop'],
    [{ prompt, interceptors: [{ trigger: {}, onIntercept: () => '' }] }, 'trigger'],
  ])('%j names %s', (options, name) => {
    expect(() => engine.generate(options as never)).toThrowError(new RegExp(name));
  });

  it('iterates once', async () => {
    const run = engine.generate({ prompt, maxTokens: 2 });
    for await (const _part of run);
    expect(() => run[Symbol.asyncIterator]()).toThrowError(/once/);
  });

  it('refuses token ids that the model does not have, and goes on', async () => {
    expect(await codeOf(() => engine.generate({ tokens: [2 ** 30] }))).toBe('ERR_INVALID_ARGUMENT');
    expect((await engine.generate({ prompt, maxTokens: 1 })).tokens).toHaveLength(1);
  });
});

describe('the event loop', () => {
  it('may be blocked: native steps go on, nothing is lost', async () => {
    const tokens = await engine.tokenize(prompt);
    const options = { tokens, maxTokens: 300, sampling: { ...sampling, temperature: 1, seed: 3 } };
    const expected = await engine.generate(options);
    const run = engine.generate(options);
    await wait(0);
    // However fast the machine is: JavaScript returns to its loop only after most of the 300 steps.
    const before = engine.stats().steps;
    const giveUp = performance.now() + 30_000;
    let during = 0;
    while (during < 200 && performance.now() < giveUp) during = engine.stats().steps - before;
    const result = await run;
    expect(during).toBeGreaterThanOrEqual(200);
    expect(result.tokens).toEqual(expected.tokens);
    expect(result.text).toBe(expected.text);
  }, 60_000);
});
