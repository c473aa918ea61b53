/**
 * Traces: sessions as they were, sizes and times only, as JSON Lines. The first line names the format, each other line is a
 * {@link SimulatedSession}:
 *
 *     {"format":"infercept-trace","version":1}
 *     {"arrivalMs":0,"promptTokens":812,"segments":[{"decodeTokens":31,"kind":"tool:search","durationMs":840,"returnedTokens":120},{"decodeTokens":64}]}
 */
import { InferceptError } from './errors.js';
import { type CheckedSession, checkCalls, checkSession, type SimulatedSession } from './workload.js';

const header = { format: 'infercept-trace', version: 1 } as const;

/** The text of a trace. `simulate({ sessions: parseTrace(text) })` replays it. */
export function formatTrace(sessions: Iterable<SimulatedSession>): string {
  return `${[header, ...sessions].map((line) => JSON.stringify(line)).join('\n')}\n`;
}

/** @throws InferceptError `ERR_INVALID_ARGUMENT` with the line that is wrong */
export function parseTrace(text: string): SimulatedSession[] {
  const [first, ...lines] = text.split('\n').map((line, index) => ({ line, name: `line ${index + 1}` }));
  checkHeader(parseLine(first!));
  const sessions = lines.filter(({ line }) => line.trim() !== '').map((line) => toSession(parseLine(line), line.name));
  checkCalls(sessions, 'trace');
  return sessions;
}

function parseLine({ line, name }: { line: string; name: string }): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', `The trace's ${name} is not JSON.`, { cause });
  }
}

function checkHeader(value: unknown): void {
  const { format, version } = (value ?? {}) as Record<string, unknown>;
  if (format === header.format && version === header.version) return;
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `The trace begins with ${JSON.stringify(value)}; its first line must be ${JSON.stringify(header)}.`,
  );
}

function toSession(value: unknown, name: string): SimulatedSession {
  const session = checkSession(value, name);
  const { arrivalMs, promptTokens, segments = [] } = session;
  const whole = (segment: NonNullable<CheckedSession['segments']>[number]) => segment.decodeTokens !== undefined;
  if (arrivalMs !== undefined && promptTokens !== undefined && segments.length > 0 && segments.every(whole)) {
    return session as SimulatedSession;
  }
  throw new InferceptError(
    'ERR_INVALID_ARGUMENT',
    `The trace's ${name} lacks something: a session has \`arrivalMs\`, \`promptTokens\` and at least one segment with \`decodeTokens\`.`,
  );
}
