import type { TokenizerPart } from '../tokenizer-source.js';

/** Larger maps do not exist: that of NFKC with case folding has 400 KB. */
const charsmapBytesMax = 16 << 20;

/** Graphemes whose replacement is remembered: more than a language has. Some are longer than any that comes twice. */
const knownMax = 16_384;
const knownLengthMax = 16;

/** What a text of the map becomes: `length` bytes of it are replaced. */
interface Match {
  length: number;
  replacement: string;
}

/**
 * SentencePiece's compiled normalization: a trie over UTF-8 (a double array), and the replacements its values point at.
 *
 *     size of the trie in bytes (4) | units of the trie (4 each) | replacements, each ended by a zero
 *
 * SentencePiece replaces the longest match at each place. The `tokenizers` library looks at one grapheme at a time, and at
 * its characters if that gives nothing, and takes the shortest match. A part with `algorithm: 'sentencepiece'` works as the
 * former, others as the latter.
 */
export function createCharsmap({ precompiled_charsmap: encoded, algorithm }: TokenizerPart): (text: string) => string {
  if (typeof encoded !== 'string' || encoded === '') return (text) => text;
  const find = createSearch(Buffer.from(encoded, 'base64'));
  if (algorithm === 'sentencepiece') return (text) => replaceLongest(text, find);
  const plain = plainRun(find);
  const known = new Map<string, string>();
  const replace = (grapheme: string): string => {
    let replacement = known.get(grapheme);
    if (replacement === undefined) {
      replacement = replaceGrapheme(grapheme, find);
      if (known.size >= knownMax) known.clear();
      if (grapheme.length <= knownLengthMax) known.set(grapheme, replacement);
    }
    return replacement;
  };
  return (text) => replaceGraphemes(text, replace, plain);
}

type Search = (bytes: Uint8Array, start: number, which: 'shortest' | 'longest') => Match | undefined;

function createSearch(map: Buffer): Search {
  const trieBytes = map.length >= 4 ? map.readUInt32LE(0) : 0;
  if (map.length > charsmapBytesMax || trieBytes % 4 !== 0 || trieBytes < 4 || 4 + trieBytes > map.length) {
    throw new Error('precompiled_charsmap is damaged');
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, index) => map.readUInt32LE(4 + index * 4));
  const replacements = map.subarray(4 + trieBytes);

  function replacement(offset: number): string {
    const end = replacements.indexOf(0, offset);
    return replacements.toString('utf8', offset, end < 0 ? replacements.length : end);
  }

  return (bytes, start, which) => {
    let node = childrenOf(units[0]!);
    let match: Match | undefined;
    for (let index = start; index < bytes.length && bytes[index] !== 0; index++) {
      node ^= bytes[index]!;
      const unit = units[node] ?? 0;
      // The label of a unit: its lowest byte, and the highest bit, which marks values.
      if ((unit & 0x800000ff) !== bytes[index]) break;
      node ^= childrenOf(unit);
      if ((unit & 0x100) === 0) continue;
      match = { length: index + 1 - start, replacement: replacement(units[node]! & 0x7fffffff) };
      if (which === 'shortest') break;
    }
    return match;
  };
}

/** Where a unit's children are, relative to it: 22 bits, shifted by eight if bit 9 is set. */
function childrenOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

function replaceLongest(text: string, find: Search): string {
  const bytes = Buffer.from(text);
  const parts: string[] = [];
  let kept = 0;
  let position = 0;
  while (position < bytes.length) {
    const match = find(bytes, position, 'longest');
    if (match === undefined) {
      position += lengthOfCharacter(bytes[position]!);
      continue;
    }
    parts.push(bytes.toString('utf8', kept, position), match.replacement);
    position += match.length;
    kept = position;
  }
  parts.push(bytes.toString('utf8', kept));
  return parts.join('');
}

function lengthOfCharacter(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** The `tokenizers` library looks up graphemes of fewer bytes only. */
const graphemeBytesMax = 6;

/** Matches characters that stay as they are, which most of a text is, if the next is one of them, too: it extends no grapheme. */
function plainRun(find: Search): RegExp {
  let plain = '';
  for (let code = 0x20; code < 0x7f; code++) {
    if (find(Uint8Array.of(code), 0, 'longest') === undefined) plain += `\\x${code.toString(16)}`;
  }
  return plain === '' ? /(?!)/y : new RegExp(`[${plain}]+(?=[${plain}]|$)`, 'y');
}

function replaceGraphemes(text: string, replace: (grapheme: string) => string, plain: RegExp): string {
  // Joined at the end: a string of hundreds of thousands that were added one by one takes long to read.
  const parts: string[] = [];
  // One for the whole text: each is an object of the host, and collecting thousands of them takes tens of milliseconds.
  let segments: Intl.Segments | undefined;
  for (let position = 0; position < text.length; ) {
    plain.lastIndex = position;
    const run = plain.exec(text)?.[0];
    if (run === undefined) segments ??= graphemes.segment(text);
    const part = run ?? segments!.containing(position)!.segment;
    parts.push(run ?? replace(part));
    position += part.length;
  }
  return parts.join('');
}

function replaceGrapheme(grapheme: string, find: Search): string {
  const bytes = Buffer.from(grapheme);
  const whole = bytes.length < graphemeBytesMax ? find(bytes, 0, 'shortest') : undefined;
  if (whole !== undefined) return whole.replacement;
  return Array.from(
    grapheme,
    (character) => find(Buffer.from(character), 0, 'shortest')?.replacement ?? character,
  ).join('');
}
