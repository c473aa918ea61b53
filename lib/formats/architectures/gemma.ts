import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow, TensorFacts } from './index.js';
import { ggufRope, huggingFaceRope } from './rope.js';
import {
  type Base,
  ggufBase,
  ggufWindows,
  huggingFaceBase,
  layerWindows,
  limits,
  requireFalse,
  requireString,
} from './shape.js';
import { tensorRows } from './tensors.js';

/**
 * Gemma 2 (Riviere et al. 2024): norms before and after each block, soft caps of scores and logits, a window in every
 * other layer.
 */
export const gemma2: ArchitectureRow = {
  name: 'gemma2',
  gguf: 'gemma2',
  huggingFace: ['Gemma2ForCausalLM'],
  fromGguf(fields, facts) {
    const base = ggufGemma(fields, facts, 46);
    return {
      ...base,
      ...ggufWindows(fields, base, 2, 4096),
      rope: ggufRope(fields, base, facts, 'half'),
    };
  },
  fromHuggingFace(fields) {
    const base = huggingFaceGemma(fields, { attention: 50, logits: 30 });
    const windowTokens = fields.count('sliding_window', limits.context, 4096);
    return {
      ...base,
      ...layerWindows(fields, base, windowTokens, (layer) => layer % 2 === 0),
      rope: huggingFaceRope(fields, base),
    };
  },
  tensors,
  ignored: /^lm_head\.weight$|rotary_emb\.inv_freq$/,
};

/**
 * Gemma 3 (text only; Kamath et al. 2025): normalized heads instead of soft caps, a window in five of six layers, which
 * have rotary positions of their own.
 */
export const gemma3: ArchitectureRow = {
  name: 'gemma3',
  gguf: 'gemma3',
  huggingFace: ['Gemma3ForCausalLM'],
  fromGguf(fields, facts) {
    const base = ggufGemma(fields, facts, 62);
    return {
      ...base,
      queryKeyNorm: true,
      ...ggufWindows(fields, base, 6, 4096),
      rope: ggufRope(fields, base, facts, 'half', 1_000_000),
      windowRope: { ...plainRope(base.headDim), base: fields.positive('rope.freq_base_swa', 10_000) },
    };
  },
  fromHuggingFace,
  tensors,
  ignored: gemma2.ignored,
};

function fromHuggingFace(fields: Fields): Hyperparameters {
  const base = huggingFaceGemma(fields, {});
  const windowTokens = fields.count('sliding_window', limits.context, 4096);
  const period = fields.count('sliding_window_pattern', limits.layers, 6);
  const shared = { ...base, queryKeyNorm: true };
  const windows = layerWindows(fields, base, windowTokens, (layer) => (layer + 1) % period !== 0);
  if (fields.has('rope_parameters')) {
    const rope = (layers: string, theta: number) =>
      huggingFaceRope(fields, base, { parent: `rope_parameters.${layers}`, base: theta });
    return {
      ...shared,
      ...windows,
      rope: rope('full_attention', 1_000_000),
      windowRope: rope('sliding_attention', 10_000),
    };
  }
  return {
    ...shared,
    ...windows,
    rope: huggingFaceRope(fields, base, { base: 1_000_000 }),
    windowRope: { ...plainRope(base.headDim), base: fields.positive('rope_local_base_freq', 10_000) },
  };
}

const plainRope = (dimension: number) =>
  ({ dimension, base: 10_000, scaling: { kind: 'none' }, layout: 'half' }) as const;

const traits = { postNorms: true, activation: 'gelu' } as const;

/** @param caps defaults of the soft caps; none without */
function huggingFaceGemma(fields: Fields, caps: { attention?: number; logits?: number }): Base {
  requireString(fields, 'hidden_activation', 'gelu_pytorch_tanh', 'gelu_pytorch_tanh');
  requireFalse(fields, 'use_bidirectional_attention');
  const base = huggingFaceBase(fields, { headDim: 256, tiedEmbeddings: true });
  const hasBias = fields.boolean('attention_bias', false);
  const cap = (key: string, fallback: number | undefined) => {
    const value = fields.positive(key, fields.isNull(key) ? 0 : (fallback ?? 0));
    return value === 0 ? undefined : value;
  };
  const attentionSoftCap = cap('attn_logit_softcapping', caps.attention);
  const logitSoftCap = cap('final_logit_softcapping', caps.logits);
  return {
    ...base,
    ...traits,
    // Files hold what the weights differ from one by.
    normWeightOffset: 1,
    embeddingScale: Math.sqrt(base.width),
    attentionScale: 1 / Math.sqrt(fields.positive('query_pre_attn_scalar', 256)),
    ...(attentionSoftCap !== undefined && { attentionSoftCap }),
    ...(logitSoftCap !== undefined && { logitSoftCap }),
    queryKeyValueBias: hasBias,
    attentionOutputBias: hasBias,
  };
}

/** @param largestLayers layers of the one size whose scores are scaled by the width of a head that others would have */
function ggufGemma(fields: Fields, facts: TensorFacts, largestLayers: number): Base {
  const base = ggufBase(fields, facts);
  const scaled = base.layers === largestLayers ? base.width / base.heads : base.headDim;
  const attentionSoftCap = fields.positive('attn_logit_softcapping', 0);
  const logitSoftCap = fields.positive('final_logit_softcapping', 0);
  return {
    ...base,
    ...traits,
    embeddingScale: Math.sqrt(base.width),
    attentionScale: 1 / Math.sqrt(scaled),
    ...(attentionSoftCap > 0 && { attentionSoftCap }),
    ...(logitSoftCap > 0 && { logitSoftCap }),
  };
}

function tensors(hyperparameters: Hyperparameters) {
  return tensorRows(hyperparameters, {
    feedForwardNorm: { gguf: 'ffn_norm', huggingFace: 'pre_feedforward_layernorm' },
  });
}
