/** One-shot generation: a sequence that is freed when its run ends. */
import { type EngineCore, requireTemplate } from './engine-core.js';
import { InferceptError, throwIfAborted } from './errors.js';
import { InterceptionLog } from './explanation.js';
import { type Interceptor, InterceptorSet, interceptors } from './interception.js';
import { type RunOptions, runChecks, toNativeSampling, unlimitedTokens } from './options.js';
import { Run } from './run.js';
import { Sequence } from './sequence.js';
import type { Message, ToolDescription } from './text/messages.js';
import { Turn } from './turn.js';
import { anything, arrayOf, integer, options, string, tokenIds } from './validate.js';

/** Options of `engine.generate`. Exactly one of `prompt`, `messages` and `tokens` is given. */
export interface GenerateOptions extends RunOptions {
  /** A text to continue. It never spells control tokens. */
  prompt?: string;
  /** A conversation to answer, rendered by the model's chat template. */
  messages?: readonly Message[];
  /** With `messages`: what the model is told about tools. Calls are not run; use a session for that. Default: none. */
  tools?: readonly ToolDescription[];
  /** Token ids to continue, as they are. */
  tokens?: ArrayLike<number>;
  /** Pause at triggers in the output and go on with what hooks return. Default: none. */
  interceptors?: readonly Interceptor[];
  /** Runs of higher priority come first: -1000 to 1000. Default 0. */
  priority?: number;
}

const readGenerateOptions = options({
  ...runChecks,
  prompt: string,
  messages: arrayOf(anything<Message>()),
  tools: arrayOf(anything<ToolDescription>()),
  tokens: tokenIds,
  interceptors,
  priority: integer(-1000, 1000),
});

type Checked = ReturnType<typeof readGenerateOptions>;

function assertOneInput({ prompt, messages, tokens }: Checked): void {
  const given = [prompt, messages, tokens].filter((input) => input !== undefined).length;
  if (given === 1) return;
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `${given} of \`prompt\`, \`messages\` and \`tokens\` are given; exactly one must be.`,
  );
}

async function encodeInput(core: EngineCore, checked: Checked, signal: AbortSignal): Promise<Int32Array> {
  const { prompt, messages, tokens, tools } = checked;
  if (tokens !== undefined) return Int32Array.from(tokens);
  if (messages !== undefined) return requireTemplate(core).renderConversation(messages, { tools, signal });
  return core.text.tokenizer.encodePromptAsync(prompt ?? '', { signal });
}

export function generate(core: EngineCore, generateOptions: GenerateOptions): Run {
  core.link.assertUsable();
  const checked = readGenerateOptions(generateOptions, '');
  assertOneInput(checked);
  const { link, codec, text } = core;
  const log = new InterceptionLog(core.observer);
  const sequence = new Sequence(link);
  const watched = checked.interceptors ?? [];
  const turn: Turn = new Turn({
    link,
    sequence,
    codec,
    observer: log,
    contextBefore: 0,
    markers: {},
    toolCallFormat: undefined,
    augmentations: () => (watched.length > 0 ? [new InterceptorSet(watched, codec)] : []),
    turn: {
      sampling: toNativeSampling(checked.sampling ?? {}),
      stopTokens: text.stopTokens,
      stopTexts: checked.stop ?? [],
      maxTokens: checked.maxTokens ?? unlimitedTokens,
    },
    signal: checked.signal,
    async begin(native, signal) {
      const tokens = await encodeInput(core, checked, signal);
      throwIfAborted(signal, 'encoding the prompt');
      sequence.submit(tokens, native, { priority: checked.priority ?? 0, keep: false });
      return { promptTokens: tokens.length };
    },
    undo: () => {},
    onSettled: () => {
      core.turns.delete(turn);
      sequence.release();
    },
  });
  core.turns.add(turn);
  void turn.start();
  return new Run(turn, log);
}
