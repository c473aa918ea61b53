// Our engine, through its public interface.
import { Engine } from 'infercept';
import { kvTokenBytes } from '../support/model-files.js';
import { type Contestant, type Contexts, contextTokensMax, sampleTokens } from './contestant.js';

/** Contexts at the longest length that are held at a time. */
const longContextsMax = 8;

export async function loadInfercept(model: string, threads: number): Promise<Contestant> {
  const engine = await Engine.load(model, {
    device: 'cpu',
    threads,
    contextTokens: contextTokensMax,
    // A quarter more than the contexts fill: the scheduler keeps some blocks free for those that grow.
    kvCache: { bytes: longContextsMax * contextTokensMax * 1.25 * kvTokenBytes, prefixCache: false },
    swap: { hostBytes: 0 },
  });
  return {
    name: 'infercept',
    async prefill(prompt) {
      await engine.generate({ tokens: prompt, maxTokens: 1 });
    },
    begin: (prompts, onFirst) => begin(engine, prompts, onFirst),
    close: () => engine.dispose(),
  };
}

async function begin(engine: Engine, prompts: readonly (readonly number[])[], onFirst: () => void): Promise<Contexts> {
  const [first, ...others] = prompts.map((prompt) => () => new PausingContext(engine, prompt));
  const contexts = [first!()];
  await contexts[0]!.prefilled;
  onFirst();
  contexts.push(...others.map((make) => make()));
  await Promise.all(contexts.map(({ paused }) => paused));
  return {
    async decode(count) {
      await Promise.all(contexts.slice(0, count).map((context) => context.decode()));
    },
    async end() {
      await Promise.all(contexts.map((context) => context.end()));
    },
  };
}

/** Random weights say nothing of use: this token is always the most probable one, so that a row of it ends a sample. */
const scriptedToken = 300;

/** A run that an interceptor pauses after each sample. */
class PausingContext {
  /** Fires when the first token is there. */
  readonly prefilled: Promise<void>;
  /** Fires at the end of the present sample. */
  paused: Promise<void>;
  readonly #run;
  readonly #ended = new AbortController();
  #onPause = (): void => {};
  #resume = (): void => {};

  constructor(engine: Engine, prompt: readonly number[]) {
    this.paused = this.#nextPause();
    this.#run = engine.generate({
      tokens: prompt,
      sampling: { logitBias: { [scriptedToken]: 100 } },
      interceptors: [
        {
          trigger: { tokens: new Array<number>(sampleTokens).fill(scriptedToken) },
          onIntercept: () => this.#pause(),
        },
      ],
      signal: this.#ended.signal,
    });
    this.prefilled = this.#firstToken();
  }

  decode(): Promise<void> {
    this.paused = this.#nextPause();
    this.#resume();
    return this.paused;
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#run.catch(() => {});
  }

  #nextPause(): Promise<void> {
    return new Promise((resolve) => {
      this.#onPause = resolve;
    });
  }

  #pause(): Promise<number[]> {
    return new Promise((resolve) => {
      this.#resume = () => resolve([]);
      this.#onPause();
    });
  }

  async #firstToken(): Promise<void> {
    const parts = this.#run[Symbol.asyncIterator]();
    await parts.next();
  }
}
