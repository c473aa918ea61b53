// Goal: what a load will take is known before, is fitted to the machine, and what can never fit is refused with the numbers.
// Method: the fixtures' models on imagined machines; sizes against the files.
import { describe, expect, test } from 'vitest';
import { readModel } from '../../lib/formats/load-model.js';
import { assertFits, type MemorySettings, planMemory, sizeText } from '../../lib/memory-plan.js';
import { fixture } from './support/fixtures.js';

const gib = 2 ** 30;
const large = { totalBytes: 64 * gib, freeBytes: 60 * gib };
const { spec } = await readModel(fixture('models/plain-f32'));
const settings: MemorySettings = {
  kvBytes: undefined,
  hostBytes: undefined,
  kvDtype: 'f32',
  quantize: undefined,
  contextTokens: 512,
  stepTokens: 64,
};

describe('the plan', () => {
  test('of weights: what the files hold, or what quantizing makes of it', () => {
    const stored = spec.tensors.reduce((total, { byteLength }) => total + byteLength, 0);
    expect(planMemory(spec, settings, large).weightBytes).toBe(stored);
    const matrices = spec.tensors.filter(({ shape: [rows] }) => rows > 1);
    const elements = matrices.reduce((total, { shape: [rows, columns] }) => total + rows * columns, 0);
    const vectors = stored - 4 * elements;
    expect(planMemory(spec, { ...settings, quantize: 'q8_0' }, large).weightBytes).toBe(vectors + (elements / 32) * 34);
    // No row has a block of 256; so they become Q8_0.
    expect(planMemory(spec, { ...settings, quantize: 'q4_k' }, large).weightBytes).toBe(vectors + (elements / 32) * 34);
  });

  test('of the KV cache: four contexts, unless told', () => {
    const { layers, kvHeads, headDim } = spec.hyperparameters;
    const bytesPerToken = 2 * layers * kvHeads * headDim * 4;
    const plan = planMemory(spec, settings, large);
    expect(plan).toMatchObject({ bytesPerToken, kvBytes: 4 * 512 * bytesPerToken, hostBytes: 8 * 512 * bytesPerToken });
    expect(planMemory(spec, { ...settings, kvDtype: 'q8_0' }, large).bytesPerToken).toBe(
      (bytesPerToken / 4) * (34 / 32),
    );
    expect(planMemory(spec, { ...settings, kvDtype: 'f8_e4m3' }, large).bytesPerToken).toBe(bytesPerToken / 4);
    expect(planMemory(spec, { ...settings, kvBytes: 5, hostBytes: 0 }, large)).toMatchObject({
      kvBytes: 5,
      hostBytes: 0,
    });
  });

  test('of the KV cache: a context behind a window takes the window and a step', () => {
    const { layers } = spec.hyperparameters;
    const windowed = (windows: number[]) => ({ ...spec, hyperparameters: { ...spec.hyperparameters, windows } });
    const plan = planMemory(windowed(Array<number>(layers).fill(100)), settings, large);
    expect(plan.contextBytes).toBe((100 + 64 + 32) * plan.bytesPerToken);
    expect(plan.kvBytes).toBe(4 * plan.contextBytes);
    const wider = planMemory(windowed(Array<number>(layers).fill(500)), settings, large);
    expect(wider.contextBytes).toBe(512 * plan.bytesPerToken);
  });

  test('of the KV cache: a layer that sees everything keeps everything, and others their window and as much', () => {
    const mixed = (windows: number[]) => ({
      ...spec,
      hyperparameters: { ...spec.hyperparameters, layers: windows.length, windows },
    });
    const perLayer = planMemory(mixed([0]), settings, large).bytesPerToken;
    const plan = planMemory(mixed([100, 0]), { ...settings, stepTokens: 512 }, large);
    expect(plan.bytesPerToken).toBe(2 * perLayer);
    expect(plan.contextBytes).toBe((512 + 100 + 100 + 32) * perLayer);
    // Groups of 4 of 26 layers: 7, the last one half empty.
    const gemma = Array.from({ length: 26 }, (_, layer) => (layer % 6 === 5 ? 0 : 100));
    const large26 = planMemory(mixed(gemma), settings, large);
    expect(large26.bytesPerToken).toBe(28 * perLayer);
    expect(large26.contextBytes).toBe((4 * 512 + 24 * (100 + 64 + 32)) * perLayer);
    // No context is longer than the window.
    expect(planMemory(mixed([512, 0]), settings, large).contextBytes).toBe(512 * 2 * perLayer);
  });

  test('of the KV cache: half of what weights leave free, but never nothing', () => {
    const long = { ...settings, contextTokens: 2 ** 30 };
    const { weightBytes, workspaceBytes } = planMemory(spec, long, large);
    expect(planMemory(spec, long, large).kvBytes).toBe(16 * gib);
    const small = { totalBytes: 64 * gib, freeBytes: 2 * gib };
    expect(planMemory(spec, long, small).kvBytes).toBe(Math.floor((2 * gib - weightBytes - workspaceBytes) / 2));
    expect(planMemory(spec, long, { ...small, freeBytes: 0 }).kvBytes).toBe(64 * 2 ** 20);
    expect(planMemory(spec, { ...long, ownMemory: true }, small).hostBytes).toBe(gib);
    // And it samples from a copy of the logits.
    const copied = 4 * Math.min(settings.stepTokens, 64) * spec.hyperparameters.vocabularySize;
    expect(planMemory(spec, { ...long, ownMemory: true }, small).workspaceBytes).toBe(workspaceBytes + copied);
  });
});

test('what can never fit is refused', () => {
  const plan = planMemory(spec, { ...settings, kvBytes: 3 * gib, hostBytes: gib }, large);
  expect(() => assertFits('x.gguf', plan, large)).not.toThrow();
  expect(() => assertFits('x.gguf', plan, { totalBytes: 4 * gib, freeBytes: 0 })).toThrow(
    /x\.gguf does not fit: .*KV cache 3\.00 GiB, host tier 1\.00 GiB.* of 4\.00 GiB.*kvCache\.bytes/,
  );
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.00 KiB'],
  [150 * 2 ** 20, '150 MiB'],
  [3.456 * gib, '3.46 GiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});
