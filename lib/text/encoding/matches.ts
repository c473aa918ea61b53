/** What a pattern found. */
export interface Match {
  index: number;
  text: string;
}

/**
 * Characters that a pattern sees at once. A greedy repetition over a whole large text takes tens of milliseconds, and over
 * some millions of characters it exhausts the stack of JavaScript's engine.
 */
const windowLength = 16_384;
/** A longer match sees a larger window, up to this one; a word that is longer still is cut here. */
const windowLengthMax = 131_072;
/** A match that ends closer than this to the end of its window may depend on what comes behind it. */
const margin = 1024;
/** What a pattern may look back at: a whole character. */
const context = 2;

/**
 * All matches of a global pattern, as `matchAll` finds them, from texts of any length. Undefined where a part of a long text has
 * been searched: whoever works in steps may end one there.
 */
export function matchesOf(text: string, pattern: RegExp): Iterable<Match | undefined> {
  return text.length <= windowLength ? matchesOfShort(text, pattern) : matchesOfLong(text, pattern);
}

function* matchesOfShort(text: string, pattern: RegExp): Iterable<Match> {
  for (const { 0: found, index } of text.matchAll(pattern)) yield { index, text: found };
}

function* matchesOfLong(text: string, shared: RegExp): Iterable<Match | undefined> {
  // Others may use the shared one between two matches.
  const pattern = new RegExp(shared);
  let length = windowLength;
  for (let position = 0; position < text.length; ) {
    const { matches, next } = search(text, pattern, { from: position, length });
    yield* matches;
    yield undefined;
    length = next === position ? length * 2 : windowLength;
    position = next;
  }
}

/** The matches in a window that are certain, and where the next one may begin. */
function search(
  text: string,
  pattern: RegExp,
  { from, length }: { from: number; length: number },
): { matches: Match[]; next: number } {
  const start = Math.max(0, from - context);
  const end = endOfWindow(text, from + length);
  const isLargest = end === text.length || length >= windowLengthMax;
  const certainEnd = isLargest ? end : endOfWindow(text, end - margin);
  const part = text.slice(start, end);
  const matches: Match[] = [];
  let next = from;
  pattern.lastIndex = from - start;
  for (let match = pattern.exec(part); match !== null; match = pattern.exec(part)) {
    const index = start + match.index;
    if (index + match[0].length > certainEnd) return { matches, next: Math.max(next, index) };
    matches.push({ index, text: match[0] });
    if (match[0].length === 0) pattern.lastIndex += lengthAt(part, match.index);
    next = start + pattern.lastIndex;
  }
  return { matches, next: Math.max(next, certainEnd) };
}

/** At most `end`, and not within a character. */
function endOfWindow(text: string, end: number): number {
  if (end >= text.length) return text.length;
  const unit = text.charCodeAt(end);
  return unit >= 0xdc00 && unit <= 0xdfff ? end - 1 : end;
}

function lengthAt(text: string, index: number): number {
  return (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
}
