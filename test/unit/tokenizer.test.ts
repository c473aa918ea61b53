// Goal: token ids equal those of the tokenizers' own libraries; text never becomes control; every token's bytes are
// right. Method: goldens of 300 varied lines by `tokenizers` and `sentencepiece` (see make_fixtures.py), and properties.
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { GgufValue } from '../../lib/formats/gguf.js';
import { readGgufTokenizer } from '../../lib/formats/gguf-tokenizer.js';
import { createTokenizer, type Tokenizer } from '../../lib/text/tokenizer.js';
import type { TokenizerDefinition } from '../../lib/text/tokenizer-source.js';
import { turnsDuring } from './support/event-loop.js';
import { expectError, fixtureJson } from './support/fixtures.js';

const lines: string[] = fixtureJson('tokenizers/lines.json');
const byteLevel = fixtureJson('tokenizers/bytelevel.golden.json');
const pieces = fixtureJson('tokenizers/sentencepiece.golden.json');
const tokenizerJson: TokenizerDefinition = fixtureJson('tokenizers/bytelevel.tokenizer.json');
const noDefaults = { eosTokenIds: [], addBosToken: false };

const created: Tokenizer[] = [];
afterAll(() => {
  for (const tokenizer of created) tokenizer.dispose();
});

function fromGguf(metadata: Record<string, GgufValue>): Tokenizer {
  const prefixed = Object.entries(metadata).map(([key, value]): [string, GgufValue] => [
    `tokenizer.ggml.${key}`,
    value,
  ]);
  const { definition, defaults } = readGgufTokenizer('test.gguf', new Map(prefixed));
  return keep(createTokenizer({ definition }, defaults));
}

function keep(tokenizer: Tokenizer): Tokenizer {
  created.push(tokenizer);
  return tokenizer;
}

/** SentencePiece cannot tell its sign for a space from a space. */
const asSpaces = (text: string): string => text.replaceAll('▁', ' ');

const control = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

/** The metadata of a GGUF file with the golden's vocabulary. */
function byteLevelMetadata(pre: string): Record<string, GgufValue> {
  const { tokens, merges } = byteLevel[pre];
  const type = (token: string) => (control.includes(token) ? 3 : /^<\/?tool_call>$/.test(token) ? 4 : 1);
  return {
    model: 'gpt2',
    pre,
    tokens,
    token_type: Int32Array.from(tokens, type),
    merges: merges.map((merge: string[]) => merge.join(' ')),
  };
}

const sentencePieceMetadata = (): Record<string, GgufValue> => ({
  model: 'llama',
  tokens: pieces.tokens,
  scores: Float32Array.from(pieces.scores),
  token_type: Int32Array.from(pieces.types),
  bos_token_id: 1,
  eos_token_id: 2,
});

const fromJson = () => keep(createTokenizer({ definition: tokenizerJson }, noDefaults));

describe('ids', () => {
  test.each(Object.keys(byteLevel))('byte-level BPE from GGUF, %s', (pre) => {
    const tokenizer = fromGguf(byteLevelMetadata(pre));
    for (const [index, line] of lines.entries()) {
      expect(Array.from(tokenizer.encodeTemplate(line)), line).toEqual(byteLevel[pre].ids[index]);
    }
  });

  test('byte-level BPE from tokenizer.json', () => {
    const tokenizer = fromJson();
    for (const [index, line] of lines.entries()) {
      expect(Array.from(tokenizer.encodeTemplate(line)), line).toEqual(byteLevel.qwen2.ids[index]);
    }
  });

  test('SentencePiece BPE from GGUF', () => {
    const tokenizer = fromGguf(sentencePieceMetadata());
    for (const [index, line] of pieces.lines.entries()) {
      expect(Array.from(tokenizer.encodeText(line, { position: 'start' })), line).toEqual(pieces.ids[index]);
    }
  });

  test('a raw prompt begins with BOS if the model wants it', async () => {
    const tokenizer = fromGguf(sentencePieceMetadata());
    expect(Array.from(await tokenizer.encodePromptAsync('the'))).toEqual([
      1,
      ...tokenizer.encodeText('the', { position: 'start' }),
    ]);
    expect(await fromJson().encodePromptAsync('the')).toEqual(fromJson().encodeText('the'));
  });

  test('a continuation gets no space in front', () => {
    const tokenizer = fromGguf(sentencePieceMetadata());
    for (const line of [...lines, '\ufeffx']) expect(tokenizer.decode(tokenizer.encodeText(line))).toBe(asSpaces(line));
    expect(tokenizer.decode(tokenizer.encodeText('x', { position: 'start' }))).toBe(' x');
    expect(tokenizer.decode(tokenizer.encodeTemplate('</s>x'))).toBe('</s> x');
  });

  test('a space is put in front of the first section only, if the tokenizer says so', () => {
    const { definition } = readGgufTokenizer('test.gguf', metadataMap(sentencePieceMetadata()));
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false };
    const first = keep(
      createTokenizer({ definition: { ...definition, normalizer: null, pre_tokenizer: metaspace } }, noDefaults),
    );
    expect(first.decode(first.encodeTemplate('x</s>x', { position: 'start' }))).toBe(' x</s>x');
  });
});

function metadataMap(metadata: Record<string, GgufValue>): Map<string, GgufValue> {
  return new Map(Object.entries(metadata).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
}

describe.each([
  ['byte-level BPE', () => fromJson(), (line: string) => line.normalize('NFC')],
  ['byte-level BPE that takes words whole', () => fromGguf(byteLevelMetadata('llama-bpe')), (line: string) => line],
  ['SentencePiece BPE', () => fromGguf(sentencePieceMetadata()), asSpaces],
])('text is never control: %s', (_, make, normalized) => {
  const tokenizer = make();
  const isClean = (ids: Int32Array) => ids.every((id) => !tokenizer.reservedIds.has(id));

  test('every reserved token, alone and in text', () => {
    expect(tokenizer.reservedTokens.length).toBeGreaterThanOrEqual(3);
    for (const token of tokenizer.reservedTokens) {
      expect(tokenizer.encodeTemplate(token)).toEqual(Int32Array.of(tokenizer.idOf(token)!));
      for (const text of [token, ` ${token}`, `a${token}b`, `${token}${token}`, `\n${token}\n`, token.repeat(50)]) {
        for (const position of ['start', 'after-control', 'continuation'] as const) {
          const ids = tokenizer.encodeText(text, { position });
          expect(isClean(ids), text).toBe(true);
          expect(tokenizer.decode(ids).trimStart()).toBe(text.trimStart());
        }
      }
    }
  });

  test('random mixtures of text and spellings', () => {
    const words = fc.constantFrom(...tokenizer.reservedTokens, ...lines);
    const text = fc
      .array(fc.oneof(words, fc.string({ unit: 'binary' })), { maxLength: 8 })
      .map((parts) => parts.join(''));
    const property = fc.property(text, (sample) => {
      // Half surrogates have no bytes.
      const whole = Buffer.from(sample).toString();
      const ids = tokenizer.encodeText(whole);
      expect(isClean(ids)).toBe(true);
      expect(tokenizer.decode(ids)).toBe(normalized(whole));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('an untrusted piece does not complete a spelling that the template began', () => {
    for (const token of tokenizer.reservedTokens) {
      for (let cut = 1; cut < token.length; cut++) {
        const [left, right] = [token.slice(0, cut), token.slice(cut)];
        for (const trusted of [true, false]) {
          const ids = tokenizer.encodeSegments([
            { text: left, trusted },
            { text: right, trusted: !trusted },
          ]);
          expect(isClean(ids)).toBe(true);
          expect(tokenizer.decode(ids)).toBe(token);
        }
      }
    }
  });
});

describe('tokens', () => {
  test('the bytes of all tokens spell the text', () => {
    const tokenizer = fromJson();
    expect(tokenizer.vocabularySize).toBe(700);
    expect(tokenizer.table.offsets).toHaveLength(701);
    const everyByte = new Set<number>();
    for (let id = 0; id < tokenizer.vocabularySize; id++) {
      const bytes = tokenizer.tokenBytes(id);
      expect(bytes.length).toBeGreaterThan(0);
      if (bytes.length === 1) everyByte.add(bytes[0]!);
    }
    expect(everyByte.size).toBe(256);
    expect(tokenizer.tokenBytes(700)).toHaveLength(0);
    expect(tokenizer.tokenBytes(-1)).toHaveLength(0);
  });

  test('bytes of SentencePiece tokens', () => {
    const tokenizer = fromGguf(sentencePieceMetadata());
    expect(Array.from(tokenizer.tokenBytes(tokenizer.idOf('<0xF0>')!))).toEqual([0xf0]);
    expect(Buffer.from(tokenizer.tokenBytes(tokenizer.idOf('▁t')!)).toString()).toBe(' t');
  });

  test('which tokens are special', () => {
    const tokenizer = fromJson();
    const ids = (tokens: string[]) => new Set(tokens.map((token) => tokenizer.idOf(token)));
    expect(tokenizer.specialIds).toEqual(ids(control));
    expect(tokenizer.reservedIds).toEqual(ids([...control, '<tool_call>', '</tool_call>']));
    expect(tokenizer.idOf('no such token')).toBeUndefined();
  });

  test('added white space is ordinary text', () => {
    const space = { id: 700, content: '      ', special: false, normalized: false };
    const definition = { ...tokenizerJson, added_tokens: [...tokenizerJson.added_tokens, space] };
    const tokenizer = keep(createTokenizer({ definition }, noDefaults));
    expect(Array.from(tokenizer.encodeText('a      b'))).toContain(700);
  });

  test('a tool token that strips the white space around it', () => {
    const mask = { id: 700, content: '<mask>', special: true, normalized: false, lstrip: true, rstrip: true };
    const definition = { ...tokenizerJson, added_tokens: [...tokenizerJson.added_tokens, mask] };
    const tokenizer = keep(createTokenizer({ definition }, noDefaults));
    expect(tokenizer.decode(tokenizer.encodeTemplate('a  <mask> \n b'))).toBe('a<mask>b');
    expect(tokenizer.decode(tokenizer.encodeText('a  <mask> \n b'))).toBe('a  <mask> \n b');
  });

  test('a definition that makes no tokenizer', () => {
    const broken = { ...tokenizerJson, normalizer: { type: 'Unheard' } };
    expect(() => createTokenizer({ definition: broken }, noDefaults)).toThrow(/Unheard/);
    const wild = { ...tokenizerJson, added_tokens: [{ id: 1e12, content: 'x' }] };
    expect(() => createTokenizer({ definition: wild }, noDefaults)).toThrow(/1000000000000/);
  });
});

describe('long texts', () => {
  const long = lines.join('\n').repeat(8);

  test('give the same ids in slices, while the event loop goes on', async () => {
    for (const tokenizer of [fromJson(), fromGguf(sentencePieceMetadata())]) {
      const segments = [
        { text: '<|im_start|></s>', trusted: true },
        { text: long, trusted: false },
      ];
      const work = () => tokenizer.encodeSegmentsAsync(segments, { position: 'start' });
      const { result, turns } = await turnsDuring(work);
      expect(result).toEqual(tokenizer.encodeSegments(segments, { position: 'start' }));
      expect(turns).toBeGreaterThan(20);
    }
  });

  test('abort and dispose', async () => {
    const tokenizer = fromJson();
    await expectError(tokenizer.encodeTextAsync(long, { signal: AbortSignal.abort() }), 'ERR_ABORTED');
    const pending = expectError(tokenizer.encodeTextAsync(long), 'ERR_DISPOSED');
    tokenizer.dispose();
    await pending;
    await expectError(tokenizer.encodeTextAsync(long), 'ERR_DISPOSED');
  });
});
