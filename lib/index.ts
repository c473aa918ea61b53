export { type AgentWorkload, agentSessions } from './agent-workload.js';
export type { Forecast } from './augmentation.js';
export type { CostProfile } from './cost-profile.js';
export { Engine, type EngineCapacity, type EngineEvents } from './engine.js';
export { type ErrorCode, InferceptError } from './errors.js';
export type { DurationEstimate, Estimates } from './estimates.js';
export {
  type ExplainedInterception,
  type Explanation,
  formatExplanation,
  type InterceptionOutcome,
} from './explanation.js';
export type { GenerateOptions } from './generate.js';
export type { InterceptionHandle, InterceptOptions } from './intercept.js';
export type { InterceptionContext, Interceptor } from './interception.js';
export type * from './interception-record.js';
export type { JsonSchema } from './json-schema.js';
export type { MemoryPlan } from './memory-plan.js';
export { type SystemInfo, systemInfo } from './native.js';
export type { StepRecord } from './native-protocol.js';
export type { LoadOptions, LoadProgress, RunOptions, SamplingOptions } from './options.js';
export type * from './part.js';
export type { AdaptiveIdea, PolicyName } from './policy-names.js';
export {
  type Accelerator,
  a100,
  a100GptJ,
  a100Vicuna,
  a100x2Vicuna,
  a100x4Llama70B,
  type DeviceProfile,
  deriveProfile,
  h200Llama8B,
  type ModelShape,
  modelShapes,
  profiles,
} from './profiles.js';
export { recordTrace, type TraceRecorder } from './record-trace.js';
export { Run } from './run.js';
export { Session } from './session.js';
export type { Checkpoint } from './session-history.js';
export type { SendOptions, SessionOptions } from './session-options.js';
export { type Distribution, type SimulateOptions, type SimulationReport, simulate } from './simulate.js';
export type { SloWeights } from './slo.js';
export type { EngineStats, KindWaste, TierStats, WasteStats } from './stats.js';
export type { JsonValue, Message, ToolCall, ToolDescription } from './text/messages.js';
export {
  defineTool,
  type Tool,
  type ToolContext,
  type ToolDefinition,
  type ToolInput,
  type ToolOutput,
  type ToolParameters,
} from './tool.js';
export type { ApprovalRequest, Approve } from './tool-call.js';
export { formatTrace, parseTrace } from './trace.js';
export type { Bytes } from './validate.js';
export type { AugmentationName, MixWorkload, SessionSegment, SimulatedSession, Workload } from './workload.js';
