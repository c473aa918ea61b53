import type { RopeScaling, RopeSpec } from '../../model-spec.js';
import type { Fields } from '../fields.js';
import type { TensorFacts } from './index.js';
import { type Base, limits } from './shape.js';

/** How a family's Hugging Face files spell rotary positions. */
export interface HuggingFaceRope {
  /** Without `rope_theta`. Default 10,000. */
  base?: number;
  /** Leading elements of a head that are rotated. Default: all; `partial_rotary_factor` is refused then. */
  dimension?: number;
  /** The object that gathers the settings. Default: `rope_parameters`, in older files `rope_scaling`. */
  parent?: string;
}

export function huggingFaceRope(fields: Fields, shape: Base, settings: HuggingFaceRope = {}): RopeSpec {
  const parent = settings.parent ?? (fields.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling');
  const dimension = settings.dimension ?? shape.headDim;
  if (settings.dimension === undefined) refusePartial(fields, parent);
  if (dimension % 2 !== 0 || dimension > shape.headDim) {
    throw fields.unsupported('head_dim', dimension, `even sizes up to ${shape.headDim}`);
  }
  return {
    dimension,
    // Newer configurations gather everything about rotary positions in `rope_parameters`.
    base: fields.positive(`${parent}.rope_theta`, fields.positive('rope_theta', settings.base ?? 10_000)),
    scaling: huggingFaceScaling(fields, parent, shape.contextTokens),
    layout: 'half',
  };
}

function refusePartial(fields: Fields, parent: string): void {
  for (const key of ['partial_rotary_factor', `${parent}.partial_rotary_factor`]) {
    const factor = fields.positive(key, 1);
    if (factor !== 1) throw fields.unsupported(key, factor, '1 for this architecture');
  }
}

function huggingFaceScaling(fields: Fields, parent: string, contextTokens: number): RopeScaling {
  const kind = fields.string(`${parent}.rope_type`, fields.string(`${parent}.type`, 'default'));
  const original = () =>
    fields.count(
      `${parent}.original_max_position_embeddings`,
      limits.context,
      fields.count('original_max_position_embeddings', limits.context, contextTokens),
    );
  switch (kind) {
    case 'default':
      return { kind: 'none' };
    case 'dynamic':
      return { kind, factor: fields.positive(`${parent}.factor`), originalContextTokens: contextTokens };
    case 'linear':
      return { kind, factor: fields.positive(`${parent}.factor`) };
    case 'llama3':
      return llama3Scaling(fields, parent);
    case 'yarn':
      return yarnScaling(fields, parent, original());
    case 'longrope':
    case 'su':
      return longRopeScaling(fields, parent, original(), contextTokens);
    default:
      throw fields.unsupported(`${parent}.rope_type`, kind, 'default, dynamic, linear, llama3, yarn, longrope');
  }
}

function llama3Scaling(fields: Fields, parent: string): RopeScaling {
  const scaling = {
    kind: 'llama3' as const,
    factor: fields.positive(`${parent}.factor`),
    lowFrequencyFactor: fields.positive(`${parent}.low_freq_factor`),
    highFrequencyFactor: fields.positive(`${parent}.high_freq_factor`),
    originalContextTokens: fields.count(`${parent}.original_max_position_embeddings`, limits.context),
  };
  if (scaling.highFrequencyFactor <= scaling.lowFrequencyFactor) {
    throw fields.unsupported(`${parent}.high_freq_factor`, scaling.highFrequencyFactor, 'above low_freq_factor');
  }
  return scaling;
}

/** How much attention scores grow with the stretching (Peng et al., "YaRN", 2023, eq. 25), as a factor of cosines. */
function yarnAmplitude(factor: number, weight = 1): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}

function yarnScaling(fields: Fields, parent: string, originalContextTokens: number): RopeScaling {
  const factor = fields.positive(`${parent}.factor`);
  const isSplit = fields.has(`${parent}.mscale`) && fields.has(`${parent}.mscale_all_dim`);
  const amplitude = isSplit
    ? yarnAmplitude(factor, fields.positive(`${parent}.mscale`)) /
      yarnAmplitude(factor, fields.positive(`${parent}.mscale_all_dim`))
    : yarnAmplitude(factor);
  return {
    kind: 'yarn',
    factor,
    fastTurns: fields.positive(`${parent}.beta_fast`, 32),
    slowTurns: fields.positive(`${parent}.beta_slow`, 1),
    wholePairs: fields.boolean(`${parent}.truncate`, true),
    originalContextTokens,
    amplitude: fields.positive(`${parent}.attention_factor`, amplitude),
  };
}

/** The amplitude of LongRoPE (Ding et al. 2024), for a context so many times as long as the original. */
function longRopeAmplitude(factor: number, originalContextTokens: number): number {
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContextTokens));
}

function longRopeScaling(
  fields: Fields,
  parent: string,
  originalContextTokens: number,
  contextTokens: number,
): RopeScaling {
  const factor = fields.positive(`${parent}.factor`, contextTokens / originalContextTokens);
  return {
    kind: 'longrope',
    shortFactors: fields.positives(`${parent}.short_factor`),
    longFactors: fields.positives(`${parent}.long_factor`),
    originalContextTokens,
    amplitude: fields.positive(`${parent}.attention_factor`, longRopeAmplitude(factor, originalContextTokens)),
  };
}

/** @param layout `interleaved` where the writer of the file reordered queries and keys, or the model has it so */
export function ggufRope(
  fields: Fields,
  shape: Base,
  facts: TensorFacts,
  layout: RopeSpec['layout'],
  base = 10_000,
): RopeSpec {
  return {
    dimension: ggufDimension(fields, shape.headDim),
    base: fields.positive('rope.freq_base', base),
    scaling: ggufScaling(fields, facts, shape.contextTokens),
    layout,
  };
}

function ggufDimension(fields: Fields, headDim: number): number {
  const dimension = fields.count('rope.dimension_count', limits.width, headDim);
  if (dimension % 2 === 0 && dimension <= headDim) return dimension;
  throw fields.unsupported('rope.dimension_count', dimension, `even numbers up to the head's ${headDim} elements`);
}

function ggufScaling(fields: Fields, facts: TensorFacts, contextTokens: number): RopeScaling {
  if (facts.has('rope_freqs.weight')) return { kind: 'factors' };
  const original = () => fields.count('rope.scaling.original_context_length', limits.context, contextTokens);
  const longFactors = facts.floats('rope_factors_long.weight');
  if (longFactors !== undefined) return ggufLongRope(fields, facts, longFactors, original(), contextTokens);
  // `rope.scale_linear` is the older spelling of a linear factor.
  const legacyFactor = fields.positive('rope.scale_linear', 1);
  const kind = fields.string('rope.scaling.type', legacyFactor === 1 ? 'none' : 'linear');
  if (kind === 'none') return { kind };
  const factor = () => fields.positive('rope.scaling.factor', legacyFactor);
  if (kind === 'linear') return { kind, factor: factor() };
  if (kind === 'yarn') {
    return {
      kind,
      factor: factor(),
      fastTurns: fields.positive('rope.scaling.yarn_beta_fast', 32),
      slowTurns: fields.positive('rope.scaling.yarn_beta_slow', 1),
      wholePairs: true,
      originalContextTokens: original(),
      amplitude: fields.positive('rope.scaling.attn_factor', 1) * yarnAmplitude(factor()),
    };
  }
  throw fields.unsupported('rope.scaling.type', kind, 'none, linear, yarn, and factors in tensors');
}

function ggufLongRope(
  fields: Fields,
  facts: TensorFacts,
  longFactors: number[],
  originalContextTokens: number,
  contextTokens: number,
): RopeScaling {
  const amplitude = longRopeAmplitude(contextTokens / originalContextTokens, originalContextTokens);
  return {
    kind: 'longrope',
    shortFactors: facts.floats('rope_factors_short.weight') ?? longFactors,
    longFactors,
    originalContextTokens,
    amplitude: fields.positive('rope.scaling.attn_factor', amplitude),
  };
}

/** The context that stretched positions reach, where that is more than the file says. */
export function stretchedContext({ scaling }: RopeSpec, contextTokens: number): number {
  if (scaling.kind !== 'yarn' && scaling.kind !== 'dynamic') return contextTokens;
  return Math.max(contextTokens, Math.floor(scaling.factor * scaling.originalContextTokens));
}
