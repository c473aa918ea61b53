/** Records what an engine's sequences do as sessions of a trace: sizes and times, never a token. */
import type { Engine, EngineEvents } from './engine.js';
import { addDecision, type ExplainedInterception, toOutcome } from './explanation.js';
import type { InterceptionRecord } from './interception-record.js';
import type { SessionSegment, SimulatedSession } from './workload.js';

/** Listens until it is stopped. */
export interface TraceRecorder {
  /** What ended so far, in order of arrival: sessions with their last completed run as the end. */
  sessions(): SimulatedSession[];
  stop(): void;
}

type Event<Name extends keyof EngineEvents> = EngineEvents[Name][0];

/**
 * Begins to record. A sequence becomes one session of the trace: a call of `engine.generate`, or a session with all its sends,
 * whose gaps are interceptions of kind `human`. Runs that began before or that fail are left out. Equal beginnings are not
 * recognized: no session of a recorded trace shares a prefix. Each interception comes with what was decided about it and what
 * that cost, as `session.explain()` tells it.
 */
export function recordTrace(engine: Engine): TraceRecorder {
  const startedAt = performance.now();
  const sequences = new Map<number, RecordedSequence>();
  const recordOf = (sequence: number): RecordedSequence => {
    const known = sequences.get(sequence) ?? new RecordedSequence();
    sequences.set(sequence, known);
    return known;
  };
  const onPause = (event: Event<'interception-start'>) => recordOf(event.sequence).pause(event);
  const onDecision = (event: Event<'interception-decision'>) => recordOf(event.sequence).decide(event);
  const onResume = (event: Event<'interception-end'>) => recordOf(event.sequence).resume(event);
  const onFinish = (event: Event<'run-finish'>) =>
    recordOf(event.sequence).finish(event, performance.now() - startedAt);
  engine.on('interception-start', onPause).on('interception-decision', onDecision);
  engine.on('interception-end', onResume).on('run-finish', onFinish);
  return {
    sessions: () =>
      [...sequences.values()]
        .flatMap((sequence) => sequence.toSession() ?? [])
        .sort((one, other) => one.arrivalMs - other.arrivalMs),
    stop() {
      engine.off('interception-start', onPause).off('interception-decision', onDecision);
      engine.off('interception-end', onResume).off('run-finish', onFinish);
    },
  };
}

class RecordedSequence {
  private readonly pauses: ExplainedInterception[] = [];
  private begun: { arrivalMs: number; promptTokens: number } | undefined;
  private contextTokens = 0;
  /** Pauses that ended before the end of the last completed run. */
  private completed = 0;

  pause({ kind, contextTokens }: Event<'interception-start'>): void {
    this.pauses.push({ kind, contextTokens, decisions: [], outcome: null });
  }

  decide(decision: Event<'interception-decision'>): void {
    const open = this.pauses.at(-1);
    if (open !== undefined) addDecision(open, decision);
  }

  resume({ sequence: _, ...record }: { sequence: number } & InterceptionRecord): void {
    const open = this.pauses.at(-1);
    // A fork's first message ends a wait that began as its parent's.
    if (open !== undefined) open.outcome = toOutcome(record);
  }

  finish({ usage, timings }: Event<'run-finish'>, nowMs: number): void {
    const ended = this.pauses.filter(({ outcome }) => outcome !== null);
    const returned = ended.reduce((sum, { outcome }) => sum + outcome!.returnedTokens, 0);
    this.begun ??= {
      // A run that arrived before the recording began, began with it.
      arrivalMs: Math.max(0, nowMs - timings.totalMs),
      promptTokens: Math.max(1, usage.contextTokens - usage.completionTokens - returned),
    };
    this.contextTokens = usage.contextTokens;
    this.completed = ended.length;
  }

  toSession(): SimulatedSession | undefined {
    if (this.begun === undefined) return undefined;
    const segments: SessionSegment[] = [];
    let before = this.begun.promptTokens;
    const ended = this.pauses.filter(({ outcome }) => outcome !== null);
    for (const { kind, contextTokens, decisions, outcome } of ended.slice(0, this.completed)) {
      const { waitedMs, returnedTokens, ...cost } = outcome!;
      segments.push({
        decodeTokens: Math.max(1, contextTokens - before),
        kind,
        durationMs: waitedMs,
        returnedTokens,
        explained: { decisions, cost },
      });
      before = contextTokens + returnedTokens;
    }
    return { ...this.begun, segments: [...segments, { decodeTokens: Math.max(1, this.contextTokens - before) }] };
  }
}
