import { InferceptError } from '../../errors.js';
import type { ArchitectureRow } from './index.js';
import { ggufRope } from './rope.js';
import { ggufBase, ggufExperts, ggufWindows } from './shape.js';
import { tensorRows } from './tensors.js';

/**
 * gpt-oss (OpenAI 2025): experts with a clamped SwiGLU, a sink in each head's softmax, a window in every other layer, YaRN.
 * From GGUF only: the original files hold transposed or packed experts.
 */
export const gptOss: ArchitectureRow = {
  name: 'gpt-oss',
  gguf: 'gpt-oss',
  huggingFace: ['GptOssForCausalLM'],
  fromGguf(fields, facts) {
    const base = ggufBase(fields, facts);
    const rope = ggufRope(fields, base, facts, 'half', 150_000);
    const { scaling } = rope;
    return {
      ...base,
      ...ggufWindows(fields, base, 2, 128),
      ...ggufExperts(fields),
      queryKeyValueBias: true,
      attentionOutputBias: true,
      feedForwardBias: true,
      routerBias: true,
      attentionSinks: true,
      activation: 'clampedSwiglu',
      // No key says so; all models of this family have these.
      swiglu: { alpha: 1.702, limit: 7 },
      rope: { ...rope, scaling: scaling.kind === 'yarn' ? { ...scaling, wholePairs: false } : scaling },
    };
  },
  fromHuggingFace({ path }) {
    throw new InferceptError(
      'ERR_MODEL_UNSUPPORTED',
      `${path}: gpt-oss is read from GGUF files only. Download one, for example ggml-org/gpt-oss-20b-GGUF.`,
      { details: { path } },
    );
  },
  tensors: (hyperparameters) => tensorRows(hyperparameters, { feedForwardNorm: { gguf: 'post_attention_norm' } }),
  ignored: /$^/,
};
