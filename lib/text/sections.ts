import { whiteSpaceEnd, whiteSpaceStart } from './encoding/normalizers.js';
import type { AddedToken } from './tokenizer-source.js';

/** A piece of text and whether it may spell control tokens. */
export interface Segment {
  text: string;
  /** True only for a chat template's own text. */
  trusted: boolean;
}

/**
 * Where a text stands. SentencePiece tokenizers put a space before a text at the `start`, and some before each that
 * stands `after-control`; a `continuation` never gets one. For byte-level tokenizers it makes no difference.
 */
export type TextPosition = 'start' | 'after-control' | 'continuation';

/** What a list of segments consists of: ids of reserved tokens, and texts between them. */
export type Section = { id: number } | { text: string; position: TextPosition };

export type SectionCutter = (segments: readonly Segment[], position: TextPosition) => Section[];

/** Makes the function that finds reserved tokens in trusted text; at each place the longest one counts. */
export function createSectionCutter(reserved: readonly AddedToken[]): SectionCutter {
  const byContent = new Map(
    reserved.filter(({ content }) => content.length > 0).map((token) => [token.content, token]),
  );
  const pattern = spellingPattern([...byContent.keys()]);

  return (segments, position) => {
    const sections = createSectionList(position);
    for (const { text, trusted } of segments) {
      let end = 0;
      for (const match of trusted ? text.matchAll(pattern) : []) {
        sections.addText(text.slice(end, match.index));
        sections.addToken(byContent.get(match[0])!);
        end = match.index + match[0].length;
      }
      sections.addText(text.slice(end));
    }
    return sections.finish();
  };
}

/** Joins texts until a token comes between them. Tokens may take the white space beside them away. */
function createSectionList(position: TextPosition) {
  const sections: Section[] = [];
  let text = '';
  let stripStart = false;

  function flush(): void {
    if (text.length > 0) sections.push({ text, position: sections.length > 0 ? 'after-control' : position });
    text = '';
  }

  return {
    addText(piece: string): void {
      text += stripStart ? piece.replace(whiteSpaceStart, '') : piece;
      if (text.length > 0) stripStart = false;
    },
    addToken({ id, lstrip, rstrip }: AddedToken): void {
      if (lstrip === true) text = text.replace(whiteSpaceEnd, '');
      flush();
      sections.push({ id });
      stripStart = rstrip === true;
    },
    finish(): Section[] {
      flush();
      return sections;
    },
  };
}

/** Matches any of the spellings, the longest first; nothing if there are none. */
export function spellingPattern(spellings: readonly string[]): RegExp {
  if (spellings.length === 0) return /(?!)/g;
  return new RegExp(
    [...spellings]
      .sort((a, b) => b.length - a.length)
      .map(escapePattern)
      .join('|'),
    'g',
  );
}

/** `text` as a regular expression that matches just it; also inside a character class. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
