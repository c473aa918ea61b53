import type { TokenizerPart } from '../text/tokenizer-source.js';

/** How a byte-level tokenizer cuts text into words before it merges. */
interface ByteLevelRow {
  /** Values of `tokenizer.ggml.pre`. */
  names: string[];
  /** Applied one after the other; what a pattern matches becomes a word, and so does what is between two matches. */
  patterns: string[];
  /** Unicode normalization that the family's own tokenizer applies. */
  normalizer?: 'NFC';
  /** Whether a word that is in the vocabulary is taken whole, even if merges would not lead to it. */
  ignoreMerges?: boolean;
}

const contractions = "'s|'t|'re|'ve|'m|'ll|'d";
const gpt2 = `${contractions}| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`;

/** The patterns that GPT-4 introduced; families differ in how many digits go together. */
const gpt4 = (digits: string): string =>
  `(?i:${contractions})|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const tekken =
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*|` +
  '\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

const rows: readonly ByteLevelRow[] = [
  { names: ['default'], patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'] },
  { names: ['gpt-2', 'gpt2', 'phi-2', 'mpt', 'olmo', 'jina-en', 'roberta-bpe'], patterns: [gpt2] },
  { names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone'], patterns: ['\\p{N}', gpt2] },
  { names: ['llama-bpe', 'llama3', 'llama-v3'], patterns: [gpt4('\\p{N}{1,3}')], ignoreMerges: true },
  { names: ['dbrx', 'smaug-bpe'], patterns: [gpt4('\\p{N}{1,3}')] },
  { names: ['qwen2', 'deepseek-r1-qwen'], patterns: [gpt4('\\p{N}')], normalizer: 'NFC' },
  { names: ['stablelm2', 'hunyuan'], patterns: [gpt4('\\p{N}')] },
  { names: ['tekken'], patterns: [tekken], ignoreMerges: true },
];

export const preTokenizerNames: readonly string[] = rows.flatMap(({ names }) => names);

/** The parts of a tokenizer definition for a value of `tokenizer.ggml.pre`; undefined if it is not known. */
export function byteLevelParts(
  name: string,
): { normalizer: TokenizerPart | null; preTokenizer: TokenizerPart; ignoreMerges: boolean } | undefined {
  const row = rows.find(({ names }) => names.includes(name));
  if (row === undefined) return undefined;
  const splits = row.patterns.map((pattern) => ({
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  }));
  return {
    normalizer: row.normalizer === undefined ? null : { type: row.normalizer },
    preTokenizer: {
      type: 'Sequence',
      pretokenizers: [...splits, { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false }],
    },
    ignoreMerges: row.ignoreMerges ?? false,
  };
}
