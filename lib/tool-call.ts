/** One tool call from its arguments to its outcome: validation, approval, tries, timeout. Never throws. */
import { collectText, createForecast, isAsyncIterable, orAborted } from './augmentation.js';
import { InferceptError } from './errors.js';
import type { Session } from './session.js';
import type { ParsedToolCall } from './text/tool-call-format.js';
import type { Tool, ToolContext, ToolOutput } from './tool.js';

/** What is asked of `approve`. */
export interface ApprovalRequest {
  callId: string;
  toolName: string;
  /** Validated arguments. */
  input: unknown;
  /** Whether the tool says that it changes nothing. */
  readOnly: boolean;
  session: Session;
  /** Fires when the answer is no longer wanted. */
  signal: AbortSignal;
}

/** Decides about calls of tools with `needsApproval`. A refusal, with its reason if given, is reported to the model. */
export type Approve = (
  request: ApprovalRequest,
) => boolean | { approved: boolean; reason?: string } | Promise<boolean | { approved: boolean; reason?: string }>;

/** How a call ended. */
export interface CallOutcome {
  /** What the model is told. */
  text: string;
  output?: unknown;
  error?: InferceptError;
  durationMs: number;
}

export interface ToolCallOptions {
  parsed: ParsedToolCall;
  /** The tool of this name, if there is one. */
  tool: Tool | undefined;
  toolNames: string[];
  callId: string;
  session: Session;
  approve: Approve | undefined;
  /** Fires when the run has ended. */
  signal: AbortSignal;
  announce(remainingMs: number): void;
}

/** Runs a call. The model is told about every failure; whether the run ends is the caller's business. */
export async function runToolCall(options: ToolCallOptions): Promise<CallOutcome> {
  const started = performance.now();
  try {
    const tool = findTool(options);
    const input = (await tool.parse('arguments' in options.parsed ? options.parsed.arguments : {})) as never;
    await assertApproved(tool, input, options);
    const output = await tryRepeatedly(tool, input, options);
    return { text: toText(output), output, durationMs: performance.now() - started };
  } catch (cause) {
    const error = toError(cause, options.tool?.name ?? 'unknown');
    return { text: `Error: ${error.message}`, error, durationMs: performance.now() - started };
  }
}

function findTool({ parsed, tool, toolNames }: ToolCallOptions): Tool {
  if ('error' in parsed) throw new InferceptError('ERR_INVALID_ARGUMENT', parsed.error);
  if (tool !== undefined) return tool;
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `There is no tool named ${JSON.stringify(parsed.name)}. Tools: ${toolNames.join(', ')}.`,
  );
}

async function assertApproved(tool: Tool, input: never, options: ToolCallOptions): Promise<void> {
  if (!tool.needsApproval(input)) return;
  const { callId, session, signal } = options;
  const request = { callId, toolName: tool.name, input, readOnly: tool.readOnly, session, signal };
  const answer = await orAborted(Promise.resolve(options.approve!(request)), signal);
  const { approved, reason } = typeof answer === 'boolean' ? { approved: answer, reason: undefined } : answer;
  if (approved) return;
  const because = reason === undefined ? '' : ` ${reason}`;
  throw new InferceptError('ERR_TOOL_FAILED', `The call was not approved.${because}`);
}

async function tryRepeatedly(tool: Tool, input: never, options: ToolCallOptions): Promise<unknown> {
  for (let retry = 0; ; retry += 1) {
    try {
      return await tryOnce(tool, input, options);
    } catch (error) {
      if (options.signal.aborted || retry >= tool.retries) throw error;
    }
  }
}

async function tryOnce(tool: Tool, input: never, options: ToolCallOptions): Promise<unknown> {
  const { signal: runSignal, callId, session, announce } = options;
  const timeout = tool.timeoutMs === undefined ? undefined : AbortSignal.timeout(tool.timeoutMs);
  const signal = timeout === undefined ? runSignal : AbortSignal.any([runSignal, timeout]);
  signal.throwIfAborted();
  const context: ToolContext = { signal, callId, session, ...createForecast(announce) };
  try {
    return await orAborted(execute(tool, input, context), signal);
  } catch (cause) {
    if (!runSignal.aborted && timeout?.aborted) {
      const limit = `The tool ${tool.name} took longer than ${tool.timeoutMs} ms.`;
      throw new InferceptError('ERR_TOOL_TIMEOUT', limit, { cause });
    }
    throw cause;
  }
}

async function execute(tool: Tool, input: never, context: ToolContext): Promise<unknown> {
  const output: ToolOutput = await tool.execute(input, context);
  return isAsyncIterable(output) ? collectText(output) : output;
}

function toText(output: unknown): string {
  if (typeof output === 'string') return output;
  if (output === undefined) return '';
  const json = JSON.stringify(output);
  if (json !== undefined) return json;
  throw new InferceptError('ERR_INVALID_ARGUMENT', `A tool returned a ${typeof output}, which is not JSON.`);
}

function toError(cause: unknown, name: string): InferceptError {
  if (InferceptError.isInstance(cause)) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new InferceptError('ERR_TOOL_FAILED', `The tool ${name} failed: ${reason}`, { cause });
}
