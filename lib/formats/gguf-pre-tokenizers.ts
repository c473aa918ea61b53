import type { TokenizerPart } from '../text/tokenizer-source.js';

/** How a byte-level tokenizer cuts text into words before it merges. */
interface ByteLevelRow {
  /** Values of `tokenizer.ggml.pre`. */
  names: string[];
  /**
   * Applied one after the other. What a pattern matches becomes a word, and so does what is between two matches; other steps
   * are written as in tokenizer.json.
   */
  steps: (string | TokenizerPart)[];
  /** Unicode normalization that the family's own tokenizer applies. */
  normalizer?: 'NFC';
  /** Whether a word that is in the vocabulary is taken whole, even if merges would not lead to it. */
  ignoreMerges?: boolean;
  /** Whether a raw prompt begins with the BOS token, where the file does not say. */
  addsBos?: boolean;
}

const contractions = "'s|'t|'re|'ve|'m|'ll|'d";
const gpt2 = `${contractions}| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`;
const endOfGpt4 = '\\s+(?!\\S)|\\s+';

/** The patterns that GPT-4 introduced; families differ in how many digits go together. */
const gpt4 = (digits: string, { begin = `(?i:${contractions})|`, end = endOfGpt4 } = {}): string =>
  `${begin}[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|${end}`;

/** GPT-4o's: a word ends where an upper-case letter follows a lower-case one. `but` leaves letters out. */
const cased = (digits: string, { ending = `(?i:${contractions})?`, but = '', signs = '[\\r\\n/]*' } = {}): string => {
  const upper = `[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}${but}]`;
  const lower = `[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}${but}]`;
  const before = '[^\\r\\n\\p{L}\\p{N}]?';
  const words = `${before}${upper}*${lower}+${ending}|${before}${upper}+${lower}*${ending}`;
  return `${words}|${digits}| ?[^\\s\\p{L}\\p{N}]+${signs}|\\s*[\\r\\n]+|${endOfGpt4}`;
};

const marked =
  `(?i:${contractions})|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|` +
  `\\s*[\\r\\n]+|${endOfGpt4}`;
const hanAndKana = '[一-龥\\u3040-ゟ゠-ヿ]+';
const asianScripts = '[一-龥\\u0800-一가-\\ud7ff]+';
const deepSeekWords =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
  ` ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|${endOfGpt4}`;
/** Letters that have a case, as they were when DeepSeek wrote its pattern down. */
const deepSeekLetters =
  '[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\\u1f7dᾀ-ᾴᾶ-ᾼ\\u1fbeῂ-ῄῆ-ῌῐ-\\u1fd3' +
  'ῖ-\\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\u2126ℨ\\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+';
const bloom = ' ?[^(\\s|[.,!?…。，、।۔،])]+';
const gpt2Words: TokenizerPart = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true };

const rows: readonly ByteLevelRow[] = [
  { names: ['default'], steps: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'] },
  {
    names: [
      ...[
        'gpt-2',
        'gpt2',
        'phi-2',
        'mpt',
        'olmo',
        'jais',
        'trillion',
        'granite-docling',
        'exaone4',
        'gigachat',
        'mellum',
      ],
      ...['a.x-4.0', 'jina-en', 'jina-es', 'jina-de', 'jina-v1-en', 'jina-v2-es', 'jina-v2-de', 'jina-v2-code'],
      ...['roberta-bpe', 'modern-bert'],
    ],
    steps: [gpt2],
  },
  {
    names: ['smollm', 'starcoder', 'refact', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
    steps: ['\\p{N}', gpt2],
  },
  { names: ['command-r'], steps: ['\\p{N}', gpt2], normalizer: 'NFC' },
  {
    names: [
      ...['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2', 'jina-v5-nano'],
    ],
    steps: [gpt4('\\p{N}{1,3}')],
    ignoreMerges: true,
    addsBos: true,
  },
  { names: ['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'], steps: [gpt4('\\p{N}{1,3}')] },
  { names: ['minicpm5'], steps: ['\\p{N}{1,3}', gpt4('\\p{N}+')], ignoreMerges: true },
  {
    names: ['qwen2', 'deepseek-r1-qwen', 'kormo', 'f2llmv2', 'megrez'],
    steps: [gpt4('\\p{N}')],
    normalizer: 'NFC',
  },
  { names: ['qwen35'], steps: [marked], normalizer: 'NFC' },
  { names: ['stablelm2', 'hunyuan', 'solar-open', 'grok-2'], steps: [gpt4('\\p{N}')] },
  { names: ['ufakzeka'], steps: [gpt4('\\p{N}', { begin: '' })] },
  { names: ['laguna'], steps: ['[^\\n]+|[\\n]+', gpt4('\\p{N}')] },
  {
    names: ['jais-2'],
    steps: [
      gpt4('\\p{N}{1,3}', {
        end: `${[512, 256, 128, 64, 32, 16, 8, 4, '1,2'].map((count) => `\\s{${count}}(?!\\S)`).join('|')}|\\s{1}`,
      }),
    ],
  },
  { names: ['tekken'], steps: [cased('\\p{N}', { ending: '' })], ignoreMerges: true, addsBos: true },
  { names: ['gpt-4o', 'llama4', 'kanana2', 'talkie', 'minimax-m2'], steps: [cased('\\p{N}{1,3}')] },
  {
    names: ['kimi-k2'],
    steps: [`[\\p{Han}]+|${cased('\\p{N}{1,3}', { but: '&&[^\\p{Han}]', signs: '[\\r\\n]*' })}`],
  },
  { names: ['tiny_aya', 'cohere2moe'], steps: ['\\d{1,3}(?=(?:\\d{3})*\\b)', cased('\\p{N}{1,3}')] },
  {
    names: ['youtu'],
    steps: [`[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|${hanAndKana}`, cased('\\p{N}')],
    ignoreMerges: true,
  },
  {
    names: ['deepseek-v3', 'hunyuan-dense', 'joyai-llm', 'hy_v4'],
    steps: ['\\p{N}{1,3}', hanAndKana, deepSeekWords],
  },
  { names: ['deepseek-coder'], steps: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', asianScripts, '\\p{N}'] },
  {
    names: ['deepseek-llm'],
    steps: [
      ...[
        '[\\r\\n]',
        `\\s?${deepSeekLetters}`,
        '\\s?[!-/:-~！-／：-～‘-‟\\u3000-。]+',
        '\\s+$',
        asianScripts,
        '\\p{N}+',
      ],
    ],
  },
  {
    names: ['falcon'],
    steps: [
      { type: 'Punctuation', behavior: 'Contiguous' },
      gpt2Words,
      { type: 'Digits', individual_digits: false },
      '[0-9][0-9][0-9]',
    ],
  },
  { names: ['bloom', 'poro-chat', 'gpt3-finnish'], steps: [bloom] },
  { names: ['viking'], steps: [bloom, '\\p{N}'] },
  {
    names: ['chameleon'],
    steps: [
      ...['<sentinel:[0-9]+>', '(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z', '([\\t\\n]|    |  )', '\\p{N}'],
      { type: 'Punctuation', behavior: 'Isolated' },
      gpt2,
    ],
    addsBos: true,
  },
  {
    names: ['bailingmoe', 'bailingmoe2', 'llada-moe'],
    steps: [
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|" +
        endOfGpt4,
    ],
  },
  {
    names: ['seed-coder'],
    steps: [
      `(?i:${contractions})|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|${endOfGpt4}`,
    ],
  },
  {
    names: ['exaone-moe'],
    steps: [
      `(?i:${contractions})|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|` +
        ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|${endOfGpt4}`,
    ],
  },
  { names: ['superbpe'], steps: ['\\p{N}+', '(?=(\\d{3})+(?!\\d))'] },
];

export const preTokenizerNames: readonly string[] = rows.flatMap(({ names }) => names);

/** The parts of a tokenizer definition for a value of `tokenizer.ggml.pre`; undefined if it is not known. */
export function byteLevelParts(
  name: string,
):
  | { normalizer: TokenizerPart | null; preTokenizer: TokenizerPart; ignoreMerges: boolean; addsBos: boolean }
  | undefined {
  const row = rows.find(({ names }) => names.includes(name));
  if (row === undefined) return undefined;
  const steps = row.steps.map((step) =>
    typeof step === 'string' ? { type: 'Split', pattern: { Regex: step }, behavior: 'Isolated', invert: false } : step,
  );
  const letters = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    normalizer: row.normalizer === undefined ? null : { type: row.normalizer },
    // Bytes become letters once.
    preTokenizer: { type: 'Sequence', pretokenizers: steps.includes(gpt2Words) ? steps : [...steps, letters] },
    ignoreMerges: row.ignoreMerges ?? false,
    addsBos: row.addsBos ?? false,
  };
}
