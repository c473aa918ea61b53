/** What an engine shares with its sessions and runs. Internal. */
import { InferceptError } from './errors.js';
import type { TextCodec } from './interception.js';
import type { NativeLink } from './native-link.js';
import type { Marker } from './output-parser.js';
import type { Session } from './session.js';
import type { ChatTemplate } from './text/chat-template.js';
import type { Tokenizer } from './text/tokenizer.js';
import type { ToolCallFormat } from './text/tool-call-format.js';
import type { Turn } from './turn.js';
import type { InterceptionObserver } from './turn-options.js';

/** The model's side of text. */
export interface ModelText {
  tokenizer: Tokenizer;
  /** Absent for models that were not made for conversations. */
  template: ChatTemplate | undefined;
  /** How the model writes tool calls, if its template tells. */
  toolCallFormat: ToolCallFormat | undefined;
  /** Around reasoning, if the template knows of it. */
  reasoning: Marker | undefined;
  /** Tokens that end a turn. */
  stopTokens: Int32Array;
}

export interface EngineCore {
  readonly link: NativeLink;
  readonly text: ModelText;
  readonly codec: TextCodec;
  readonly observer: InterceptionObserver;
  /** To be disposed with the engine. */
  readonly sessions: Set<Session>;
  /** Active turns, to be failed when the engine is disposed. */
  readonly turns: Set<Turn>;
}

/** The chat template. @throws InferceptError `ERR_MODEL_UNSUPPORTED` */
export function requireTemplate({ text }: EngineCore): ChatTemplate {
  if (text.template !== undefined) return text.template;
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    'The model has no chat template, so it has no sessions and takes no messages; use engine.generate({ prompt }).',
  );
}

/** How tools are called. @throws InferceptError `ERR_MODEL_UNSUPPORTED` */
export function requireToolCallFormat(core: EngineCore): ToolCallFormat {
  const { toolCallFormat } = core.text;
  if (toolCallFormat !== undefined && requireTemplate(core).supportsTools) return toolCallFormat;
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    "The model's chat template does not tell how to call tools in a format that is known here.",
  );
}
