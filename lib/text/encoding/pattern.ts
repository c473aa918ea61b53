/**
 * Patterns of tokenizer.json are written for Oniguruma. This translates them to JavaScript's, faithfully: Unicode's idea
 * of white space, digits and letters, folded case, possessive repetition, sets within sets.
 *
 * Sets need the flag `v`, under which a set may hold sets and `&&`. Case-insensitive groups are spelled out, since Node 20
 * has no groups with flags of their own.
 */

const wordSet = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}';
/** Outside of sets, Oniguruma takes Latin-1's superscripts and fractions for parts of words. */
const outerWordSet = `${wordSet}\\xb2\\xb3\\xb9\\xbc-\\xbe`;
const word = `[${outerWordSet}]`;

/** Escapes whose meaning differs, outside of sets. */
const escapes: Readonly<Record<string, string>> = {
  s: '\\p{White_Space}',
  S: '\\P{White_Space}',
  d: '\\p{Nd}',
  D: '\\P{Nd}',
  w: word,
  W: `[^${outerWordSet}]`,
  h: '[0-9A-Fa-f]',
  H: '[^0-9A-Fa-f]',
  b: `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`,
  B: `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`,
  A: '(?<![\\s\\S])',
  z: '(?![\\s\\S])',
  Z: '(?=\\n?(?![\\s\\S]))',
  a: '\\x07',
  e: '\\x1b',
};

/** In Oniguruma's Ruby syntax, lines always begin and end at line feeds. */
const anchors: Readonly<Record<string, string>> = {
  '^': '(?<![^\\n])',
  $: '(?![^\\n])',
  '.': '[^\\n]',
};

/** Letters that fold to an ASCII letter beside the other case of that letter. */
const foldedAlike: Readonly<Record<string, string>> = { s: 'ſ', k: '\u212a' };

/** Throws a `SyntaxError` for what cannot be translated. */
export function translatePattern(source: string): RegExp {
  return new RegExp(createTranslator(source).alternatives(false), 'gv');
}

/** `text` as a pattern that matches just it. */
export function literalPattern(text: string): RegExp {
  return new RegExp(Array.from(text, escapeCharacter).join(''), 'gv');
}

/** A character as itself, in sets too. */
function escapeCharacter(character: string): string {
  return /[\p{L}\p{N}\s_]/u.test(character) && character.length === 1
    ? character
    : `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

function createTranslator(source: string) {
  let position = 0;
  let atomics = 0;

  const fail = (what: string): never => {
    throw new SyntaxError(`${what} at ${position} of the pattern ${JSON.stringify(source.slice(0, 200))}`);
  };
  const startsWith = (text: string): boolean => source.startsWith(text, position);
  const take = (pattern: RegExp): string | undefined => {
    const sticky = new RegExp(pattern.source, 'uy');
    sticky.lastIndex = position;
    const match = sticky.exec(source)?.[0];
    position += match?.length ?? 0;
    return match;
  };

  function alternatives(fold: boolean): string {
    let out = '';
    while (position < source.length && !startsWith(')')) out += startsWith('|') ? take(/\|/)! : repeated(fold);
    return out;
  }

  /** An atom and how often it comes. */
  function repeated(fold: boolean): string {
    let piece = atom(fold);
    for (;;) {
      const times = take(/[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\}/);
      if (times === undefined) return piece;
      piece = `${piece}${times.replace('{,', '{0,')}`;
      const after = times.startsWith('{') ? take(/\?/) : take(/[?+]/);
      // What was matched possessively is not given back: a lookahead is not entered again.
      if (after === '+') piece = atomic(piece);
      else if (after === '?') piece += '?';
      if (/[*+?{]/.test(source[position] ?? '')) piece = `(?:${piece})`;
    }
  }

  function atomic(piece: string): string {
    const name = `atomic${atomics++}`;
    return `(?:(?=(?<${name}>${piece}))\\k<${name}>)`;
  }

  function atom(fold: boolean): string {
    if (startsWith('(')) return group(fold);
    if (startsWith('[')) return set(fold);
    if (startsWith('\\')) return escaped(escapes);
    const character = take(/[\s\S]/)!;
    return anchors[character] ?? plain(character, fold);
  }

  function plain(character: string, fold: boolean): string {
    if (!fold || !/[A-Za-z]/.test(character)) return escapeCharacter(character);
    const lower = character.toLowerCase();
    return `[${lower}${lower.toUpperCase()}${foldedAlike[lower] ?? ''}]`;
  }

  function group(fold: boolean): string {
    const open = take(/\(\?(?:<?[=!]|[:>]|i:|<\w+>)|\((?!\?)/) ?? fail('Unknown group');
    const inner = alternatives(fold || open === '(?i:');
    if (take(/\)/) === undefined) fail('A group without end');
    if (open === '(?>') return atomic(inner);
    return `${/^\(\?<?[=!]$/.test(open) ? open : '(?:'}${inner})`;
  }

  /** @param meanings of the escapes that are letters */
  function escaped(meanings: Readonly<Record<string, string>>): string {
    const property = take(/\\[pP]\{[^}]*\}/);
    if (property !== undefined) return propertyOf(property);
    const code = take(/\\x\{[0-9A-Fa-f]+\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}/);
    if (code !== undefined) return `\\u{${code.replace(/[^0-9A-Fa-f]/g, '')}}`;
    const letter = take(/\\[\s\S]/)?.slice(1) ?? fail('A backslash without a character');
    if (Object.hasOwn(meanings, letter)) return meanings[letter]!;
    if (/[nrtfv]/.test(letter)) return `\\${letter}`;
    if (/[A-Za-z0-9]/.test(letter)) fail(`\\${letter} is not known`);
    return escapeCharacter(letter);
  }

  /** A set within brackets, sets within it too. Intersections bind less than what stands side by side. */
  function set(fold: boolean): string {
    const open = take(/\[\^?/)!;
    const operands = [''];
    let first = true;
    while (first || !startsWith(']')) {
      if (position >= source.length) fail('A set without end');
      if (take(/&&/) !== undefined) operands.push('');
      else operands[operands.length - 1] += member(fold, first);
      first = false;
    }
    position++;
    return `${open}${operands.length === 1 ? operands[0] : operands.map((operand) => `[${operand}]`).join('&&')}]`;
  }

  function member(fold: boolean, first: boolean): string {
    if (startsWith('[')) return set(fold);
    const low = single(first);
    if (!/^-[^\]]/u.test(source.slice(position, position + 3)) || low.length > 1 + '\\u{10ffff}'.length)
      return folded(low, fold);
    position++;
    const range = `${low}-${single(false)}`;
    // Letters of either case, from and to the same letters.
    return fold && /^([a-z]-[a-z]|[A-Z]-[A-Z])$/.test(range) ? range.toLowerCase() + range.toUpperCase() : range;
  }

  /** One character of a set, or an escape. */
  function single(first: boolean): string {
    if (startsWith('\\')) return escaped(setEscapes);
    if (first && startsWith(']')) return escapeCharacter(take(/\]/)!);
    return escapeCharacter(take(/[\s\S]/)!);
  }

  function folded(character: string, fold: boolean): string {
    if (!fold || !/^[A-Za-z]$/.test(character)) return character;
    const lower = character.toLowerCase();
    return `${lower}${lower.toUpperCase()}${foldedAlike[lower] ?? ''}`;
  }

  return {
    alternatives(fold: boolean): string {
      const out = alternatives(fold);
      if (position < source.length) fail('A parenthesis too many');
      return out;
    },
  };
}

/** {@link escapes} within sets. */
const setEscapes: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(escapes).filter(([name]) => /[sSdDhHae]/.test(name))),
  w: `[${wordSet}]`,
  W: `[^${wordSet}]`,
};

/** Oniguruma knows scripts by their bare names. */
function propertyOf(property: string): string {
  try {
    new RegExp(property, 'v');
    return property;
  } catch {
    return property.replace('{', '{Script=');
  }
}
