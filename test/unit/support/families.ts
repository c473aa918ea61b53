import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { GgufValue } from '../../../lib/formats/gguf.js';
import { type PieceSettings, pieceType, type Vocabulary } from '../../../lib/formats/piece-definition.js';
import { readPieces } from '../../../lib/formats/sentencepiece.js';
import type { TokenizerDefinition } from '../../../lib/text/tokenizer-source.js';
import { fixture } from './fixtures.js';

/** A file of test/fixtures/tokenizers, which make_tokenizers.py wrote. */
export function unpacked(name: string): Buffer {
  return gunzipSync(readFileSync(fixture(`tokenizers/${name}`)));
}

/** The lines of the corpus. Invalid bytes become U+FFFD, as in Python. */
export function corpusLines(): string[] {
  const bytes = unpacked('corpus.bin.gz');
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const lines: string[] = [];
  for (let start = 0, end = 0; end >= 0; start = end + 1) {
    end = bytes.indexOf(0x1e, start);
    lines.push(decoder.decode(bytes.subarray(start, end < 0 ? bytes.length : end)));
  }
  return lines;
}

/** Family to the contents of its tokenizer.json. */
export function familyDefinitions(): Record<string, TokenizerDefinition> {
  const { charsmap } = pieces('unigram').settings;
  return JSON.parse(
    unpacked('families.json.gz')
      .toString()
      .replaceAll('$charsmap', () => charsmap!),
  );
}

/** A model of SentencePiece, read. */
export function pieces(name: string): { vocabulary: Vocabulary; settings: PieceSettings } {
  return readPieces(name, unpacked(`${name}.model.gz`));
}

export function ggufMetadata(values: Record<string, GgufValue>): Map<string, GgufValue> {
  return new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
}

/** What a converter writes into a GGUF file for a byte-level tokenizer. */
export function byteLevelMetadata(
  { model, added_tokens: added }: TokenizerDefinition,
  pre: string,
): Record<string, GgufValue> {
  const { tokens, types } = vocabularyOf(model.vocab as Record<string, number>, added);
  const merges = (model.merges ?? []).map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return { model: 'gpt2', pre, tokens, token_type: types, merges };
}

/** For BERT: words begin with SentencePiece's space, what continues them with nothing. */
export function wordPieceMetadata(
  { model, added_tokens: added }: TokenizerDefinition,
  lowercase: boolean,
): Record<string, GgufValue> {
  const { tokens, types } = vocabularyOf(model.vocab as Record<string, number>, added);
  const spelled = tokens.map((token, id) => {
    if (types[id] !== pieceType.normal) return token;
    return token.startsWith('##') ? token.slice(2) : `▁${token}`;
  });
  return {
    model: 'bert',
    tokens: spelled,
    token_type: types,
    unknown_token_id: tokens.indexOf('[UNK]'),
    'normalizer.lowercase': lowercase,
  };
}

/** For SentencePiece. */
export function pieceMetadata(name: string): Record<string, GgufValue> {
  const { vocabulary, settings } = pieces(name);
  return {
    model: settings.model === 'bpe' ? 'llama' : 't5',
    tokens: [...vocabulary.tokens],
    scores: Float32Array.from(settings.scores),
    token_type: Int32Array.from(vocabulary.types),
    add_space_prefix: settings.addsPrefix,
    remove_extra_whitespaces: settings.removesExtraSpaces,
    ...(settings.charsmap && { precompiled_charsmap: new Uint8Array(Buffer.from(settings.charsmap, 'base64')) }),
  };
}

function vocabularyOf(
  vocab: Record<string, number>,
  added: TokenizerDefinition['added_tokens'],
): { tokens: string[]; types: Int32Array } {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
  for (const { content, id } of added) tokens[id] = content;
  const types = new Int32Array(tokens.length).fill(pieceType.normal);
  for (const { id, special } of added) types[id] = special === true ? pieceType.control : pieceType.userDefined;
  return { tokens, types };
}
