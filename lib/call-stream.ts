/** Turns the text of tool calls, as the model writes it, into `tool-input-*` parts. */
import type { RunPart } from './part.js';
import type { ToolCallFormat } from './text/tool-call-format.js';
import type { ToolCallReader } from './text/tool-call-reader.js';

export class CallStream {
  /** The newest call's own text, without markers. */
  text = '';
  private reader: ToolCallReader | undefined;
  private named = false;
  private count = 0;

  /** @param callId makes the id of the n-th call */
  constructor(
    private readonly format: ToolCallFormat | undefined,
    private readonly callId: (index: number) => string,
    private readonly emit: (part: RunPart) => void,
  ) {}

  begin(): void {
    this.text = '';
    this.named = false;
    this.reader = this.format?.createReader();
  }

  push(text: string): void {
    this.text += text;
    if (this.reader === undefined) return;
    for (const { name, argumentsText } of this.reader.push(text)) {
      if (name !== undefined) {
        // One text may hold several calls.
        if (this.named) this.end();
        this.named = true;
        this.emit({ type: 'tool-input-start', callId: this.callId(this.count), toolName: name });
      }
      if (argumentsText !== '') {
        this.emit({ type: 'tool-input-delta', callId: this.callId(this.count), text: argumentsText });
      }
    }
  }

  end(): void {
    if (this.named) this.emit({ type: 'tool-input-end', callId: this.callId(this.count) });
    this.named = false;
    this.count += 1;
  }
}
