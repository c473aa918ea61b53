import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type ErrorCode, InferceptError } from '../../../lib/errors.js';
import type { Message, ToolCall } from '../../../lib/text/messages.js';

/** The path of a file under `test/fixtures`. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../../fixtures/${path}`, import.meta.url));
}

/** A JSON file under `test/fixtures`. */
// biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of its fixture.
export function fixtureJson(path: string): any {
  return JSON.parse(readFileSync(fixture(path), 'utf8'));
}

/** Awaits a rejection with this code, and a message of this pattern. */
export async function expectError(
  promise: Promise<unknown>,
  code: ErrorCode,
  message?: RegExp,
): Promise<InferceptError> {
  const error = await promise.then(
    () => expect.fail(`expected ${code}, but nothing was thrown`),
    (reason: unknown) => reason,
  );
  if (!InferceptError.isInstance(error)) throw error;
  expect(error.code).toBe(code);
  if (message !== undefined) expect(error.message).toMatch(message);
  return error;
}

/** A message of a golden, which has the shape that templates expect, in ours. */
export function asMessage({
  role,
  content,
  reasoning_content: reasoning,
  tool_calls: calls,
  tool_call_id: toolCallId,
  name,
}: Record<string, unknown>): Message {
  const toolCalls = (calls as { id: string; function: Omit<ToolCall, 'id'> }[] | undefined)?.map(
    ({ id, function: call }) => ({ id, ...call }),
  );
  return {
    role,
    content,
    ...(reasoning !== undefined && { reasoning }),
    ...(toolCalls && { toolCalls }),
    ...(toolCallId !== undefined && { toolCallId, name }),
  } as Message;
}
