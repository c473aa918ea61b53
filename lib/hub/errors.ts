import { InferceptError } from '../errors.js';

/** What the hub's refusal means to the user. */
export function statusError(what: string, status: number, cause?: unknown): InferceptError {
  const reasons: Record<number, string> = {
    401: 'the hub does not know who is asking, or there is no such repository. Set HF_TOKEN to a token that may read it',
    403: "the hub refuses. Accept the model's terms on its page, and set HF_TOKEN to a token of that account",
    404: 'the hub does not have it. Check the names of repository, revision and file',
  };
  const reason = reasons[status] ?? `the hub answered with status ${status}. Try again later`;
  return new InferceptError('ERR_MODEL_NOT_FOUND', `${what}: ${reason}.`, { details: { status }, cause });
}

/** Statuses of a server that is busy are no answer; others are. */
export async function responseError(url: string, response: Response): Promise<Error> {
  await response.body?.cancel();
  if (response.status >= 500 || response.status === 429) return new Error(`status ${response.status}`);
  return statusError(url, response.status);
}

export function unreachable(what: string, cause: unknown): InferceptError {
  return new InferceptError(
    'ERR_MODEL_NOT_FOUND',
    `${what} cannot be downloaded: ${reasonOf(cause)}. Check the connection; what has arrived is kept, and loading goes on there.`,
    { details: { reachable: false }, cause },
  );
}

/** `fetch` says little itself. */
function reasonOf(error: unknown): string {
  const { message = String(error), cause } = error instanceof Error ? error : ({} as Error);
  return cause instanceof Error ? cause.message || message : message;
}
