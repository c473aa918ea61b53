/** Why a context was kept, moved or given up while it waited, and whether that was right: `session.explain()`. */
import type { InterceptionDecision, InterceptionRecord } from './interception-record.js';
import type { InterceptionDecisionPart } from './part.js';
import type { InterceptionObserver } from './turn-options.js';

/** The last interceptions of a session or run, oldest first: at most 32. Plain JSON. */
export interface Explanation {
  interceptions: ExplainedInterception[];
}

export interface ExplainedInterception {
  /** For example `tool:calculator`; between two messages `human`. */
  kind: string;
  /** Of the context when it began to wait. */
  contextTokens: number;
  /** In order; of more than 16 the newest. */
  decisions: InterceptionDecision[];
  /** How it ended and what that cost. `null` while the context waits, and if the run ended before the wait did. */
  outcome: InterceptionOutcome | null;
}

export type InterceptionOutcome = Omit<InterceptionRecord, 'kind'>;

/** A session of 20 tools and messages a turn is explained over its last turn, in some 20 kB. */
const interceptionsKept = 32;
/** A decision is told when it differs from the one before, so few contexts have as many. */
const decisionsKept = 16;

/** Hears of all interceptions of one context, keeps the last ones, and passes everything on. */
export class InterceptionLog implements InterceptionObserver {
  private readonly interceptions: ExplainedInterception[] = [];

  constructor(private readonly next: InterceptionObserver) {}

  explain(): Explanation {
    return structuredClone({ interceptions: this.interceptions });
  }

  onPause(sequence: number, kind: string, contextTokens: number): void {
    this.interceptions.push({ kind, contextTokens, decisions: [], outcome: null });
    if (this.interceptions.length > interceptionsKept) this.interceptions.shift();
    this.next.onPause(sequence, kind, contextTokens);
  }

  onDecision(sequence: number, part: InterceptionDecisionPart): void {
    const last = this.interceptions.at(-1);
    if (last !== undefined) addDecision(last, part);
    this.next.onDecision(sequence, part);
  }

  onResume(sequence: number, record: InterceptionRecord): void {
    const last = this.interceptions.at(-1);
    if (last !== undefined) last.outcome = toOutcome(record);
    this.next.onResume(sequence, record);
  }

  onFinish(...event: Parameters<InterceptionObserver['onFinish']>): void {
    this.next.onFinish(...event);
  }
}

/** As an event may have it, with more members than these. */
export function addDecision(
  { decisions }: ExplainedInterception,
  { disposition, blocks, waste, estimate, pressure }: InterceptionDecision,
): void {
  decisions.push({ disposition, blocks, waste, estimate, pressure });
  if (decisions.length > decisionsKept) decisions.shift();
}

export function toOutcome({ kind: _, ...outcome }: InterceptionRecord): InterceptionOutcome {
  return outcome;
}

/**
 * A few lines of text per interception:
 *
 *     tool:search, 812 tokens
 *       after 0 ms preserve: 840 ms more (learned) would waste 1.2 MB·s, swap 0 B·s, discard 3.4 MB·s; 12 blocks available, 0 short
 *       came back after 840 ms + 3 ms, preserved: 0 blocks copied, 0 tokens recomputed; wasted 0 B·s, regret 0 B·s
 */
export function formatExplanation({ interceptions }: Explanation): string {
  return interceptions.map(formatInterception).join('\n');
}

function formatInterception({ kind, contextTokens, decisions, outcome }: ExplainedInterception): string {
  const lines = [
    `${kind}, ${counted(contextTokens, 'token')}`,
    ...decisions.map(formatDecision),
    outcome === null ? 'has not come back' : formatOutcome(outcome),
  ];
  return lines.join('\n  ');
}

function formatDecision({ disposition, blocks, waste, estimate, pressure }: InterceptionDecision): string {
  const { elapsedMs, expectedMs, source } = estimate;
  const moved = blocks === 0 ? disposition : `${disposition} ${counted(blocks, 'block')}`;
  const budget = pressure.copyBudgetBlocks === null ? 'no copy budget' : `copy budget ${pressure.copyBudgetBlocks}`;
  return (
    `after ${milliseconds(elapsedMs)} ${moved}: ${milliseconds(expectedMs)} more (${source}) would waste ` +
    `${byteSeconds(waste.preserve)}, swap ${byteSeconds(waste.swap)}, discard ${byteSeconds(waste.discard)}; ` +
    `${counted(pressure.availableBlocks, 'block')} available, ${pressure.shortageBlocks} short, ` +
    `${pressure.hostFreeBlocks} free on the host, ${budget}`
  );
}

const pastTense = { preserve: 'preserved', swap: 'swapped', discard: 'discarded' } as const;

function formatOutcome(outcome: InterceptionOutcome): string {
  const { waitedMs, delayMs, disposition, swappedBlocks, recomputedTokens, hindsight } = outcome;
  const cost = `${counted(swappedBlocks, 'block')} copied back, ${counted(recomputedTokens, 'token')} recomputed`;
  const back = `came back after ${milliseconds(waitedMs)} + ${milliseconds(delayMs)}, ${pastTense[disposition]}: ${cost}`;
  if (hindsight === null) return back;
  const { preserve, swap, discard } = hindsight.alternatives;
  return (
    `${back}; wasted ${byteSeconds(hindsight.waste)} (preserve ${byteSeconds(preserve)}, ` +
    `swap ${swap === null ? 'impossible' : byteSeconds(swap)}, discard ${byteSeconds(discard)}), ` +
    `regret ${byteSeconds(hindsight.regret)}`
  );
}

function counted(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}

function milliseconds(value: number): string {
  return value < 10_000 ? `${Number(value.toPrecision(2))} ms` : `${Math.round(value / 1000)} s`;
}

/** Two digits: these are estimates, and to be compared by magnitude. */
function byteSeconds(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1000 ** unit).toPrecision(2))} ${units[unit]}·s`;
}
