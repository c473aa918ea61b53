/** `infercept/policy`: the scheduler's decisions for another engine. Needs the native addon, and nothing else of the library. */
export { argumentShape } from './argument-shape.js';
export type { CostProfile } from './cost-profile.js';
export { type ErrorCode, InferceptError } from './errors.js';
export type { DurationEstimate, Estimates } from './estimates.js';
export type { Disposition } from './interception-record.js';
export type { JsonSchema } from './json-schema.js';
export type { InterceptionKind, PausedContext, StepLoad } from './policy-contexts.js';
export {
  type CopyDirection,
  PolicyCore,
  type PolicyCoreOptions,
  type PolicyDecision,
  type PolicyQuestion,
  type Waste,
  type WeighedContext,
} from './policy-core.js';
export type { PolicyName } from './policy-names.js';
export {
  type Accelerator,
  type DeviceProfile,
  deriveProfile,
  type ModelShape,
  modelShapes,
  profiles,
} from './profiles.js';
