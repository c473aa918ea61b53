// Goal: every model family computes what transformers computes in float32, on every path. Method: checkpoints that
// test/fixtures/make_architectures.py and this test draw alike, from Hugging Face directories and from GGUF files that the
// gguf package wrote; the engine's log probabilities against transformers' logits.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Engine, type LoadOptions, type PolicyName, type TokenLogprob } from '../../lib/index.js';
import { fixture, fixtureJson } from '../unit/support/fixtures.js';
import { type Checkpoint, writeCheckpoint, writeDirectory } from './support/checkpoints.js';
import { wait } from './support/engines.js';

interface Variant extends Checkpoint {
  hasGguf: boolean;
  /** Where frequencies depend on the engine's limit: what the prompt's logits, and those of decoding, were computed for. */
  contexts?: [prompt: number, decode: number];
  /** Of the prompt's `positions`: float32 rows, base64. */
  logits: string;
  /** What comes after the prompt's first `decodeFrom` tokens, and the logits it was chosen from. */
  decoded: number[];
  decodedLogits: string;
}

interface Goldens {
  prompt: number[];
  positions: number[];
  decodeFrom: number;
  variants: Record<string, Variant>;
}

const { prompt, positions, decodeFrom, variants }: Goldens = fixtureJson('architectures/goldens.json');
const vocabulary = 64;

/**
 * Of the largest logit. transformers and we add the same products in float32, in different orders. Kernels for MXFP4 round
 * inputs to 8 bits per 32 values, as goldens.test.ts says.
 */
const toleranceOf = (name: string) => (name.includes('mxfp4') ? 0.05 : 1e-4);

const temporary = mkdtempSync(join(tmpdir(), 'infercept-architectures-'));
afterAll(() => rmSync(temporary, { recursive: true }));

function rowsOf(text: string): number[][] {
  const bytes = Buffer.from(text, 'base64');
  const values = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
  return Array.from({ length: values.length / vocabulary }, (_, row) =>
    values.slice(row * vocabulary, (row + 1) * vocabulary),
  );
}

/** The largest difference of a log probability, relative to the largest logit. */
function errorOf(logits: number[], { top }: TokenLogprob): number {
  const peak = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - peak), 0)) + peak;
  expect(top).toHaveLength(20);
  const largest = Math.max(...logits.map(Math.abs));
  return Math.max(...top!.map(({ token, logprob }) => Math.abs(logprob - (logits[token]! - total)))) / largest;
}

/** Largest errors by path, for the table in docs/models.md. */
const errors: Record<string, Record<string, number>> = {};

function record(name: string, path: string, error: number): void {
  errors[name] = { ...errors[name], [path]: Math.max(error, errors[name]?.[path] ?? 0) };
  expect(error, path).toBeLessThan(toleranceOf(name));
}

afterAll(() => {
  if (process.env.INFERCEPT_PRINT_ERRORS !== undefined) console.log(JSON.stringify(errors));
});

const sampling = { logprobs: 20 };

async function withModel(path: string, options: LoadOptions, body: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await Engine.load(path, {
    threads: 2,
    kvCache: { bytes: '1MiB', dtype: 'f32', blockTokens: 4, prefixCache: false },
    swap: { hostBytes: 0 },
    ...options,
  });
  try {
    await body(engine);
  } finally {
    await engine.dispose();
  }
}

const promptContext = ({ contexts }: Variant) => (contexts ? { contextTokens: contexts[0] } : {});
const decodeContext = ({ contexts }: Variant) => (contexts ? { contextTokens: contexts[1] } : {});

async function checkPrefill(engine: Engine, name: string, path: string, logits: number[][], used = positions) {
  for (const position of used) {
    const result = await engine.generate({ tokens: prompt.slice(0, position + 1), maxTokens: 1, sampling });
    record(name, path, errorOf(logits[positions.indexOf(position)]!, result.logprobs![0]!));
  }
}

async function checkDecode(engine: Engine, name: string, path: string, { decoded, decodedLogits }: Variant) {
  const result = await engine.generate({ tokens: prompt.slice(0, decodeFrom), maxTokens: decoded.length, sampling });
  expect(result.tokens).toEqual(decoded);
  const rows = rowsOf(decodedLogits);
  for (const [index, entry] of result.logprobs!.entries()) record(name, path, errorOf(rows[index]!, entry));
}

/** The same with an interception in the middle, while others want the memory. */
async function checkIntercepted(engine: Engine, name: string, path: string, { decoded, decodedLogits }: Variant) {
  const run = engine.generate({
    tokens: prompt.slice(0, decodeFrom),
    maxTokens: decoded.length,
    sampling,
    interceptors: [
      { kind: 'pause', trigger: { tokens: decoded.slice(3, 6) }, onIntercept: () => wait(20).then(() => []) },
    ],
  });
  const others = [1, 2, 3].map((first) =>
    engine.generate({
      tokens: prompt.slice(first, first + 20),
      maxTokens: 12,
      sampling: { temperature: 1, seed: first },
    }),
  );
  const { tokens, logprobs, interceptions } = await run;
  await Promise.all(others);
  expect(interceptions.map(({ disposition }) => disposition)).toContain(path);
  expect(tokens).toEqual(decoded);
  const rows = rowsOf(decodedLogits);
  for (const [index, entry] of logprobs!.entries()) record(name, path, errorOf(rows[index]!, entry));
}

/** Bytes of keys and values that so many tokens take, in float32. */
async function poolBytes(path: string, tokens: number): Promise<number> {
  let bytes = 0;
  await withModel(path, {}, async (engine) => {
    bytes = engine.capacity().bytesPerToken * tokens;
  });
  return bytes;
}

async function checkPolicy(path: string, name: string, policy: PolicyName, variant: Variant): Promise<void> {
  // Too little for all four contexts at once, unless the context is to stay.
  const bytes = await poolBytes(path, policy === 'preserve' ? 400 : 80);
  const options: LoadOptions = {
    ...decodeContext(variant),
    policy,
    kvCache: { bytes, dtype: 'f32', blockTokens: 4, prefixCache: false },
    swap: { hostBytes: policy === 'swap' ? bytes : 0 },
  };
  await withModel(path, options, (engine) => checkIntercepted(engine, name, policy, variant));
}

const published = Object.entries(variants).filter(([name]) => !name.startsWith('gpt-oss'));

describe.each(published)('%s', (name, variant) => {
  const directory = join(temporary, name);
  writeCheckpoint(directory, variant);
  const logits = rowsOf(variant.logits);

  it('from a directory', async () => {
    const options = promptContext(variant);
    await withModel(directory, options, (engine) => checkPrefill(engine, name, 'prefill', logits));
    await withModel(directory, { ...options, stepTokens: 5 }, (engine) =>
      checkPrefill(engine, name, 'chunked', logits, positions.slice(-3)),
    );
    await withModel(directory, decodeContext(variant), (engine) => checkDecode(engine, name, 'decode', variant));
  });

  it.skipIf(!variant.hasGguf)('from a GGUF file', async () => {
    const path = fixture(`architectures/${name}.gguf`);
    await withModel(path, promptContext(variant), (engine) => checkPrefill(engine, name, 'GGUF', logits));
    await withModel(path, decodeContext(variant), (engine) => checkDecode(engine, name, 'GGUF', variant));
  });

  it.each<PolicyName>(['preserve', 'swap', 'discard'])('intercepted under %s', async (policy) => {
    await checkPolicy(directory, name, policy, variant);
  });
});

// Its directories hold experts packed as MXFP4, or transposed, which is refused.
describe.each(Object.entries(variants).filter(([name]) => name.startsWith('gpt-oss')))('%s', (name, variant) => {
  const path = fixture(`architectures/${name}.gguf`);

  it('from a GGUF file', async () => {
    await withModel(path, {}, (engine) => checkPrefill(engine, name, 'GGUF', rowsOf(variant.logits)));
    if (name.includes('mxfp4')) return;
    await withModel(path, { stepTokens: 5 }, (engine) => checkDecode(engine, name, 'decode', variant));
  });

  it.skipIf(name.includes('mxfp4')).each<PolicyName>(['preserve', 'swap', 'discard'])(
    'intercepted under %s',
    async (policy) => {
      await checkPolicy(path, name, policy, variant);
    },
  );

  it.runIf(name.includes('mxfp4'))('from a directory', async () => {
    const directory = join(temporary, name);
    writeDirectory(directory, variant);
    copyFileSync(fixture(`architectures/${name}.safetensors`), join(directory, 'model.safetensors'));
    const logits = rowsOf(variant.logits);
    await withModel(directory, {}, (engine) => checkPrefill(engine, name, 'prefill', logits));
    await withModel(directory, { stepTokens: 5 }, (engine) => checkPrefill(engine, name, 'chunked', logits));
  });

  it.skipIf(name.includes('mxfp4'))('not from a directory', async () => {
    const directory = join(temporary, name);
    writeCheckpoint(directory, variant);
    const loading = withModel(directory, {}, async () => {});
    await expect(loading).rejects.toMatchObject({ code: 'ERR_MODEL_UNSUPPORTED' });
  });
});

describe('contexts that the positions do not reach', () => {
  const directory = join(temporary, 'beyond');
  writeCheckpoint(directory, variants['llama-dynamic-long']!);

  it('are refused unless they are asked for', async () => {
    await withModel(directory, {}, async (engine) => {
      const run = engine.generate({ tokens: prompt.slice(0, 40), maxTokens: 1 });
      await expect(run).rejects.toMatchObject({
        code: 'ERR_CONTEXT_TOO_LONG',
        message: expect.stringMatching(/40.* 32;.*longer context/),
      });
    });
  });

  it('are refused while loading', async () => {
    const loading = withModel(directory, { contextTokens: 129 }, async () => {});
    await expect(loading).rejects.toThrow(/`contextTokens` is 129.* reach 128\. Give at most that/);
  });
});
