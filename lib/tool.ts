/** Tools: functions of the program that the model may call. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec';
import { InferceptError } from './errors.js';
import type { Disposition } from './interception-record.js';
import { type JsonSchema, validateJsonSchema } from './json-schema.js';
import type { Session } from './session.js';
import {
  boolean,
  type Check,
  callback,
  integer,
  invalid,
  nonEmptyString,
  oneOf,
  options,
  real,
  string,
} from './validate.js';

/** What a running tool can know and say. */
export interface ToolContext {
  /** Fires when the run is aborted, the session disposed, or `timeoutMs` is over. */
  signal: AbortSignal;
  /** Unique among the calls of a session. */
  callId: string;
  session: Session;
  /** Announces that the result will be there in so many milliseconds. */
  eta(milliseconds: number): void;
  /** Announces what fraction of the work is done, from 0 to 1; the rest is extrapolated. */
  progress(fraction: number): void;
  /** Announces that the result is about to be there. */
  almostDone(): void;
}

/** What `execute` may return: text for the model, any JSON value, or a stream of text. */
export type ToolOutput = string | number | boolean | null | undefined | object | AsyncIterable<string>;

/** A schema library's schema (zod, valibot, arktype, ...) or a plain JSON Schema object. */
export type ToolParameters = StandardSchemaV1 | JsonSchema;

/** The arguments that `execute` gets for these parameters. */
export type ToolInput<Parameters> = Parameters extends StandardSchemaV1
  ? StandardSchemaV1.InferOutput<Parameters>
  : Record<string, unknown>;

export interface ToolDefinition<Parameters extends ToolParameters = ToolParameters> {
  /** What the model calls it: letters, digits, `_`, `-` and `.`, at most 64. */
  name: string;
  /** When to use it and what it returns; the model reads this. */
  description: string;
  /** A Standard Schema that can also say its JSON Schema, or a JSON Schema object. The model sees the JSON Schema. */
  parameters: Parameters;
  /** Runs one call. Calls of one message run at the same time. */
  execute(input: ToolInput<Parameters>, context: ToolContext): ToolOutput | Promise<ToolOutput>;
  /** After so many milliseconds a try counts as failed with `ERR_TOOL_TIMEOUT`. Default: no limit. */
  timeoutMs?: number;
  /** How often a failed try is repeated. Default 0. */
  retries?: number;
  /** How long a call usually takes, in milliseconds: helps the scheduler until it has seen some. Default: unknown. */
  expectedMs?: number;
  /** A wish for what happens to the context during calls; under pressure the scheduler may overrule it. Default: none. */
  disposition?: Disposition;
  /** Says that calls change nothing; shown to `approve`. Default false. */
  readOnly?: boolean;
  /** Whether calls must be approved by the session's `approve` callback. Default false. */
  needsApproval?: boolean | ((input: ToolInput<Parameters>) => boolean);
  /**
   * Under which name waiting times are learnt and reported. It belongs to the family `tool`, unless it is or begins with
   * `human:`, `model:` or `environment:`. Default `tool:<name>`.
   */
  kind?: string;
  /** A failed call is reported to the model, which goes on; or thrown, which ends the run. Default `'report'`. */
  onError?: 'report' | 'throw';
}

/** A checked tool. Made by {@link defineTool}. */
export interface Tool<Parameters extends ToolParameters = ToolParameters>
  extends Omit<ToolDefinition<Parameters>, 'parameters' | 'needsApproval' | 'execute'> {
  readonly parameters: Parameters;
  readonly retries: number;
  readonly readOnly: boolean;
  readonly kind: string;
  readonly onError: 'report' | 'throw';
  /** What the model is told about the arguments. */
  readonly jsonSchema: JsonSchema;
  execute(input: ToolInput<Parameters>, context: ToolContext): ToolOutput | Promise<ToolOutput>;
  /** Whether any call can need approval. */
  readonly mayNeedApproval: boolean;
  needsApproval(input: ToolInput<Parameters>): boolean;
  /** Validates arguments; throws an error whose message the model can use. */
  parse(input: unknown): Promise<ToolInput<Parameters>>;
}

const toolName: Check<string> = (value, name) => {
  if (typeof value === 'string' && /^[\w.-]{1,64}$/.test(value)) return value;
  throw invalid(name, value, 'a name of 1 to 64 letters, digits, "_", "-" or "."');
};

const parameters: Check<ToolParameters> = (value, name) => {
  if ((typeof value === 'object' || typeof value === 'function') && value !== null) return value as ToolParameters;
  throw invalid(name, value, 'a Standard Schema or a JSON Schema object');
};

const approval: Check<boolean | ((input: never) => boolean)> = (value, name) => {
  if (typeof value === 'boolean') return value;
  return callback<(input: never) => boolean>()(value, name);
};

const readDefinition = options({
  name: toolName,
  description: string,
  parameters,
  execute: callback<ToolDefinition['execute']>(),
  timeoutMs: integer(1, 2 ** 31 - 1),
  retries: integer(0, 1000),
  expectedMs: real(0, 1e12),
  disposition: oneOf('preserve', 'swap', 'discard'),
  readOnly: boolean,
  needsApproval: approval,
  kind: nonEmptyString,
  onError: oneOf('report', 'throw'),
});

export function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value;
}

function jsonSchemaOf(name: string, schema: ToolParameters): JsonSchema {
  // Some templates iterate over the properties without asking.
  if (!isStandardSchema(schema)) return { type: 'object', properties: {}, ...schema };
  const standard = schema['~standard'] as Partial<StandardJSONSchemaV1.Props>;
  try {
    const converted = standard.jsonSchema?.input({ target: 'draft-2020-12' });
    if (converted !== undefined) return converted;
  } catch (cause) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', `The parameters of tool \`${name}\` have no JSON Schema.`, {
      cause,
    });
  }
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `The parameters of tool \`${name}\` cannot say their JSON Schema; use a schema library that implements ` +
      'StandardJSONSchemaV1 (zod 4.2 and later, arktype 2.1.28 and later), or pass a JSON Schema object.',
  );
}

function argumentsError(issues: { path: string; message: string }[]): InferceptError {
  const list = issues.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new InferceptError('ERR_INVALID_ARGUMENT', `The arguments are wrong: ${list}.`, { details: { issues } });
}

async function parseWith(schema: ToolParameters, input: unknown): Promise<unknown> {
  if (!isStandardSchema(schema)) {
    const issues = validateJsonSchema(schema, input);
    if (issues.length > 0) throw argumentsError(issues);
    return input;
  }
  const result = await schema['~standard'].validate(input);
  if (result.issues === undefined) return result.value;
  throw argumentsError(
    result.issues.map(({ path, message }) => ({
      path: ['$', ...(path ?? []).map((key) => String(typeof key === 'object' ? key.key : key))].join('.'),
      message,
    })),
  );
}

/**
 * Checks a tool's definition and fills in defaults. The types of `execute` follow from `parameters`.
 * @throws InferceptError `ERR_INVALID_ARGUMENT`
 */
export function defineTool<const Parameters extends ToolParameters>(
  definition: ToolDefinition<Parameters>,
): Tool<Parameters> {
  const where = typeof definition?.name === 'string' ? `tool ${definition.name}` : 'tool';
  const checked = readDefinition(definition, where);
  for (const key of ['name', 'description', 'parameters', 'execute'] as const) {
    if (checked[key] === undefined) throw invalid(`${where}.${key}`, undefined, 'given');
  }
  const approve = checked.needsApproval ?? false;
  return {
    ...definition,
    retries: checked.retries ?? 0,
    readOnly: checked.readOnly ?? false,
    kind: checked.kind ?? `tool:${definition.name}`,
    onError: checked.onError ?? 'report',
    jsonSchema: jsonSchemaOf(definition.name, definition.parameters),
    execute: (input, context) => definition.execute(input, context),
    mayNeedApproval: approve !== false,
    needsApproval: (input) => (typeof approve === 'function' ? approve(input as never) : approve),
    parse: (input) => parseWith(definition.parameters, input) as Promise<ToolInput<Parameters>>,
  };
}
