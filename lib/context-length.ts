import { InferceptError } from './errors.js';
import type { Hyperparameters } from './model-spec.js';

/**
 * How many tokens a context may have.
 * @param asked undefined: as long as the model was made for, with positions as they were trained
 * @throws InferceptError `ERR_INVALID_ARGUMENT`
 */
export function contextLength({ contextTokens: most, rope }: Hyperparameters, asked: number | undefined): number {
  // Longer contexts change what short ones get, so they are for those who ask.
  if (asked === undefined) return rope.scaling.kind === 'dynamic' ? rope.scaling.originalContextTokens : most;
  if (asked <= most) return asked;
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `\`contextTokens\` is ${asked}, but the model's positions reach ${most}. Give at most that, or load a model that was made for longer contexts.`,
    { details: { name: 'contextTokens', value: asked, most } },
  );
}
