// Goal: tokenizers of all families give the ids that their own libraries give, from every kind of file. Method: 10,000 lines
// of all sorts and small vocabularies in the manner of each family, with hashes of the ids that `tokenizers` and
// `sentencepiece` give (see make_tokenizers.py).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { preTokenizerNames } from '../../lib/formats/gguf-pre-tokenizers.js';
import { readGgufTokenizer } from '../../lib/formats/gguf-tokenizer.js';
import { parseSentencePiece } from '../../lib/formats/sentencepiece.js';
import { createTokenizer, type Tokenizer } from '../../lib/text/tokenizer.js';
import type { TokenizerDefinition } from '../../lib/text/tokenizer-source.js';
import { turnsDuring } from './support/event-loop.js';
import {
  byteLevelMetadata,
  corpusLines,
  familyDefinitions,
  ggufMetadata,
  pieceMetadata,
  unpacked,
  wordPieceMetadata,
} from './support/families.js';
import { expectError, fixtureJson } from './support/fixtures.js';

const lines = corpusLines();
const families = familyDefinitions();
const goldens: Record<string, { shown: number[][]; blocks: string[] }> = fixtureJson('tokenizers/goldens.json');

const linesPerBlock = 100;

const tokenizers = new Map<TokenizerDefinition, Tokenizer>();

/** Made once: words that were met before are faster. */
function tokenizerOf(definition: TokenizerDefinition): Tokenizer {
  const tokenizer =
    tokenizers.get(definition) ?? createTokenizer({ definition }, { eosTokenIds: [], addBosToken: false });
  tokenizers.set(definition, tokenizer);
  return tokenizer;
}

/** @param name of the golden @param every how many blocks one is looked at */
function expectGolden(name: string, encode: (line: string) => Int32Array, every = 1): void {
  const { shown, blocks } = goldens[name]!;
  for (const [index, ids] of shown.entries()) expect(Array.from(encode(lines[index]!)), lines[index]).toEqual(ids);
  const wrong = blocks.flatMap((hash, block) => {
    if (block % every !== 0) return [];
    const part = lines.slice(block * linesPerBlock, (block + 1) * linesPerBlock);
    return hashOf(part.map(encode)) === hash ? [] : [`lines from ${block * linesPerBlock}`];
  });
  expect(wrong).toEqual([]);
}

function hashOf(encoded: readonly Int32Array[]): string {
  const hash = createHash('sha256');
  for (const ids of encoded) hash.update(ids).update(Int32Array.of(-1));
  return hash.digest('hex').slice(0, 8);
}

const encodeStart = (tokenizer: Tokenizer) => (line: string) => tokenizer.encodeTemplate(line, { position: 'start' });

test('the corpus is large and has what it should', () => {
  expect(lines).toHaveLength(10_000);
  for (const part of ['👨‍👩‍👧‍👦', '\ufffd', '\u200d', '<|im_start|>', 'नमस्ते', '\r\n', '\0', '\u3000']) {
    expect(lines.filter((line) => line.includes(part)).length, part).toBeGreaterThan(5);
  }
});

describe('from tokenizer.json', () => {
  test.each(Object.keys(families))('%s', (name) => {
    expectGolden(name, encodeStart(tokenizerOf(families[name]!)));
  });
});

/** SentencePiece ends a text at a zero, and knows no tokens that were not there when it was trained. */
const encodePieces = (tokenizer: Tokenizer) => (line: string) =>
  tokenizer.encodeText(line.replaceAll('\0', ''), { position: 'start' });

const pieceModels = ['bpe', 'bpe-no-prefix', 'unigram', 'unigram-bytes'];

describe('from models of SentencePiece', () => {
  test.each(pieceModels)('%s', (name) => {
    const { definition } = parseSentencePiece(name, unpacked(`${name}.model.gz`));
    expectGolden(`${name}.model`, encodePieces(tokenizerOf(definition)));
  });
});

/** Names in GGUF files to the family that has the pre-tokenizer of that name. */
const preTokenizers: Record<string, string> = {
  default: 'default',
  'gpt-2': 'gpt2',
  'llama-bpe': 'llama3',
  pixtral: 'llama3',
  qwen2: 'qwen2',
  qwen35: 'qwen35',
  stablelm2: 'stablelm2',
  minicpm5: 'minicpm5',
  ufakzeka: 'ufakzeka',
  laguna: 'laguna',
  'grok-2': 'stablelm2',
  smollm: 'smollm',
  'command-r': 'command-r',
  tekken: 'tekken',
  'gpt-4o': 'gpt-oss',
  'deepseek-v3': 'deepseek-v3',
  'deepseek-coder': 'deepseek-coder',
  'deepseek-llm': 'deepseek-llm',
  falcon: 'falcon',
  bloom: 'bloom',
  viking: 'viking',
  chameleon: 'chameleon',
  'kimi-k2': 'kimi-k2',
  bailingmoe: 'bailingmoe',
  'seed-coder': 'seed-coder',
  'exaone-moe': 'exaone-moe',
  superbpe: 'superbpe',
  'jais-2': 'jais2',
  tiny_aya: 'tiny-aya',
  youtu: 'youtu',
};

describe('from GGUF', () => {
  const read = (values: Parameters<typeof ggufMetadata>[0]) =>
    tokenizerOf(readGgufTokenizer('test.gguf', ggufMetadata(values)).definition);

  test.each(Object.entries(preTokenizers))('byte-level BPE, %s', (pre, family) => {
    // Only what comes before the words differs from tokenizer.json.
    expectGolden(family, encodeStart(read(byteLevelMetadata(families[family]!, pre))), 4);
  });

  test.each(['afmoe', 'gemma4', 'sarvam-moe', 'whitespace', 'toString'])(
    'byte-level BPE, %s is refused',
    async (pre) => {
      const metadata = ggufMetadata(byteLevelMetadata(families.gpt2!, pre));
      const reading = (async () => readGgufTokenizer('test.gguf', metadata))();
      await expectError(reading, 'ERR_MODEL_UNSUPPORTED', new RegExp(`tokenizer\\.ggml\\.pre is "${pre}"`));
    },
  );

  test('every name of a pre-tokenizer is in the documentation', () => {
    const page = readFileSync(new URL('../../docs/models.md', import.meta.url), 'utf8');
    expect(preTokenizerNames.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  test.each(pieceModels)('SentencePiece, %s', (name) => {
    expectGolden(`${name}.model`, encodePieces(read(pieceMetadata(name))));
  });

  test.each(['bert-uncased', 'bert-cased'])('WordPiece, %s', (name) => {
    expectGolden(name, encodeStart(read(wordPieceMetadata(families[name]!, name === 'bert-uncased'))));
  });
});

describe('tokens spell the text that they were made of', () => {
  const some = lines.filter((_, index) => index % 5 === 0);
  const lossless = Object.keys(families).filter(
    (name) => !/qwen|command-r|phi|t5|xlm|bert|unigram|prefix/.test(name) && name !== 'llama2' && name !== 'mistral',
  );
  test.each(lossless)('%s', (name) => {
    const tokenizer = tokenizerOf(families[name]!);
    const spelled = (line: string) => (name === 'gemma' ? line.replaceAll('▁', ' ') : line);
    expect(some.filter((line) => tokenizer.decode(tokenizer.encodeTemplate(line)) !== spelled(line))).toEqual([]);
  });

  test.each(['llama2', 'mistral'])('%s, in the middle of a text', (name) => {
    const tokenizer = tokenizerOf(families[name]!);
    const spelled = (line: string) => line.replaceAll('▁', ' ');
    expect(some.filter((line) => tokenizer.decode(tokenizer.encodeText(line)) !== spelled(line))).toEqual([]);
  });
});

describe('text of a megabyte', () => {
  const megabyte = 1 << 20;
  const text = lines.join('\n').repeat(4).slice(0, megabyte);
  const alike = 'a'.repeat(megabyte / 4);

  test.each(['llama3', 'qwen2', 'gemma', 't5'])(
    '%s: the event loop goes on, and the ids are the same',
    async (name) => {
      const tokenizer = tokenizerOf(families[name]!);
      const work = () => Promise.all([text, alike].map((part) => tokenizer.encodeTextAsync(part)));
      const { result, turns } = await turnsDuring(work);
      expect(turns).toBeGreaterThan(100);
      // As hashes: to compare a million numbers one by one takes longer than to encode.
      expect(hashOf(result)).toBe(hashOf([text, alike].map((part) => tokenizer.encodeText(part))));
    },
  );

  test('lines give the same ids alone and in a long text, where words do not span them', () => {
    // Every word of this family ends at a line feed, or is one.
    const tokenizer = tokenizerOf(families['seed-coder']!);
    const plain = lines.filter((line) => /^\S+( \S+)*$/.test(line));
    const apart = plain.flatMap((line) => [...tokenizer.encodeText(line), ...tokenizer.encodeText('\n')]);
    expect(Array.from(tokenizer.encodeText(plain.map((line) => `${line}\n`).join('')))).toEqual(apart);
  });
});
