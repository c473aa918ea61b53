/**
 * Splits what a model writes into answer, reasoning and tool calls by the template's markers, however the text is cut
 * into pieces. Text that may be the beginning of a marker is held back until it is clear.
 */

export interface Marker {
  open: string;
  /** Other texts that do the same. */
  alsoOpen?: readonly string[] | undefined;
  /** Absent: the end of the output closes it. */
  close?: string | undefined;
  /** Whether `open` counts only at the start of the output. Default false. */
  onlyAtStart?: boolean | undefined;
}

export interface OutputMarkers {
  reasoning?: Marker | undefined;
  toolCall?: Marker | undefined;
  /** Texts that are no part of anything. */
  silent?: readonly string[] | undefined;
}

export interface OutputSink {
  text(text: string): void;
  reasoning(text: string): void;
  toolInputStart(): void;
  toolInput(text: string): void;
  toolInputEnd(): void;
}

/** Length of the longest end of `text` with which one of the markers may begin. */
function heldLength(text: string, markers: readonly string[]): number {
  let held = 0;
  for (const marker of markers) {
    for (let length = Math.min(marker.length - 1, text.length); length > held; length -= 1) {
      if (marker.startsWith(text.slice(text.length - length))) held = length;
    }
  }
  return held;
}

type State = 'text' | 'reasoning' | 'tool';

export class OutputParser {
  private state: State = 'text';
  private pending = '';
  /** White space after a tool call: it separates calls, unless text follows. */
  private separator: string | undefined;
  /** Whether the present output has said anything but white space. */
  private started = false;

  constructor(
    private readonly markers: OutputMarkers,
    private readonly sink: OutputSink,
  ) {}

  push(text: string): void {
    this.pending += text;
    while (this.step()) {
      // Each step consumes one marker.
    }
  }

  /** The output ends or is interrupted here: what was held back is text after all. */
  flush(): void {
    this.emit(this.pending);
    this.pending = '';
    if (this.state === 'tool') this.sink.toolInputEnd();
    this.state = 'text';
    this.separator = undefined;
    this.started = false;
  }

  /** Emits what is certain; true if a marker was consumed. */
  private step(): boolean {
    const awaited = this.awaited();
    let found: { index: number; length: number; next: State } | undefined;
    for (const { marker, next } of awaited) {
      const index = this.pending.indexOf(marker);
      if (index >= 0 && (found === undefined || index < found.index)) found = { index, length: marker.length, next };
    }
    if (found === undefined) {
      const certain =
        this.pending.length -
        heldLength(
          this.pending,
          awaited.map(({ marker }) => marker),
        );
      this.emit(this.pending.slice(0, certain));
      this.pending = this.pending.slice(certain);
      return false;
    }
    this.emit(this.pending.slice(0, found.index));
    this.pending = this.pending.slice(found.index + found.length);
    this.enter(found.next);
    return true;
  }

  private awaited(): { marker: string; next: State }[] {
    const { reasoning, toolCall, silent = [] } = this.markers;
    if (this.state !== 'text') {
      const close = (this.state === 'tool' ? toolCall : reasoning)?.close;
      return close === undefined ? [] : [{ marker: close, next: 'text' }];
    }
    const opens: { marker: string; next: State }[] = [];
    const add = (marker: Marker | undefined, next: State): void => {
      if (marker === undefined) return;
      for (const open of [marker.open, ...(marker.alsoOpen ?? [])]) {
        if (!marker.onlyAtStart || this.mayStartWith(open)) opens.push({ marker: open, next });
      }
    };
    add(toolCall, 'tool');
    add(reasoning, 'reasoning');
    for (const marker of silent) opens.push({ marker, next: 'text' });
    return opens;
  }

  /** Whether nothing but white space stands before what is, or may become, the marker. */
  private mayStartWith(marker: string): boolean {
    const text = this.pending.trimStart();
    return !this.started && (text.startsWith(marker) || marker.startsWith(text));
  }

  private enter(next: State): void {
    if (this.state === 'tool') this.sink.toolInputEnd();
    this.separator = this.state === 'tool' ? '' : undefined;
    if (next === 'tool') this.sink.toolInputStart();
    this.state = next;
  }

  private emit(text: string): void {
    if (text === '') return;
    this.started ||= /\S/.test(text);
    if (this.state === 'tool') this.sink.toolInput(text);
    else if (this.state === 'reasoning') this.sink.reasoning(text);
    else this.emitText(text);
  }

  private emitText(text: string): void {
    if (this.separator !== undefined && !/\S/.test(text)) {
      this.separator += text;
      return;
    }
    this.sink.text((this.separator ?? '') + text);
    this.separator = undefined;
  }
}
