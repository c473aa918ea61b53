// Goal: settings mean what transformers takes them for, older spellings and absent ones too, and what changes the mathematics
// and is not supported is refused by name. Method: configurations by hand; the logits are test/integration/architectures.test.ts'.
import { describe, expect, test } from 'vitest';
import { architectureOfHuggingFace } from '../../lib/formats/architectures/index.js';
import { createFields } from '../../lib/formats/fields.js';
import type { Hyperparameters } from '../../lib/model-spec.js';

const sizes = {
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 8192,
};

function read(name: string, settings: object): Hyperparameters {
  const json: Record<string, unknown> = { ...sizes, ...settings };
  const lookup = (key: string) =>
    key.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], json);
  return architectureOfHuggingFace('config.json', [`${name}ForCausalLM`]).fromHuggingFace(
    createFields('config.json', lookup),
  );
}

describe('windows', () => {
  test('of Mistral: null is none, absent is what transformers takes', () => {
    expect(read('Mistral', { sliding_window: null }).windows).toBeUndefined();
    expect(read('Mistral', { sliding_window: 100 }).windows).toEqual(Array(6).fill(100));
    expect(read('Mistral', {}).windows).toEqual(Array(6).fill(4096));
  });

  test('of Qwen 2: only if they are used, from a layer on', () => {
    expect(read('Qwen2', { sliding_window: 100, max_window_layers: 4 }).windows).toBeUndefined();
    const settings = { use_sliding_window: true, sliding_window: 100, max_window_layers: 4 };
    expect(read('Qwen2', settings).windows).toEqual([0, 0, 0, 0, 100, 100]);
  });

  test('of Gemma: every other layer, five of six, or as the list says', () => {
    expect(read('Gemma2', { sliding_window: 7 }).windows).toEqual([7, 0, 7, 0, 7, 0]);
    expect(read('Gemma3', { sliding_window: 7 }).windows).toEqual([7, 7, 7, 7, 7, 0]);
    expect(read('Gemma3', { sliding_window: 7, sliding_window_pattern: 3 }).windows).toEqual([7, 7, 0, 7, 7, 0]);
    const types = [...Array(5).fill('full_attention'), 'sliding_attention'];
    expect(read('Gemma2', { sliding_window: 7, layer_types: types }).windows).toEqual([0, 0, 0, 0, 0, 7]);
  });
});

describe('Gemma', () => {
  test('soft caps: null is none, absent is what transformers takes', () => {
    expect(read('Gemma2', {})).toMatchObject({ attentionSoftCap: 50, logitSoftCap: 30, tiedEmbeddings: true });
    const none = read('Gemma2', { attn_logit_softcapping: null, final_logit_softcapping: null });
    expect([none.attentionSoftCap, none.logitSoftCap]).toEqual([undefined, undefined]);
    expect(read('Gemma3', {}).attentionSoftCap).toBeUndefined();
  });

  test('the older spelling of its two rotary positions', () => {
    const rope_scaling = { rope_type: 'linear', factor: 8 };
    const { rope, windowRope } = read('Gemma3', { rope_theta: 5e5, rope_local_base_freq: 2e4, rope_scaling });
    expect(rope).toMatchObject({ base: 5e5, scaling: { kind: 'linear', factor: 8 } });
    expect(windowRope).toMatchObject({ base: 2e4, scaling: { kind: 'none' } });
  });
});

describe('rotary positions', () => {
  test('the older spelling of LongRoPE', () => {
    const factors = Array<number>(8).fill(1.5);
    const { rope } = read('Phi3', {
      max_position_embeddings: 131072,
      original_max_position_embeddings: 4096,
      rope_scaling: { type: 'su', short_factor: factors, long_factor: factors },
    });
    expect(rope.scaling).toMatchObject({ kind: 'longrope', originalContextTokens: 4096, longFactors: factors });
    expect((rope.scaling as { amplitude: number }).amplitude).toBeCloseTo(Math.sqrt(1 + Math.log(32) / Math.log(4096)));
  });

  test('YaRN reaches further than the file says', () => {
    const rope_scaling = { type: 'yarn', factor: 4, original_max_position_embeddings: 8192 };
    const { rope, contextTokens } = read('Qwen2', { rope_scaling });
    expect(contextTokens).toBe(32768);
    expect(rope.scaling).toMatchObject({ kind: 'yarn', fastTurns: 32, slowTurns: 1, wholePairs: true });
    expect((rope.scaling as { amplitude: number }).amplitude).toBeCloseTo(1 + 0.1 * Math.log(4));
  });
});

test.each([
  ['Llama', { rope_parameters: { partial_rotary_factor: 0.5 } }, /partial_rotary_factor is 0\.5/],
  ['Llama', { rope_scaling: { rope_type: 'ntk' } }, /rope_type is "ntk"/],
  ['Mistral', { hidden_act: 'gelu' }, /hidden_act is "gelu"/],
  ['Qwen2', { layer_types: Array(6).fill('chunked_attention') }, /chunked_attention/],
  ['Gemma2', { hidden_activation: 'gelu' }, /hidden_activation is "gelu"/],
  ['Gemma3', { use_bidirectional_attention: true }, /use_bidirectional_attention is true/],
  ['Qwen3Moe', { mlp_only_layers: [1], moe_intermediate_size: 8 }, /mlp_only_layers is 1/],
  ['Qwen3Moe', { decoder_sparse_step: 2, moe_intermediate_size: 8 }, /decoder_sparse_step is 2/],
  ['GPTJ', { n_layer: 2, n_embd: 64, n_head: 4, n_positions: 64, activation_function: 'gelu' }, /activation_function/],
  ['GptOss', {}, /quant_method is "none".*mxfp4.*GGUF/],
] as const)('%s with %j is refused', (name, settings, message) => {
  expect(() => read(name, settings)).toThrow(message);
});
