// Goal: every supported file leads to the right ModelSpec. Method: tiny models written by the reference packages
// (gguf, safetensors, transformers); bytes that the spec points to are compared across formats.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readModel } from '../../lib/formats/load-model.js';
import type { ModelSpec, TensorSpec } from '../../lib/model-spec.js';
import { expectError, fixture } from './support/fixtures.js';

const model = (name: string): string => fixture(`models/${name}`);

/** The bytes of a tensor, by its canonical name. */
function bytesOf(spec: ModelSpec, name: string): Buffer {
  const tensor = spec.tensors.find((candidate) => candidate.name === name) as TensorSpec;
  return readFileSync(spec.files[tensor.file]!).subarray(tensor.offset, tensor.offset + tensor.byteLength);
}

const plain = {
  layers: 2,
  width: 64,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  ffnWidth: 96,
  contextTokens: 512,
  tiedEmbeddings: false,
};
const scaled = { ...plain, width: 32, kvHeads: 1, ffnWidth: 64, tiedEmbeddings: true };

describe('readModel', () => {
  test('a sharded directory', async () => {
    const { spec, tokenizer, chatTemplate, defaults } = await readModel(model('plain-f32'));
    expect(spec.hyperparameters).toMatchObject({
      ...plain,
      vocabularySize: 288,
      normEpsilon: 1e-5,
      rope: { dimension: 16, base: 10_000, scaling: { kind: 'none' }, layout: 'half' },
    });
    expect(spec.files).toHaveLength(2);
    expect(spec.files.every((path) => path === resolve(path))).toBe(true);
    expect(new Set(spec.tensors.map(({ file }) => file))).toEqual(new Set([0, 1]));
    expect(spec.tensors).toHaveLength(3 + 2 * 9);
    expect(spec.tensors.find(({ name }) => name === 'layers.1.attention.key')).toMatchObject({
      dtype: 'f32',
      shape: [32, 64],
      byteLength: 32 * 64 * 4,
    });
    expect(chatTemplate).toContain('<|im_start|>');
    const id = (content: string) => tokenizer.definition.added_tokens.find((token) => token.content === content)?.id;
    expect(new Set(defaults.eosTokenIds)).toEqual(new Set([id('<|im_end|>'), id('<|endoftext|>')]));
    expect(defaults).toMatchObject({ bosTokenId: id('<|endoftext|>'), addBosToken: false });
  });

  test('a directory with stretched rotary frequencies and tied embeddings', async () => {
    const { spec } = await readModel(model('scaled-bf16'));
    expect(spec.hyperparameters).toMatchObject(scaled);
    expect(spec.hyperparameters.rope.scaling).toEqual({
      kind: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextTokens: 64,
    });
    expect(spec.tensors.some(({ name }) => name === 'output')).toBe(false);
    expect(spec.tensors.every(({ dtype }) => dtype === 'bf16')).toBe(true);
  });

  test.each(['f16', 'bf16', 'q8_0'] as const)('a GGUF file with %s matrices', async (dtype) => {
    const { spec, defaults, chatTemplate } = await readModel(model(`plain-${dtype}.gguf`));
    expect(spec.hyperparameters).toMatchObject({ ...plain, vocabularySize: 288 });
    expect(spec.hyperparameters.normEpsilon).toBeCloseTo(1e-5, 10);
    expect(spec.hyperparameters.rope).toMatchObject({ scaling: { kind: 'none' }, layout: 'interleaved' });
    expect(spec.tensors.find(({ name }) => name === 'layers.0.feedForward.down')).toMatchObject({
      dtype,
      shape: [64, 96],
    });
    expect(spec.tensors.find(({ name }) => name === 'layers.0.feedForwardNorm')).toMatchObject({
      dtype: 'f32',
      shape: [1, 64],
    });
    expect(defaults.eosTokenIds).toHaveLength(2);
    expect(chatTemplate).toContain('<tool_call>');
  });

  test('a GGUF file with rotary factors holds the numbers of the directory', async () => {
    const { spec } = await readModel(model('scaled-f32.gguf'));
    expect(spec.hyperparameters).toMatchObject(scaled);
    expect(spec.hyperparameters.rope.scaling).toEqual({ kind: 'factors' });
    const factors = new Float32Array(new Uint8Array(bytesOf(spec, 'ropeFactors')).buffer);
    expect(factors).toHaveLength(8);
    expect(factors[0]).toBe(1);
    expect(factors[7]).toBe(8);
    const directory = await readModel(model('scaled-bf16'));
    for (const name of ['embedding', 'layers.1.attention.value', 'layers.0.feedForward.up']) {
      const f32 = bytesOf(spec, name);
      const bf16 = bytesOf(directory.spec, name);
      for (let index = 0; index < 200; index++) {
        // The upper half of a float is its bfloat16, but for rounding in the last bit.
        expect(Math.abs(f32.readUInt16LE(4 * index + 2) - bf16.readUInt16LE(2 * index))).toBeLessThanOrEqual(1);
      }
    }
  });

  test('both formats of one model point to the same bytes', async () => {
    const directory = await readModel(model('plain-f32'));
    const gguf = await readModel(model('plain-f16.gguf'));
    const norm = 'layers.1.attentionNorm';
    expect(bytesOf(gguf.spec, norm)).toEqual(bytesOf(directory.spec, norm));
    const names = (spec: ModelSpec) => spec.tensors.map(({ name, shape }) => `${name} ${shape}`);
    expect(names(gguf.spec)).toEqual(names(directory.spec));
  });

  test('a mixed file', async () => {
    const { spec } = await readModel(model('mixed-q4_k_m.gguf'));
    const types = Object.fromEntries(spec.tensors.map(({ name, dtype }) => [name, dtype]));
    expect(types).toMatchObject({
      embedding: 'q6_k',
      outputNorm: 'f32',
      'layers.0.attention.query': 'q4_k',
      'layers.0.attention.output': 'q5_0',
      'layers.0.feedForward.down': 'q6_k',
    });
    const query = spec.tensors.find(({ name }) => name === 'layers.0.attention.query');
    expect(query).toMatchObject({ shape: [128, 256], byteLength: 128 * 144 });
  });

  test('progress and cancellation', async () => {
    const progress: number[] = [];
    await readModel(model('plain-f32'), { onProgress: ({ done, total }) => progress.push(done / total) });
    expect(progress).toEqual([0.5, 1]);
    const reason = new Error('enough');
    for (const name of ['plain-f32', 'plain-q8_0.gguf']) {
      const error = await expectError(readModel(model(name), { signal: AbortSignal.abort(reason) }), 'ERR_ABORTED');
      expect(error.cause).toBe(reason);
    }
    const controller = new AbortController();
    const onProgress = () => controller.abort(reason);
    await expectError(readModel(model('plain-f32'), { signal: controller.signal, onProgress }), 'ERR_ABORTED');
  });

  test('what is not there', async () => {
    await expectError(readModel(model('absent.gguf')), 'ERR_MODEL_NOT_FOUND', /absent\.gguf/);
    await expectError(readModel(fixture('templates')), 'ERR_MODEL_NOT_FOUND', /config\.json/);
  });
});

const temporary = mkdtempSync(join(tmpdir(), 'infercept-model-files-'));
afterAll(() => rmSync(temporary, { recursive: true }));

/** A copy of a fixture directory in which some files are replaced (or, with undefined, left out). */
async function variant(name: string, files: Record<string, string | Buffer | undefined>): Promise<string> {
  const directory = await mkdtemp(join(temporary, 'model-'));
  const all = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
  for (const file of all) if (!(file in files)) await symlink(join(model(name), file), join(directory, file));
  for (const [file, content] of Object.entries(files))
    if (content !== undefined) await writeFile(join(directory, file), content);
  return directory;
}

const config = JSON.parse(readFileSync(join(model('scaled-bf16'), 'config.json'), 'utf8'));
const withConfig = (changes: object) =>
  variant('scaled-bf16', { 'config.json': JSON.stringify({ ...config, ...changes }) });

describe('Hugging Face settings', () => {
  test('the older spelling of rotary settings', async () => {
    const { rope_theta: _, ...rope } = config.rope_parameters;
    const path = await withConfig({ rope_parameters: undefined, rope_theta: 5000, rope_scaling: rope });
    const { spec } = await readModel(path);
    expect(spec.hyperparameters.rope).toMatchObject({ base: 5000, scaling: { kind: 'llama3', factor: 8 } });
  });

  test('defaults', async () => {
    const linear = { type: 'linear', factor: 2 };
    const path = await withConfig({ rope_parameters: undefined, rope_scaling: linear, rms_norm_eps: undefined });
    const { hyperparameters } = (await readModel(path)).spec;
    expect(hyperparameters).toMatchObject({
      normEpsilon: 1e-6,
      rope: { base: 10_000, scaling: { kind: 'linear', factor: 2 } },
    });
  });

  test.each([
    ['an architecture', { architectures: ['MambaForCausalLM'] }, /MambaForCausalLM.*LlamaForCausalLM/],
    ['GPTQ', { quantization_config: { quant_method: 'gptq', bits: 4 } }, /GPTQ.*quantize: 'q4_k'.*GGUF/],
    ['AWQ', { quantization_config: { quant_method: 'awq', bits: 4 } }, /AWQ.*GGUF/],
    ['another quantization', { quantization_config: { quant_method: 'hqq' } }, /hqq.*GGUF/],
    ['an activation', { hidden_act: 'gelu' }, /gelu.*silu/],
    ['a rotary scaling', { rope_parameters: { rope_type: 'proportional', factor: 2 } }, /proportional.*yarn/],
    ['a part of the head', { partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0\.5/],
  ])('%s that is not supported', async (_, changes, message) => {
    await expectError(readModel(await withConfig(changes)), 'ERR_MODEL_UNSUPPORTED', message);
  });

  test('a quantization of which another file tells', async () => {
    const path = await withConfig({});
    await writeFile(join(path, 'quant_config.json'), '{"w_bit": 4}');
    await expectError(readModel(path), 'ERR_MODEL_UNSUPPORTED', /quant_config\.json.*AWQ/);
  });

  test.each([
    ['a missing size', { hidden_size: undefined }, /hidden_size is missing/],
    ['a negative size', { hidden_size: -1 }, /hidden_size is -1/],
    ['a size of another type', { num_hidden_layers: '2' }, /num_hidden_layers is "2"/],
    ['a huge size', { num_hidden_layers: 1e9 }, /num_hidden_layers/],
    ['a size that the tensors contradict', { intermediate_size: 65 }, /shape/],
    ['biases that are not there', { attention_bias: true }, /self_attn\.q_proj\.bias.*missing/],
    ['more layers than tensors', { num_hidden_layers: 3 }, /model\.layers\.2.*missing/],
  ])('%s', async (_, changes, message) => {
    await expectError(readModel(await withConfig(changes)), 'ERR_MODEL_FORMAT', message);
  });

  test('fewer layers than tensors', async () => {
    await expectError(
      readModel(await withConfig({ num_hidden_layers: 1 })),
      'ERR_MODEL_UNSUPPORTED',
      /model\.layers\.1/,
    );
  });

  test('a template in a file of its own, a BOS token by the post-processor', async () => {
    const settings = { bos_token: '<|im_start|>', eos_token: '<|im_end|>' };
    const tokenizer = JSON.parse(readFileSync(join(model('scaled-bf16'), 'tokenizer.json'), 'utf8'));
    tokenizer.post_processor = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|im_start|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: {},
    };
    const path = await variant('scaled-bf16', {
      'chat_template.jinja': 'own file',
      'tokenizer_config.json': JSON.stringify(settings),
      'tokenizer.json': JSON.stringify(tokenizer),
    });
    const { chatTemplate, defaults } = await readModel(path);
    expect(chatTemplate).toBe('own file');
    expect(defaults.addBosToken).toBe(true);
  });

  test('files that are missing or of another kind', async () => {
    const noTokenizer = await variant('scaled-bf16', { 'tokenizer.json': undefined });
    await expectError(readModel(noTokenizer), 'ERR_MODEL_UNSUPPORTED', /tokenizer\.json/);
    const noWeights = await variant('scaled-bf16', { 'model.safetensors': undefined });
    await expectError(readModel(noWeights), 'ERR_MODEL_NOT_FOUND', /model\.safetensors/);
    const pickled = await variant('scaled-bf16', { 'model.safetensors': undefined, 'pytorch_model.bin': '' });
    await expectError(readModel(pickled), 'ERR_MODEL_UNSUPPORTED', /pytorch_model\.bin/);
    const brokenJson = await variant('scaled-bf16', { 'config.json': '{' });
    await expectError(readModel(brokenJson), 'ERR_MODEL_FORMAT', /not valid JSON/);
    const outside = JSON.stringify({ weight_map: { x: '../../etc/model.safetensors' } });
    const escaping = await variant('scaled-bf16', {
      'model.safetensors': undefined,
      'model.safetensors.index.json': outside,
    });
    await expectError(readModel(escaping), 'ERR_MODEL_FORMAT', /plain/);
  });
});
