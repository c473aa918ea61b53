import type { AddedToken, Merge, TokenizerDefinition, TokenizerModel, TokenizerPart } from './tokenizer-source.js';

/**
 * Tokenizer definitions that cannot produce a reserved token, whatever the text spells: the tokens are gone from the
 * vocabulary, and so are the merges that lead to them.
 */
export interface OrdinaryDefinitions {
  /** For text at the start, or after a control token. */
  start: TokenizerDefinition;
  /** For text that continues other text: without the space that SentencePiece puts in front. May be the same object. */
  continuation: TokenizerDefinition;
}

/**
 * A token that text must never produce: a control token, or one that was added for a purpose, such as `<tool_call>`.
 * Runs of white space are often added, too; they are ordinary.
 */
export function isReserved({ content, special }: AddedToken): boolean {
  return special === true || /\S/u.test(content.replaceAll('▁', ' '));
}

export function ordinaryDefinitions(definition: TokenizerDefinition): OrdinaryDefinitions {
  const reserved = new Set(definition.added_tokens.filter(isReserved).map(({ content }) => content));
  const start: TokenizerDefinition = {
    ...definition,
    post_processor: null,
    model: withoutReserved(definition.model, reserved),
    added_tokens: definition.added_tokens.filter((token) => !isReserved(token)),
  };
  if (!hasPrefix(start.normalizer) && !hasPrefix(start.pre_tokenizer)) return { start, continuation: start };
  const continuation = {
    ...start,
    normalizer: start.normalizer && withoutPrefix(start.normalizer),
    pre_tokenizer: start.pre_tokenizer && withoutPrefix(start.pre_tokenizer),
  };
  return { start, continuation };
}

/** Whether text after a control token is treated like text at the start, with a space in front. */
export function prefixesEachSection({ normalizer, pre_tokenizer: preTokenizer }: TokenizerDefinition): boolean {
  return (
    hasPrefix(normalizer) || parts(preTokenizer).some((part) => addsPrefix(part) && part.prepend_scheme !== 'first')
  );
}

function withoutReserved(model: TokenizerModel, reserved: ReadonlySet<string>): TokenizerModel {
  const { vocab, merges, unk_token: unknown } = model;
  if (Array.isArray(vocab)) {
    // Ids are positions, so the token stays.
    const hidden = vocab.flatMap(([token], id) => (reserved.has(token) ? [id] : []));
    return { ...model, hidden: [...(model.hidden ?? []), ...hidden] };
  }
  const spelled = [...reserved].some((token) => token !== unknown && Object.hasOwn(vocab, token));
  const ordinary = (token: string): boolean => !reserved.has(token) || token === unknown;
  return {
    ...model,
    vocab: spelled ? Object.fromEntries(Object.entries(vocab).filter(([token]) => ordinary(token))) : vocab,
    merges: mergesWithout(merges ?? [], reserved),
  };
}

/** There are hundreds of thousands of merges, so each is first judged by its first character and its length. */
function mergesWithout(merges: readonly Merge[], reserved: ReadonlySet<string>): Merge[] {
  const first = new Set(Array.from(reserved, (token) => token[0]));
  const lengthMax = Array.from(reserved).reduce((max, { length }) => Math.max(max, length), 0);
  return merges.filter((merge) => {
    const [left, right] = typeof merge === 'string' ? ['', merge] : merge;
    const character = left.length > 0 ? left[0] : right[0];
    if (left.length + right.length > lengthMax + 1 || !first.has(character)) return true;
    // A string has one space, between the two.
    return !reserved.has(typeof merge === 'string' ? merge.replace(' ', '') : left + right);
  });
}

/** The part itself, or those that it is a sequence of. */
function parts(part: TokenizerPart | null): TokenizerPart[] {
  if (part === null) return [];
  const inner = part.normalizers ?? part.pretokenizers;
  return Array.isArray(inner) ? (inner as TokenizerPart[]).flatMap(parts) : [part];
}

/** The part with `change` applied to it or to each part of the sequence; undefined leaves one out. */
function mapParts(part: TokenizerPart, change: (part: TokenizerPart) => TokenizerPart[]): TokenizerPart {
  const key = Array.isArray(part.normalizers) ? 'normalizers' : 'pretokenizers';
  const changed = parts(part).flatMap(change);
  return changed.length === 1 && part.type !== 'Sequence' ? changed[0]! : { type: 'Sequence', [key]: changed };
}

function hasPrefix(part: TokenizerPart | null): boolean {
  return parts(part).some(addsPrefix);
}

function addsPrefix({ type, ...settings }: TokenizerPart): boolean {
  if (type === 'Metaspace') return settings.prepend_scheme !== 'never' && settings.add_prefix_space !== false;
  return type === 'Prepend' || (type === 'ByteLevel' && settings.add_prefix_space === true);
}

function withoutPrefix(part: TokenizerPart): TokenizerPart {
  return mapParts(part, (inner) => {
    if (!addsPrefix(inner)) return [inner];
    if (inner.type === 'Prepend') return [];
    return [{ ...inner, add_prefix_space: false, prepend_scheme: 'never' }];
  });
}
