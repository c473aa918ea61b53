// A trace that is recorded from a running engine has the sizes and times of what ran, and replays.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Engine,
  formatTrace,
  parseTrace,
  recordTrace,
  type SamplingOptions,
  type SimulatedSession,
  simulate,
} from '../../lib/index.js';
import { endless, loadDemo, wait } from './support/engines.js';

let engine: Engine;
let sampling: SamplingOptions;
beforeAll(async () => {
  engine = await loadDemo();
  sampling = { logitBias: await endless(engine) };
});
afterAll(() => engine.dispose());

describe('recordTrace', () => {
  it('has a session per generate call, with its pauses', async () => {
    const recorder = recordTrace(engine);
    await wait(20);
    const run = engine.generate({ prompt: 'Hello', maxTokens: 400, sampling });
    const handle = await run.intercept({ kind: 'search' });
    await wait(30);
    await handle.resume([5, 6, 7]);
    const { usage } = await run;
    recorder.stop();
    await engine.generate({ prompt: 'Not heard', maxTokens: 1 });
    const sessions = recorder.sessions();
    expect(sessions).toHaveLength(1);
    const [{ arrivalMs, promptTokens, segments }] = sessions as [(typeof sessions)[0]];
    expect(arrivalMs).toBeGreaterThan(10);
    expect(promptTokens).toBe(usage.promptTokens - 3);
    expect(segments[0]).toMatchObject({ kind: 'search', returnedTokens: 3 });
    expect(segments[0]!.durationMs).toBeGreaterThan(20);
    const { decisions, cost } = segments[0]!.explained!;
    expect(decisions[0]).toMatchObject({ disposition: 'preserve', estimate: {}, pressure: {} });
    expect(cost).toMatchObject({ disposition: 'preserve', recomputedTokens: 0, hindsight: { regret: 0 } });
    expect(segments).toHaveLength(2);
    expect(segments[0]!.decodeTokens + segments[1]!.decodeTokens).toBeGreaterThanOrEqual(usage.completionTokens);
  });

  it('has one session for all sends of a conversation, whose gaps are human, and replays it', async () => {
    const recorder = recordTrace(engine);
    const session = engine.session();
    const first = await session.send('My name is Ana.', { maxTokens: 10, sampling });
    await wait(30);
    const second = await session.send('What is my name?', { maxTokens: 12, sampling });
    session.dispose();
    recorder.stop();
    const sessions = recorder.sessions();
    expect(sessions).toHaveLength(1);
    expect(sessions[0]).toMatchObject({
      promptTokens: first.usage.promptTokens,
      segments: [{ decodeTokens: 10, kind: 'human', returnedTokens: second.usage.promptTokens }, { decodeTokens: 12 }],
    });
    expect(sessions[0]!.segments[0]!.durationMs).toBeGreaterThan(20);
    const replayed = parseTrace(formatTrace(sessions));
    expect(replayed).toEqual(sessions);
    const report = await simulate({ sessions: replayed });
    expect(report.completed).toBe(1);
    expect(report.virtualSeconds).toBeGreaterThan(0.02);
  });

  it('leaves out a send that was cut off in its interception', async () => {
    const recorder = recordTrace(engine);
    const session = engine.session();
    await session.send('My name is Ana.', { maxTokens: 10, sampling });
    const cut = session.send('What is my name?', { maxTokens: 60, sampling });
    await cut.intercept({ kind: 'never' });
    cut.cancel();
    await cut;
    await session.send('Hello?', { maxTokens: 5, sampling });
    session.dispose();
    recorder.stop();
    const [{ segments }] = recorder.sessions() as [SimulatedSession];
    expect(segments.map(({ kind }) => kind)).not.toContain('never');
  });

  it('leaves out what failed', async () => {
    const recorder = recordTrace(engine);
    const controller = new AbortController();
    const run = engine.generate({ prompt: 'Hello', maxTokens: 400, sampling, signal: controller.signal });
    await run.intercept({ kind: 'never' });
    controller.abort();
    await run.then(
      () => expect.unreachable(),
      () => undefined,
    );
    recorder.stop();
    expect(recorder.sessions()).toEqual([]);
  });
});
