/**
 * Runs the tools of one turn. A call starts as soon as the model has written it, calls of one message run at the same
 * time, and when the model ends its message the results of all of them go back in the order of the calls.
 */
import { argumentShape } from './argument-shape.js';
import type { Answer, Augmentation, Pause } from './augmentation.js';
import type { InferceptError } from './errors.js';
import { toToolCall } from './exchange.js';
import type { NativeTrigger } from './native-commands.js';
import type { FinishReason, ToolCallRecord } from './part.js';
import type { InterceptionFacts } from './sequence.js';
import type { Session } from './session.js';
import type { Message } from './text/messages.js';
import type { ParsedToolCall, ToolCallFormat } from './text/tool-call-format.js';
import type { Tool } from './tool.js';
import { type Approve, type CallOutcome, runToolCall } from './tool-call.js';
import type { Turn } from './turn.js';

export interface ToolRunnerOptions {
  turn: Turn;
  session: Session;
  tools: ReadonlyMap<string, Tool>;
  format: ToolCallFormat;
  approve: Approve | undefined;
  /** Messages with calls that are run; calls beyond end the turn. */
  roundsMax: number;
  /** Tells the scheduler about the wait. */
  mark(facts: InterceptionFacts): void;
  /** The tokens that add these messages to the context, after the sampled end of the assistant's message. */
  renderResults(assistant: Message, results: Message[]): Promise<ArrayLike<number>>;
}

interface RunningCall {
  record: ToolCallRecord;
  tool: Tool | undefined;
  /** Of its arguments. */
  shape: string | undefined;
  /** When it is expected to end, in performance.now() milliseconds; undefined while unknown. */
  expectedEnd: number | undefined;
  settled: boolean;
  outcome: Promise<CallOutcome>;
}

export class ToolRunner implements Augmentation {
  readonly triggers: NativeTrigger[];
  private calls: RunningCall[] = [];
  private callCount = 0;
  private rounds = 0;

  constructor(private readonly options: ToolRunnerOptions) {
    const { open, alsoOpen = [], close = '' } = options.format;
    this.triggers = [open, ...alsoOpen].map((text) => {
      return { text, tokens: new Int32Array(), until: close, pauseAtStop: true };
    });
  }

  kind(): string {
    return this.slowest()?.tool?.kind ?? 'tool:unknown';
  }

  matched(_index: number, text: string): void {
    // Without a closing marker the call is complete when the model stops.
    if (this.options.format.close !== undefined) this.startAll(text);
  }

  async answer(pause: Pause): Promise<Answer | FinishReason> {
    const { format } = this.options;
    if (format.close === undefined) {
      if (pause.openCall === '') return 'stop';
      this.startAll(pause.openCall);
    }
    if (this.rounds >= this.options.roundsMax) return 'tool-calls';
    this.rounds += 1;
    this.announce();
    const { calls } = this;
    const outcomes = await Promise.all(calls.map(({ outcome }) => outcome));
    this.calls = [];
    const records = calls.map(({ record }) => record);
    const assistant: Message = { role: 'assistant', content: pause.text, toolCalls: records.map(toToolCall) };
    const results = records.map((record, index): Message => {
      return { role: 'tool', toolCallId: record.callId, name: record.toolName, content: outcomes[index]!.text };
    });
    return { tokens: await this.options.renderResults(assistant, results) };
  }

  private startAll(text: string): void {
    for (const parsed of this.options.format.parse(text)) this.start(parsed);
  }

  private start(parsed: ParsedToolCall): void {
    const { turn, tools, session, approve, roundsMax } = this.options;
    const callId = turn.callId(this.callCount);
    this.callCount += 1;
    const { toolName, input } =
      'error' in parsed ? { toolName: '', input: {} } : { toolName: parsed.name, input: parsed.arguments };
    const record: ToolCallRecord = { callId, toolName, input, durationMs: 0 };
    turn.output.record.toolCalls.push(record);
    turn.output.emit({ type: 'tool-call', callId, toolName, input });
    if (this.rounds >= roundsMax) return;
    const tool = tools.get(toolName);
    const call: RunningCall = {
      record,
      tool,
      shape: tool && argumentShape(input, tool.jsonSchema),
      expectedEnd: tool?.expectedMs === undefined ? undefined : performance.now() + tool.expectedMs,
      settled: false,
      outcome: runToolCall({
        parsed,
        tool,
        toolNames: [...tools.keys()],
        callId,
        session,
        approve,
        signal: turn.signal,
        announce: (remainingMs) => {
          call.expectedEnd = performance.now() + remainingMs;
          this.announce();
        },
      }).then((outcome) => this.onSettled(call, outcome)),
    };
    this.calls.push(call);
    this.announce();
  }

  private onSettled(call: RunningCall, outcome: CallOutcome): CallOutcome {
    const { turn } = this.options;
    call.settled = true;
    call.record.durationMs = outcome.durationMs;
    const { callId, toolName } = call.record;
    const common = { callId, toolName, durationMs: outcome.durationMs };
    if (outcome.error === undefined) {
      call.record.output = outcome.output;
      turn.output.emit({ type: 'tool-result', ...common, output: outcome.output });
    } else {
      call.record.error = outcome.error;
      turn.output.emit({ type: 'tool-error', ...common, error: outcome.error });
      this.throwIfWanted(call, outcome.error);
    }
    this.announce();
    return outcome;
  }

  private throwIfWanted(call: RunningCall, error: InferceptError): void {
    if (call.tool?.onError === 'throw') this.options.turn.fail(error);
  }

  /** The unsettled call that is expected to end last; one of unknown duration before all others. */
  private slowest(): RunningCall | undefined {
    const pending = this.calls.filter(({ settled }) => !settled);
    const candidates = pending.length > 0 ? pending : this.calls;
    return candidates.reduce<RunningCall | undefined>((slowest, call) => {
      const end = call.expectedEnd ?? Number.POSITIVE_INFINITY;
      return slowest === undefined || end > (slowest.expectedEnd ?? Number.POSITIVE_INFINITY) ? call : slowest;
    }, undefined);
  }

  /** Tells the scheduler what the wait depends on now. */
  private announce(): void {
    if (this.options.turn.settled) return;
    const call = this.slowest();
    if (call === undefined) return;
    const facts: InterceptionFacts = { kind: this.kind(), shape: call.shape };
    if (call.settled) facts.remainingMs = 0;
    else if (call.expectedEnd !== undefined) facts.remainingMs = Math.max(0, call.expectedEnd - performance.now());
    if (call.tool?.disposition !== undefined) facts.disposition = call.tool.disposition;
    this.options.mark(facts);
  }
}
