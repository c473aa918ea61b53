/** What a turn is made of, and who hears of it. */
import type { Augmentation } from './augmentation.js';
import type { InferceptError } from './errors.js';
import type { TextCodec } from './interception.js';
import type { InterceptionRecord } from './interception-record.js';
import type { NativeTurn } from './native-commands.js';
import type { NativeLink } from './native-link.js';
import type { NativeDecisionEvent } from './native-protocol.js';
import type { OutputMarkers } from './output-parser.js';
import type { InterceptionDecisionPart, RunResult } from './part.js';
import type { Sequence } from './sequence.js';
import type { ToolCallFormat } from './text/tool-call-format.js';
import type { Turn } from './turn.js';

/** Who hears of interceptions: the engine's events. */
export interface InterceptionObserver {
  onPause(sequence: number, kind: string, contextTokens: number): void;
  onResume(sequence: number, record: InterceptionRecord): void;
  onDecision(sequence: number, part: InterceptionDecisionPart): void;
  onFinish(sequence: number, result: RunResult): void;
}

/** How a turn ended, for its owner. */
export type TurnOutcome = { result: RunResult } | { error: InferceptError };

export interface TurnOptions {
  link: NativeLink;
  sequence: Sequence;
  codec: TextCodec;
  observer: InterceptionObserver;
  /** Tokens that the context has before the turn. */
  contextBefore: number;
  augmentations(turn: Turn): readonly Augmentation[];
  markers: OutputMarkers;
  /** How the model writes tool calls, if it may. */
  toolCallFormat: ToolCallFormat | undefined;
  /** All but the triggers, which come from the augmentations. */
  turn: Omit<NativeTurn, 'triggers'>;
  signal: AbortSignal | undefined;
  /** Makes the tokens that begin the turn, and hands them in with the turn. */
  begin(turn: NativeTurn, signal: AbortSignal): Promise<{ promptTokens: number; kind?: string }>;
  /** Undoes the turn natively, in whatever state it is. */
  undo(): void;
  /** Called once, before the run settles. */
  onSettled(outcome: TurnOutcome): void;
}

/** The twin of UINT32_MAX in `addon/sched/event.h`. */
const unlimitedBlocks = 2 ** 32 - 1;

export function toDecisionPart(event: NativeDecisionEvent, kind: string): InterceptionDecisionPart {
  return {
    type: 'interception-decision',
    kind,
    disposition: event.disposition,
    blocks: event.blocks,
    waste: { preserve: event.wastePreserve, swap: event.wasteSwap, discard: event.wasteDiscard },
    estimate: { elapsedMs: event.elapsedMs, expectedMs: event.expectedMs, source: event.estimateSource },
    pressure: {
      freeBlocks: event.freeBlocks,
      availableBlocks: event.availableBlocks,
      shortageBlocks: event.shortageBlocks,
      hostFreeBlocks: event.hostFreeBlocks,
      copyBudgetBlocks: event.copyBudgetBlocks === unlimitedBlocks ? null : event.copyBudgetBlocks,
    },
  };
}
