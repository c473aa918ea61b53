/** The output side of a turn: native text in, parts and the turn's record out. */
import { CallStream } from './call-stream.js';
import type { NativeBatch, NativeTokensEvent } from './native-protocol.js';
import { type OutputMarkers, OutputParser } from './output-parser.js';
import type { RunPart } from './part.js';
import { PartQueue } from './part-queue.js';
import type { ToolCallFormat } from './text/tool-call-format.js';
import { TurnRecord } from './turn-record.js';

export interface TurnOutputOptions {
  markers: OutputMarkers;
  /** How the model writes tool calls, if it may. */
  toolCallFormat: ToolCallFormat | undefined;
  wantsLogprobs: boolean;
  /** Makes the id of the n-th call. */
  callId(index: number): string;
  /** The consumer of the parts left. */
  onLeave(): void;
}

export class TurnOutput {
  readonly parts: PartQueue;
  readonly record: TurnRecord;
  private readonly parser: OutputParser;
  private readonly calls: CallStream;
  private segmentStart = 0;

  constructor(options: TurnOutputOptions) {
    this.parts = new PartQueue(options.onLeave);
    this.record = new TurnRecord(options.wantsLogprobs);
    this.calls = new CallStream(options.toolCallFormat, options.callId, (part) => this.emit(part));
    this.parser = new OutputParser(options.markers, {
      text: (text) => this.addText(text),
      reasoning: (text) => this.addReasoning(text),
      toolInputStart: () => this.calls.begin(),
      toolInput: (text) => this.calls.push(text),
      toolInputEnd: () => this.calls.end(),
    });
  }

  /** Text of the answer since the turn or its last interception began. */
  get segmentText(): string {
    return this.record.text.slice(this.segmentStart);
  }

  /** What stands after the marker that opens the newest tool call. */
  get callText(): string {
    return this.calls.text;
  }

  emit(part: RunPart): void {
    this.parts.push(part);
  }

  addTokens(event: NativeTokensEvent, batch: NativeBatch): void {
    this.record.addTokens(event, batch);
    this.parser.push(event.text);
  }

  /** The model's message ends here: text that was held back is text after all. */
  flush(): void {
    this.parser.flush();
  }

  /** What an interception returned; a new segment begins after it. */
  addReturned(tokens: ArrayLike<number>, text: string | undefined): void {
    // Without tokens the model goes on where it stood, maybe in the middle of a marker.
    if (tokens.length > 0) this.flush();
    this.record.addReturned(tokens);
    if (text) this.addText(text, true);
    this.segmentStart = this.record.text.length;
  }

  private addText(text: string, returned?: true): void {
    this.record.text += text;
    this.emit({ type: 'text-delta', text, ...(returned && { returned }) });
  }

  private addReasoning(text: string): void {
    this.record.reasoning += text;
    this.emit({ type: 'reasoning-delta', text });
  }
}
