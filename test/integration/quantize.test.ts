// Goal: `quantize` gives the model that a quantized file gives. Method: the tiny models as floats, quantized at load, against
// the same model quantized by the gguf package; and what cannot be quantized.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeModel, shapeSmall } from '../../bench/make-model.js';
import { Engine, type LoadOptions } from '../../lib/index.js';
import { quantizedTypes, tensorTypes } from '../../lib/model-spec.js';
import { expectError, fixture } from '../unit/support/fixtures.js';

const small: LoadOptions = { threads: 2, kvCache: { bytes: '1MiB', dtype: 'f32' }, swap: { hostBytes: 0 } };
const load = (name: string, options: LoadOptions = {}) =>
  Engine.load(isAbsolute(name) ? name : fixture(`models/${name}`), { ...small, ...options });

const folder = mkdtempSync(join(tmpdir(), 'infercept-quantize-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function logprobs(name: string, options?: LoadOptions): Promise<{ bytes: number; top: Map<number, number> }> {
  const engine = await load(name, options);
  try {
    const tokens = [5, 17, 99, 3, 42, 7, 120, 64];
    const { top } = (await engine.generate({ tokens, maxTokens: 1, sampling: { logprobs: 20 } })).logprobs![0]!;
    return {
      bytes: engine.capacity().weightBytes,
      top: new Map(top.map(({ token, logprob }) => [token, logprob])),
    };
  } finally {
    await engine.dispose();
  }
}

describe('quantize', () => {
  it('a safetensors directory becomes what the file of the gguf package is', async () => {
    const [quantized, file] = [await logprobs('plain-f32', { quantize: 'q8_0' }), await logprobs('plain-q8_0.gguf')];
    expect(quantized.bytes).toBe(file.bytes);
    expect([...quantized.top.keys()]).toEqual([...file.top.keys()]);
    // Rotary pairs lie in another order, so sums over a head are added in another order.
    for (const [token, logprob] of quantized.top) expect(Math.abs(logprob - file.top.get(token)!)).toBeLessThan(1e-4);
    const floats = await logprobs('plain-f32');
    expect(floats.bytes).toBeGreaterThan(3 * quantized.bytes);
    expect(floats.top).not.toEqual(quantized.top);
  });

  it('tied embeddings in BF16, and GGUF files of floats', async () => {
    for (const name of ['scaled-bf16', 'plain-bf16.gguf', 'plain-f16.gguf', 'scaled-f32.gguf']) {
      const quantized = await logprobs(name, { quantize: 'q8_0' });
      const floats = await logprobs(name);
      expect(quantized.bytes, name).toBeLessThan(0.6 * floats.bytes);
      const [token, logprob] = [...floats.top][0]!;
      // Weights and activations to 8 bits, about 0.6 % of each sum; logits up to 6.
      expect(Math.abs(quantized.top.get(token)! - logprob), name).toBeLessThan(0.3);
    }
  });

  it.each(quantizedTypes)('%s: as small as the type says, as close as its bits allow', async (type) => {
    const path = join(folder, 'small.gguf');
    if (!existsSync(path)) makeModel(path, shapeSmall, 'f32');
    const floats = await logprobs(path);
    const quantized = await logprobs(path, { quantize: type });
    const { blockElements, blockBytes } = tensorTypes[type];
    const norms = (1 + 2 * shapeSmall.layers) * shapeSmall.width * 4;
    expect(quantized.bytes).toBe(norms + ((floats.bytes - norms) / 4 / blockElements) * blockBytes);
    const shared = [...floats.top].filter(([token]) => quantized.top.has(token));
    expect(shared.length).toBeGreaterThan(0);
    const squares = shared.map(([token, logprob]) => (logprob - quantized.top.get(token)!) ** 2);
    const error = Math.sqrt(squares.reduce((sum, square) => sum + square) / squares.length);
    // Logits have deviation 1 and steps of b bits one of about 2^-b, in each of the fifteen matrices on the way.
    const bits = Number(/\d/.exec(type)![0]);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(Math.sqrt(15) * 2 ** -bits);
  });

  it('weights that are quantized already are refused, as are types that are none', async () => {
    await expectError(
      load('plain-q8_0.gguf', { quantize: 'q8_0' }),
      'ERR_INVALID_ARGUMENT',
      /`quantize` is "q8_0".*plain-q8_0\.gguf are quantized already.*Q8_0/,
    );
    for (const quantize of ['f16', 'q9_9', 8])
      await expectError(
        load('plain-f32', { quantize: quantize as 'q8_0' }),
        'ERR_INVALID_ARGUMENT',
        /`quantize`.*'q8_0'/,
      );
  });

  it('can be cancelled', async () => {
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    await expectError(load('plain-f32', { quantize: 'q8_0', signal: controller.signal, onProgress }), 'ERR_ABORTED');
  });
});
