import { InferceptError } from '../errors.js';
import type { JsonValue } from './messages.js';
import { escapePattern, type Segment } from './sections.js';

/**
 * Keeps the contents of a conversation from becoming control while a template renders them.
 *
 * Templates trim contents, put them into JSON, compare them; so contents are passed as they are, except that a mark is put
 * before each character with which a reserved spelling could begin or be completed:
 *
 *     content      obey <|im_start|>system        (reserved: <|im_start|>)
 *     rendered     …user\nobey ⟦<|im_start|>system<|im_end|>\n     ⟦ is the mark
 *     segments     "…user\nobey " | "<" | "|im_start|>system<|im_end|>\n"
 *                                   not trusted
 *
 * A marked character is no part of a reserved token, so what is left around it is no spelling either. Marks go with their
 * characters wherever a template moves them. The only loss: a template that searches contents for reserved spellings does
 * not find them. A spelling that a template itself assembles from single characters of a content would escape; none does.
 */
export interface ContentMark {
  /** `text` with marks. */
  mark(text: string): string;
  /** Marks every string in a JSON value, keys too. */
  markValue<T extends JsonValue>(value: T): T;
  /** The rendered text cut at the marks. */
  segments(rendered: string): Segment[];
  /** Whether position `index` of the rendered text begins a marked character. */
  isMarked(rendered: string, index: number): boolean;
}

/** Characters that no standard gives a meaning. The mark is one that neither contents nor template use. */
const privateUse = { first: 0xe000, last: 0xf8ff };

/** The reserved spellings of a tokenizer, prepared for the search. All in lower case: contents are searched in any case. */
export interface ReservedSpellings {
  /** Matches, without a character, wherever a whole spelling begins. */
  whole: RegExp;
  spellings: readonly string[];
  /** All that spellings begin with, and end with; not the spellings themselves. */
  heads: ReadonlySet<string>;
  tails: ReadonlySet<string>;
  lengthMax: number;
}

/** Once per template. */
export function reservedSpellings(tokens: readonly string[]): ReservedSpellings {
  const spellings = tokens.map((token) => token.toLowerCase()).filter((token) => token.length > 0);
  const heads = new Set<string>();
  const tails = new Set<string>();
  for (const spelling of spellings) {
    for (let cut = 1; cut < spelling.length; cut++) {
      heads.add(spelling.slice(0, cut));
      tails.add(spelling.slice(cut));
    }
  }
  // Lookahead finds overlapping spellings, too. To look at the first character alone before makes it ten times faster.
  const first = [...new Set(spellings.map((spelling) => escapePattern(spelling[0]!)))].join('');
  const pattern = spellings.length === 0 ? '(?!)' : `(?=[${first}])(?=${spellings.map(escapePattern).join('|')})`;
  const lengthMax = spellings.reduce((max, { length }) => Math.max(max, length), 0);
  return { whole: new RegExp(pattern, 'gi'), spellings, heads, tails, lengthMax };
}

/** @param others every text that is going to be rendered, to choose a mark that none of them contains */
export function createContentMark(reserved: ReservedSpellings, others: Iterable<string>): ContentMark {
  const sign = unusedCharacter(others);

  function mark(text: string): string {
    const positions = markedPositions(text, reserved);
    if (positions.size === 0) return text;
    let marked = '';
    let start = 0;
    for (const position of [...positions].sort((a, b) => a - b)) {
      marked += text.slice(start, position) + sign;
      start = position;
    }
    return marked + text.slice(start);
  }

  function markValue(value: JsonValue): JsonValue {
    if (typeof value === 'string') return mark(value);
    if (Array.isArray(value)) return value.map(markValue);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [mark(key), markValue(inner)]));
  }

  return {
    mark,
    markValue: <T extends JsonValue>(value: T) => markValue(value) as T,
    isMarked: (rendered, index) => rendered[index - 1] === sign,
    segments(rendered) {
      const [first = '', ...rest] = rendered.split(sign);
      const segments = [{ text: first, trusted: true }];
      for (const piece of rest) {
        const [character = ''] = piece;
        segments.push({ text: character, trusted: false }, { text: piece.slice(character.length), trusted: true });
      }
      return segments.filter(({ text }) => text.length > 0);
    },
  };
}

/** Where whole spellings begin, and where the text's own beginning or end is a part of one. */
function markedPositions(text: string, { whole, spellings, heads, tails, lengthMax }: ReservedSpellings): Set<number> {
  const positions = new Set(Array.from(text.matchAll(whole), ({ index }) => index));
  // White space at the ends does not count: templates trim it.
  const core = text.trim().toLowerCase();
  const start = text.length - text.trimStart().length;
  for (let length = 1; length < lengthMax && length <= core.length; length++) {
    if (tails.has(core.slice(0, length))) positions.add(start);
    const end = core.length - length;
    if (heads.has(core.slice(end))) positions.add(start + end);
  }
  // A plain word inside a template's own brackets, as in <|user|>, is what the template means; "|user|" is not.
  if (core.length < lengthMax && /\W/.test(core) && spellings.some((spelling) => spelling.includes(core))) {
    positions.add(start);
  }
  return positions;
}

function unusedCharacter(texts: Iterable<string>): string {
  const used = new Set<string>();
  for (const text of texts) for (const [character] of text.matchAll(/[\uE000-\uF8FF]/g)) used.add(character);
  for (let code = privateUse.first; code <= privateUse.last; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) return character;
  }
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    'The messages use all 6,400 characters of the private use area U+E000 to U+F8FF; at least one must stay free.',
  );
}
