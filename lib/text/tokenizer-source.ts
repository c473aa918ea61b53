/** What a model's files say about its tokenizer. */
export interface TokenizerSource {
  /** In the format of tokenizer.json; made from the metadata where a file has none. Untrusted. */
  definition: TokenizerDefinition;
}

/** Which tokens begin and end things, unless a caller says otherwise. */
export interface TokenDefaults {
  /** Sampling one of these ends a turn. */
  eosTokenIds: number[];
  bosTokenId?: number;
  /** Whether a raw prompt begins with `bosTokenId`. Chat templates write it themselves. */
  addBosToken: boolean;
}

/** The parts of tokenizer.json that matter here. Everything that a part holds beyond them is kept. */
export interface TokenizerDefinition {
  normalizer: TokenizerPart | null;
  pre_tokenizer: TokenizerPart | null;
  post_processor: TokenizerPart | null;
  decoder: TokenizerPart | null;
  model: TokenizerModel;
  added_tokens: AddedToken[];
}

/** A normalizer, pre-tokenizer, post-processor or decoder. */
export interface TokenizerPart {
  type: string;
  [key: string]: unknown;
}

export interface TokenizerModel {
  type?: string;
  /** Token to id (BPE), or [token, score] by id (Unigram). */
  vocab: Record<string, number> | [string, number][];
  merges?: Merge[];
  /** Unigram: ids that no text can spell, whatever their tokens say. Not in files. */
  hidden?: readonly number[];
  /** Unigram: whether sums of scores are rounded as SentencePiece rounds them. Not in files. */
  singlePrecision?: boolean;
  [key: string]: unknown;
}

/** Two tokens that become one: "left right", or [left, right]. */
export type Merge = string | [left: string, right: string];

export interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  single_word?: boolean;
  /** Whether it is looked for in the normalized text, not in the text as it came. */
  normalized?: boolean;
  /** Whether `content` is spelled as in the normalized text already. Not in files. */
  escaped?: boolean;
}
