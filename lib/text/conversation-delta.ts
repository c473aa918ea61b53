import { InferceptError } from '../errors.js';
import type { RenderOptions } from './chat-template.js';
import type { Message } from './messages.js';
import { plain } from './template-contents.js';
import { endOfWord, type Rendered, type TemplateRenderer } from './template-renderer.js';

/**
 * Where in a rendered conversation the sampled turn ends and the new messages begin:
 *
 *     <|im_start|>assistant\nPlaceholderAnswer<|im_end|>\n<|im_start|>user\nAnd you?<|im_end|>\n…
 *                                             ^ closing ^ added
 */
export interface DeltaPosition {
  whole: Rendered;
  closing: number;
  added: number;
}

/**
 * Renders the conversation with a placeholder for the assistant's turn that was sampled, to see what follows it.
 * @param previous ends with that turn
 * @throws InferceptError `ERR_MODEL_UNSUPPORTED` if the placeholder cannot be found
 */
export function findDelta(
  renderer: TemplateRenderer,
  previous: readonly Message[],
  added: readonly Message[],
  options: RenderOptions,
): DeltaPosition {
  const last = previous.at(-1);
  if (last?.role !== 'assistant') throw noAssistant(last);
  const placeholder = unusedWord(JSON.stringify(plain([previous, added, options.tools ?? []])));
  const before = previous.slice(0, -1);
  const bare: Message = { role: 'assistant', content: placeholder };
  const withCalls: Message = { ...last, content: placeholder };
  // Calls are left out, unless the template wants to see them before their results.
  let refusal: unknown;
  for (const turn of last.toolCalls === undefined ? [bare] : [bare, withCalls]) {
    try {
      const position = locate(renderer, [...before, turn], added, placeholder, options);
      if (position !== undefined) return position;
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal ?? unstable();
}

function locate(
  renderer: TemplateRenderer,
  previous: readonly Message[],
  added: readonly Message[],
  placeholder: string,
  options: RenderOptions,
): DeltaPosition | undefined {
  const all = [...previous, ...added];
  const mark = renderer.markFor(all, options);
  const alone = renderer.render(previous, { ...options, addGenerationPrompt: false }, mark);
  const whole = renderer.render(all, options, mark);
  const turnEnd = endOfWord(alone, placeholder);
  const closing = endOfWord(whole, placeholder);
  if (turnEnd === undefined || closing === undefined) return undefined;

  const control = renderer.findControl(alone, turnEnd);
  if (control === undefined) {
    // The turn ends by text, or only when another follows.
    const next = renderer.findControl(whole, closing);
    return { whole, closing, added: next?.start === closing ? next.end : closing };
  }
  if (!whole.text.startsWith(alone.text.slice(turnEnd, control.end), closing)) return undefined;
  const start = closing + control.start - turnEnd;
  // Calls stand between the placeholder and the control token; they were sampled.
  const hasCalls = 'toolCalls' in (previous.at(-1) ?? {});
  return { whole, closing: hasCalls ? start : closing, added: start + control.end - control.start };
}

function unusedWord(text: string): string {
  let word = 'PlaceholderAnswer';
  while (text.includes(word)) word += 'X';
  return word;
}

function noAssistant(last: Message | undefined): InferceptError {
  return new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `The messages in the context end with ${last === undefined ? 'none' : `one of role ${last.role}`}; ` +
      'expected the turn of the assistant that was sampled (its content may be empty).',
  );
}

function unstable(): InferceptError {
  return new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    "The model's chat template hides or repeats the assistant's last turn, so that a conversation cannot be continued " +
      'without rendering it anew. Pass a chat template of your own.',
  );
}
