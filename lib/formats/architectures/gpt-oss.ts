import type { Hyperparameters } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { ArchitectureRow, TensorRow, TensorRows } from './index.js';
import { withRope } from './llama.js';
import { ggufRope } from './rope.js';
import {
  type Base,
  ggufBase,
  ggufExperts,
  ggufWindows,
  huggingFaceBase,
  layerWindows,
  limits,
  requireString,
} from './shape.js';
import { tensorRows } from './tensors.js';

/**
 * gpt-oss (OpenAI 2025): experts with a clamped SwiGLU, a sink in each head's softmax, a window in every other layer, YaRN.
 * Of Hugging Face's checkpoints those whose experts are packed as MXFP4.
 */
export const gptOss: ArchitectureRow = {
  name: 'gpt-oss',
  gguf: 'gpt-oss',
  huggingFace: ['GptOssForCausalLM'],
  packedExperts: true,
  fromGguf(fields, facts) {
    const base = ggufBase(fields, facts);
    const rope = ggufRope(fields, base, facts, 'half', 150_000);
    const { scaling } = rope;
    return {
      ...family({ ...base, ...ggufWindows(fields, base, 2, 128), ...ggufExperts(fields) }, true),
      // No key says so; all models of this family have these.
      swiglu: { alpha: 1.702, limit: 7 },
      rope: { ...rope, scaling: scaling.kind === 'yarn' ? { ...scaling, wholePairs: false } : scaling },
    };
  },
  fromHuggingFace(fields) {
    requirePacked(fields);
    requireString(fields, 'hidden_act', 'silu', 'silu');
    const base = huggingFaceBase(fields, { headDim: 64, normEpsilon: 1e-5 });
    const windows = layerWindows(
      fields,
      base,
      fields.countOrNone('sliding_window', limits.context) || 128,
      (layer) => layer % 2 === 0,
    );
    const experts = {
      count: fields.count('num_local_experts', limits.experts, 128),
      used: fields.count('num_experts_per_tok', limits.experts, 4),
      normalized: true,
    };
    return {
      ...withRope(fields, family({ ...base, ...windows, experts }, fields.boolean('attention_bias', true))),
      swiglu: { alpha: fields.positive('swiglu_alpha', 1.702), limit: fields.positive('swiglu_limit', 7) },
    };
  },
  tensors: (hyperparameters) =>
    tensorRows(hyperparameters, {
      feedForwardNorm: { gguf: 'post_attention_norm' },
      router: { huggingFace: 'mlp.router' },
    }).map((row) => asPublished(row, hyperparameters)),
  ignored: /$^/,
};

function family(base: Base, attentionBias: boolean): Base {
  return {
    ...base,
    queryKeyValueBias: attentionBias,
    attentionOutputBias: attentionBias,
    feedForwardBias: true,
    routerBias: true,
    attentionSinks: true,
    activation: 'clampedSwiglu',
  };
}

/** Files that were saved after training hold experts as floats, columns first. */
function requirePacked(fields: Fields): void {
  const method = fields.string('quantization_config.quant_method', 'none');
  if (method === 'mxfp4') return;
  throw fields.unsupported(
    'quantization_config.quant_method',
    method,
    'mxfp4 for this architecture, as in openai/gpt-oss-20b; or GGUF files, for example ggml-org/gpt-oss-20b-GGUF',
  );
}

/** Names in the published safetensors: sinks have no suffix, and all experts of a layer are in one tensor. */
function asPublished(row: TensorRow, hyperparameters: Hyperparameters): TensorRow {
  if (row.name.endsWith('.sinks')) return { ...row, huggingFace: row.huggingFace!.replace(/\.weight$/, '') };
  const expert = /^layers\.(\d+)\.experts\.(\d+)\.(gate|up|down)(\.bias)?$/.exec(row.name);
  if (expert === null) return row;
  const [, layer, index, name, bias] = expert as unknown as [string, string, string, string, string | undefined];
  const tensor = `model.layers.${layer}.mlp.experts.${name === 'down' ? 'down_proj' : 'gate_up_proj'}`;
  const rows = expertRows(Number(index), name, hyperparameters);
  if (bias !== undefined) return { ...row, huggingFace: `${tensor}_bias`, huggingFaceRows: rows };
  const blocks = [row.shape[1] / 32, 16];
  const huggingFaceRows = { ...rows, dimensions: [...rows.dimensions, ...blocks], scales: `${tensor}_scales` };
  return { ...row, huggingFace: `${tensor}_blocks`, huggingFaceRows };
}

/** [experts][rows]: gates and ups alternate. */
function expertRows(expert: number, name: string, { experts, ffnWidth, width }: Hyperparameters): TensorRows {
  const isDown = name === 'down';
  const rows = isDown ? width : 2 * ffnWidth;
  return {
    dimensions: [experts!.count, rows],
    firstRow: expert * rows + (name === 'up' ? 1 : 0),
    step: isDown ? 1 : 2,
  };
}
