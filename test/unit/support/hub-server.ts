import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A file of a repository. Large ones lie on another server, to which the hub refers, and are known by their SHA-256. */
export interface ServedFile {
  contents: Buffer;
  large: boolean;
}

/** A hub on the loopback address that has one repository. */
export interface HubServer {
  url: string;
  /** Requests for contents: the path, the range, and what was sent along. */
  readonly requests: {
    path: string;
    range: string | undefined;
    authorization: string | undefined;
    where: 'hub' | 'store';
  }[];
  /** Breaks connections after so many bytes. */
  breakAfter: number;
  /** Connections to the store stay open and say nothing more where they would break; the others do not break. */
  stalls: boolean;
  /** Sends so many bytes at a time, with pauses between. */
  pieceBytes: number;
  /** Requests for contents wait until there are so many. */
  together: number;
  /** Of contents that were asked for. */
  sentBytes: number;
  /** What is asked for; others get 401. */
  token: string | undefined;
  /** Spoils the contents of large files. */
  damages: boolean;
  close(): Promise<void>;
}

export const commit = '0123456789abcdef0123456789abcdef01234567';

/** Before a connection breaks: what was sent until then has been written down, on a busy machine, too. */
const pauseMs = 150;

/** Entries of a listing on one page, so that two pages are needed. */
const pageLength = 3;

export async function serveHub(repository: string, files: ReadonlyMap<string, ServedFile>): Promise<HubServer> {
  const state: HubServer = {
    url: '',
    requests: [],
    breakAfter: Number.POSITIVE_INFINITY,
    stalls: false,
    pieceBytes: Number.POSITIVE_INFINITY,
    together: 1,
    sentBytes: 0,
    token: undefined,
    damages: false,
    close: async () => {
      for (const server of [hub, store]) await new Promise((resolve) => server.close(resolve));
    },
  };

  function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  }

  function list(response: ServerResponse, url: URL, folder: string): void {
    const inFolder = [...files].filter(([path]) => path.split('/').slice(0, -1).join('/') === folder);
    const start = Number(url.searchParams.get('cursor') ?? 0);
    const entries = inFolder.slice(start, start + pageLength).map(([path, { contents, large }]) => ({
      type: 'file',
      path,
      size: contents.length,
      oid: gitHash(contents),
      ...(large && { lfs: { oid: sha256(contents), size: contents.length, pointerSize: 130 } }),
    }));
    const next = new URL(url);
    next.searchParams.set('cursor', String(start + pageLength));
    json(response, entries, start + pageLength < inFolder.length ? { link: `<${next.href}>; rel="next"` } : {});
  }

  const waiting: (() => void)[] = [];

  function wait(send: () => void): void {
    waiting.push(send);
    if (waiting.length < state.together) return;
    for (const start of waiting.splice(0)) start();
    state.together = 1;
  }

  function send(request: IncomingMessage, response: ServerResponse, path: string, where: 'hub' | 'store'): void {
    const { range, authorization } = request.headers;
    state.requests.push({ path, range, authorization, where });
    const { contents } = files.get(path)!;
    const [, start = '0', end] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    const whole = state.damages ? Buffer.from(contents).fill(7, 0, 4) : contents;
    const part = whole.subarray(Number(start), end ? Number(end) + 1 : undefined);
    response.writeHead(range === undefined ? 200 : 206, { 'content-length': part.length });
    state.sentBytes += part.length;
    if (part.length > state.pieceBytes) sendSlowly(response, part, state.pieceBytes);
    else if (part.length <= state.breakAfter || (state.stalls && where === 'hub')) response.end(part);
    else if (state.stalls) response.write(part.subarray(0, state.breakAfter));
    else response.write(part.subarray(0, state.breakAfter), () => setTimeout(() => response.destroy(), pauseMs));
  }

  const hub = await listen((request, response) => {
    const url = new URL(request.url!, state.url);
    if (state.token !== undefined && request.headers.authorization !== `Bearer ${state.token}`) {
      response.writeHead(401).end();
      return;
    }
    const at = (prefix: string): string | undefined =>
      url.pathname.startsWith(prefix) ? decodeURIComponent(url.pathname.slice(prefix.length)) : undefined;
    const revision = at(`/api/models/${repository}/revision/`);
    const folder = at(`/api/models/${repository}/tree/${commit}`);
    const path = at(`/${repository}/resolve/${commit}/`);
    if (revision === 'main' || revision === 'refs/pr/1') {
      json(response, { _id: 'x', id: repository, sha: commit, lastModified: '2026-01-01T00:00:00.000Z' });
    } else if (folder !== undefined) list(response, url, folder.slice(1));
    else if (path === undefined || !files.has(path)) response.writeHead(404).end();
    else if (files.get(path)!.large) response.writeHead(302, { location: `${addressOf(store)}/${path}` }).end();
    else send(request, response, path, 'hub');
  });
  const store = await listen((request, response) =>
    wait(() => send(request, response, request.url!.slice(1), 'store')),
  );
  state.url = addressOf(hub);
  return state;
}

function sendSlowly(response: ServerResponse, rest: Buffer, pieceBytes: number): void {
  if (response.destroyed) return;
  if (rest.length <= pieceBytes) {
    response.end(rest);
    return;
  }
  response.write(rest.subarray(0, pieceBytes));
  setTimeout(() => sendSlowly(response, rest.subarray(pieceBytes), pieceBytes), 5);
}

async function listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function sha256(contents: Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}

export function gitHash(contents: Buffer): string {
  return createHash('sha1').update(`blob ${contents.length}\0`).update(contents).digest('hex');
}
