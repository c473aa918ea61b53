/** The primitive underneath tools: any trigger in the output, any hook that returns what is to follow. */
import {
  type Answer,
  type Augmentation,
  collectText,
  createForecast,
  type Forecast,
  isAsyncIterable,
  orAborted,
  type Pause,
} from './augmentation.js';
import { InferceptError } from './errors.js';
import type { NativeTrigger } from './native-commands.js';
import type { InterceptionFacts } from './sequence.js';
import {
  arrayOf,
  type Check,
  callback,
  integer,
  invalid,
  nonEmptyString,
  options,
  real,
  tokenIds,
} from './validate.js';

/** What a hook is called with. */
export interface InterceptionContext extends Forecast {
  /** What stands between trigger and `until`; without `until`, the trigger itself. */
  text: string;
  /** Fires when the run ends before the hook does. */
  signal: AbortSignal;
}

/** Pauses generation at the very token that completes a trigger, and goes on with what the hook returns. */
export interface Interceptor {
  /** Under which name waiting times are learnt and reported; as a tool's `kind`. Default `intercept`. */
  kind?: string;
  /** What to look for in the output: a text, which may span tokens, or token ids in a row. */
  trigger: { text: string } | { tokens: ArrayLike<number> };
  /** If given, generation goes on after the trigger until this text has appeared. */
  until?: string;
  /** Returns text or token ids to append to the context; empty to go on as if nothing had happened. Text never spells control tokens. */
  onIntercept(
    context: InterceptionContext,
  ): string | number[] | AsyncIterable<string> | Promise<string | number[] | AsyncIterable<string>>;
  /** How long the hook usually takes, in milliseconds. Default: unknown. */
  expectedMs?: number;
  /** After so many milliseconds the run fails with `ERR_TOOL_TIMEOUT`. Default: no limit. */
  timeoutMs?: number;
}

const trigger: Check<{ text?: string; tokens?: number[] }> = (value, name) => {
  const checked = options({ text: nonEmptyString, tokens: tokenIds })(value, name);
  if ((checked.text === undefined) === (checked.tokens === undefined)) {
    throw invalid(name, value, 'either { text } or { tokens }');
  }
  if (checked.tokens?.length === 0) throw invalid(`${name}.tokens`, [], 'at least one token id');
  return checked;
};

const readInterceptor = options({
  kind: nonEmptyString,
  trigger,
  until: nonEmptyString,
  onIntercept: callback<Interceptor['onIntercept']>(),
  expectedMs: real(0, 1e12),
  timeoutMs: integer(1, 2 ** 31 - 1),
});

type CheckedInterceptor = ReturnType<typeof readInterceptor>;

export const interceptors: Check<CheckedInterceptor[]> = arrayOf((value, name) => {
  const checked = readInterceptor(value, name);
  if (checked.trigger === undefined) throw invalid(`${name}.trigger`, undefined, 'given');
  if (checked.onIntercept === undefined) throw invalid(`${name}.onIntercept`, undefined, 'given');
  return checked;
});

function toTrigger({ trigger: { text, tokens } = {}, until }: CheckedInterceptor): NativeTrigger {
  return { text: text ?? '', tokens: Int32Array.from(tokens ?? []), until: until ?? '', pauseAtStop: false };
}

/** What text and ids are made of; the tokenizer and nothing else. */
export interface TextCodec {
  encode(text: string): Promise<ArrayLike<number>>;
  decode(tokens: ArrayLike<number>): string;
}

/** Text or token ids as an answer that is part of the output. */
export async function toAnswer(value: unknown, codec: TextCodec, name: string): Promise<Answer> {
  const collected = isAsyncIterable(value) ? await collectText(value) : value;
  if (typeof collected === 'string') return { tokens: await codec.encode(collected), text: collected };
  const tokens = tokenIds(collected, name);
  return { tokens, text: codec.decode(tokens) };
}

/** Interceptors as an augmentation: the first trigger that completed at the pause decides which hook is called. */
export class InterceptorSet implements Augmentation {
  readonly triggers: NativeTrigger[];
  private match: { index: number; text: string } | undefined;

  constructor(
    private readonly list: CheckedInterceptor[],
    private readonly codec: TextCodec,
  ) {
    this.triggers = list.map(toTrigger);
  }

  matched(index: number, text: string): void {
    this.match ??= { index, text };
  }

  kind(): string {
    return this.list[this.match?.index ?? 0]?.kind ?? 'intercept';
  }

  async answer(pause: Pause): Promise<Answer> {
    const { index, text } = this.match!;
    const interceptor = this.list[index]!;
    pause.mark(facts(this.kind(), interceptor.expectedMs));
    this.match = undefined;
    const value = await callHook(interceptor, text, pause);
    return toAnswer(value, this.codec, `what onIntercept of ${interceptor.kind ?? 'intercept'} returned`);
  }
}

function facts(kind: string, remainingMs: number | undefined): InterceptionFacts {
  return remainingMs === undefined ? { kind } : { kind, remainingMs };
}

async function callHook(interceptor: CheckedInterceptor, text: string, pause: Pause): Promise<unknown> {
  const { timeoutMs, onIntercept } = interceptor;
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = timeout === undefined ? pause.signal : AbortSignal.any([pause.signal, timeout]);
  const forecast = createForecast((remainingMs) => pause.mark({ remainingMs }));
  try {
    const call = (async () => {
      const value = await onIntercept!({ text, signal, ...forecast });
      return isAsyncIterable(value) ? collectText(value) : value;
    })();
    return await orAborted(call, signal);
  } catch (cause) {
    if (pause.signal.aborted) throw cause;
    const kind = interceptor.kind ?? 'intercept';
    if (timeout?.aborted) {
      throw new InferceptError('ERR_TOOL_TIMEOUT', `The hook of ${kind} took longer than ${timeoutMs} ms.`, { cause });
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InferceptError('ERR_TOOL_FAILED', `The hook of ${kind} failed: ${reason}`, { cause });
  }
}
