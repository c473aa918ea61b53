/**
 * Where a long text can be taken apart: what comes before and what comes behind are normalized, and fall into graphemes, each
 * as if the other were not there.
 */

/**
 * Letters, ideographs and pictures that join nothing beside them but marks and joiners, which are not among them: Latin, Greek,
 * Cyrillic, Hebrew, Arabic, Devanagari, Thai, kana, ideographs, Hangul syllables, white space, pictures.
 */
const apart =
  '\\n -~\\xa0\\xc0-\\u024f\\u0391-\\u03a9\\u03b1-\\u03c9\\u0400-\\u0482\\u048a-\\u052f\\u05d0-\\u05ea\\u0621-\\u063a\\u0641-\\u064a' +
  '\\u0905-\\u0939\\u0e01-\\u0e30\\u1e00-\\u1eff\\u2002-\\u200a\\u3000-\\u3002\\u3041-\\u3096\\u30a1-\\u30fa\\u3400-\\u4dbf\\u4e00-\\u9fff' +
  '\\uac00-\\ud7a3\\uff01-\\uff5e\\u{1f300}-\\u{1f3fa}\\u{1f400}-\\u{1f64f}\\u{20000}-\\u{2a6df}';

/** Signs that join what comes behind them; those beyond 16 bits are in a range of scripts that are all left out. */
const joining = '\\r\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u0d4e\\u{11000}-\\u{11fff}';

/** Between two of them; or before ASCII, which joins nothing before it. */
const seam = new RegExp(`[${apart}](?=[${apart}])|[^${joining}](?=[ -~])`, 'gu');

/**
 * Characters that are searched for a seam. A text that has none for that long consists of marks; it is cut all the same, since
 * to put marks in order takes time that grows with the square of their number.
 */
const searchedMax = 2048;

/** The first place from `from` on, at most the text's length. */
export function findSeam(text: string, from: number): number {
  if (from >= text.length) return text.length;
  const start = isWithinCharacter(text, from) ? from + 1 : from;
  const searched = text.slice(start, start + searchedMax);
  seam.lastIndex = 0;
  const match = seam.exec(searched);
  const end = start + (match === null ? searched.length : match.index + match[0].length);
  return isWithinCharacter(text, end) ? end - 1 : end;
}

function isWithinCharacter(text: string, index: number): boolean {
  const unit = text.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff;
}
