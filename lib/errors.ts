/**
 * Every error that the library raises on purpose is an `InferceptError` with a stable `code`. Its message says what
 * happened, where, with which numbers, and what to do about it.
 */

/** What went wrong, for programs. Codes are stable; messages may change. */
export type ErrorCode =
  /** A model file is corrupt, truncated or contradicts itself. */
  | 'ERR_MODEL_FORMAT'
  /** There is no model at the given place. */
  | 'ERR_MODEL_NOT_FOUND'
  /** The model is well-formed, but of an architecture or quantization that is not supported. */
  | 'ERR_MODEL_UNSUPPORTED'
  /** An argument or option is wrong or misspelt. */
  | 'ERR_INVALID_ARGUMENT'
  /** Memory for weights, KV blocks or the swap tiers could not be allocated. */
  | 'ERR_OUT_OF_MEMORY'
  /** The context can never fit into the model's context window or the KV cache. */
  | 'ERR_CONTEXT_TOO_LONG'
  /** The caller's `AbortSignal` fired; `cause` is its reason. */
  | 'ERR_ABORTED'
  /** A tool or hook threw; `cause` is what it threw. */
  | 'ERR_TOOL_FAILED'
  /** A tool or hook did not settle within its `timeoutMs`. */
  | 'ERR_TOOL_TIMEOUT'
  /** The engine's queue is full. */
  | 'ERR_OVERLOADED'
  /** The object was disposed. */
  | 'ERR_DISPOSED'
  /** The object is in the middle of something that excludes this call. */
  | 'ERR_BUSY'
  /** The compute device failed or is missing. */
  | 'ERR_DEVICE'
  /** The native addon is not built for this platform. */
  | 'ERR_NATIVE_NOT_FOUND'
  /** A bug in the library. */
  | 'ERR_INTERNAL';

/** Shared by all copies of the package in a process: `instanceof` fails between its ESM and its CJS copy. */
const marker = Symbol.for('infercept.error');

/** What an error carries besides its code and message. */
export interface ErrorOptions {
  /** The numbers and names of the message, for programs. */
  details?: Record<string, unknown>;
  /** What caused this error. */
  cause?: unknown;
}

/** The one error class of the library. Test with {@link InferceptError.isInstance}, not with `instanceof`. */
export class InferceptError extends Error {
  override readonly name = 'InferceptError';
  readonly code: ErrorCode;
  readonly details?: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    if (options.details !== undefined) this.details = options.details;
    Object.defineProperty(this, marker, { value: true });
  }

  /** Whether `value` is an error of this class, from whichever copy of the package. */
  static isInstance(value: unknown): value is InferceptError {
    return typeof value === 'object' && value !== null && marker in value;
  }
}

/**
 * Throws `ERR_ABORTED` if `signal` has fired.
 * @param doing what is given up, as in "loading model.gguf"
 */
export function throwIfAborted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted) {
    throw new InferceptError('ERR_ABORTED', `Aborted while ${doing}.`, { cause: signal.reason });
  }
}
