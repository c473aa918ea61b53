import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { InferceptError, throwIfAborted } from '../errors.js';
import { shardsOfIndex } from '../formats/safetensors.js';
import { type CachedRepository, openCachedRepository } from './cache.js';
import { statusError, unreachable } from './errors.js';
import { type HubSettings, hubSettings } from './settings.js';
import { type HubSource, parseHubSource } from './source.js';
import { type Checksum, transfer } from './transfer.js';
import { type WantedFiles, wantedFiles } from './wanted-files.js';

export interface HubOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { loadedBytes: number; totalBytes: number }) => void) | undefined;
}

/** A file of the repository, as the hub lists it. */
interface HubFile {
  path: string;
  size: number;
  /** Its value is the file's name in the cache. */
  checksum: Checksum;
}

/**
 * Makes a model on the hub a local one, downloading what is not in the cache.
 * @param source `hf:organization/name[@revision][/file]`
 * @returns the path of its GGUF file or directory
 * @throws InferceptError `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNSUPPORTED`, `ERR_MODEL_FORMAT`, `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`
 */
export async function fetchHubModel(source: string, options: HubOptions = {}): Promise<string> {
  const parsed = parseHubSource(source);
  const settings = hubSettings();
  const cache = openCachedRepository(settings.cacheDirectory, parsed.repository);
  const cached = await cachedModel(parsed, cache);
  if (settings.offline) return cached ?? missing(parsed);
  // A commit never changes.
  if (cached !== undefined && cache.isCommit(parsed.revision)) return cached;
  try {
    return await downloadModel(parsed, { ...options, settings, cache });
  } catch (error) {
    // Without a connection, what was downloaded before will do.
    const isReachable = !InferceptError.isInstance(error) || error.details?.reachable !== false;
    if (cached === undefined || isReachable) throw error;
    return cached;
  }
}

/** The model as it was downloaded before; undefined if it was not, or not to the end. */
async function cachedModel({ revision, file }: HubSource, cache: CachedRepository): Promise<string | undefined> {
  const commit = await cache.commitOf(revision);
  if (commit === undefined) return undefined;
  const snapshot = cache.snapshot(commit);
  if (file !== undefined) return existsSync(join(snapshot, file)) ? join(snapshot, file) : undefined;
  const names = await readdir(snapshot).catch(() => []);
  const wanted = names.length === 0 ? undefined : wantedFiles(snapshot, names);
  if (wanted === undefined) return undefined;
  if ('gguf' in wanted) return join(snapshot, wanted.gguf);
  const shards = 'index' in wanted ? await shardsOfIndex(join(snapshot, wanted.index)) : [wanted.weights];
  return shards.every((shard) => existsSync(join(snapshot, shard))) ? snapshot : undefined;
}

function missing({ repository, revision, file }: HubSource): never {
  throw new InferceptError(
    'ERR_MODEL_NOT_FOUND',
    `HF_HUB_OFFLINE is set, and ${repository}@${revision}${file === undefined ? '' : `/${file}`} is not in the cache. ` +
      'Load it once while online.',
    { details: { repository, revision } },
  );
}

interface Download extends HubOptions {
  settings: HubSettings;
  cache: CachedRepository;
}

async function downloadModel(source: HubSource, download: Download): Promise<string> {
  const { cache, signal } = download;
  const { repository, revision } = source;
  throwIfAborted(signal, `looking up ${repository}`);
  const { commit, files } = await lookUp(source, download);
  await cache.remember(revision, commit);
  const snapshot = cache.snapshot(commit);
  if (source.file !== undefined) {
    const file = files.find(({ path }) => path === source.file);
    if (file === undefined) throw statusError(`hf:${repository}@${revision}/${source.file}`, 404);
    await fetchFiles(repository, commit, [file], download);
    return join(snapshot, source.file);
  }
  const wanted = wantedFiles(
    repository,
    files.map(({ path }) => path),
  );
  if ('gguf' in wanted) {
    await fetchFiles(repository, commit, select(repository, files, [wanted.gguf]), download);
    return join(snapshot, wanted.gguf);
  }
  await fetchFiles(repository, commit, select(repository, files, wanted.small), { ...download, onProgress: undefined });
  await fetchFiles(repository, commit, await weights(repository, commit, { files, wanted }, download), download);
  return snapshot;
}

async function weights(
  repository: string,
  commit: string,
  { files, wanted }: { files: readonly HubFile[]; wanted: Exclude<WantedFiles, { gguf: string }> },
  download: Download,
): Promise<HubFile[]> {
  if ('weights' in wanted) return select(repository, files, [wanted.weights]);
  await fetchFiles(repository, commit, select(repository, files, [wanted.index]), {
    ...download,
    onProgress: undefined,
  });
  const shards = await shardsOfIndex(join(download.cache.snapshot(commit), wanted.index));
  return select(repository, files, shards);
}

function select(repository: string, files: readonly HubFile[], names: readonly string[]): HubFile[] {
  return names.map((name) => {
    const file = files.find(({ path }) => path === name);
    if (file === undefined) throw statusError(`hf:${repository}/${name}`, 404);
    return file;
  });
}

/** The commit that a revision is at, and the files beside the one that is wanted. */
async function lookUp(
  { repository, revision, file }: HubSource,
  { settings, signal }: Download,
): Promise<{ commit: string; files: HubFile[] }> {
  const { listFiles, modelInfo } = await loadLibrary();
  const what = `hf:${repository}@${revision}`;
  const common = {
    hubUrl: settings.url,
    // The library would refuse tokens of other hubs.
    fetch: ((url: string, { headers, ...init }: RequestInit = {}) =>
      fetch(url, {
        ...init,
        headers: { ...headers, ...authorization(settings) },
        ...(signal && { signal }),
      })) as typeof fetch,
  };
  try {
    const { sha: commit } = await modelInfo({ ...common, name: repository, revision, additionalFields: ['sha'] });
    const folder = file === undefined ? '.' : posix.dirname(file);
    const listed = listFiles({
      ...common,
      repo: repository,
      revision: commit,
      ...(folder !== '.' && { path: folder }),
    });
    const files: HubFile[] = [];
    for await (const { type, path, size, oid, lfs } of listed) {
      if (type !== 'file') continue;
      const checksum: Checksum = lfs ? { algorithm: 'sha256', value: lfs.oid } : { algorithm: 'git', value: oid ?? '' };
      files.push({ path, size, checksum });
    }
    return { commit, files };
  } catch (error) {
    throwIfAborted(signal, `looking up ${what}`);
    const { statusCode } = error as { statusCode?: unknown };
    throw typeof statusCode === 'number' ? statusError(what, statusCode, error) : unreachable(what, error);
  }
}

function authorization({ token }: HubSettings): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

async function loadLibrary(): Promise<typeof import('@huggingface/hub')> {
  try {
    return await import('@huggingface/hub');
  } catch (cause) {
    throw new InferceptError(
      'ERR_MODEL_NOT_FOUND',
      'Models are downloaded with the package @huggingface/hub, which is not installed: npm install @huggingface/hub.',
      { cause },
    );
  }
}

async function fetchFiles(
  repository: string,
  commit: string,
  files: readonly HubFile[],
  { cache, settings, signal, onProgress }: Download,
): Promise<void> {
  const totalBytes = files.reduce((total, { size }) => total + size, 0);
  let loadedBytes = 0;
  for (const { path, size, checksum } of files) {
    const hash = checksum.value;
    const before = loadedBytes;
    if (!existsSync(cache.blob(hash))) {
      await transfer({
        url: `${settings.url}/${repository}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`,
        headers: authorization(settings),
        path: cache.blob(hash),
        size,
        checksum,
        signal,
        onBytes: (arrived) => onProgress?.({ loadedBytes: before + arrived, totalBytes }),
      });
    }
    await cache.link(hash, commit, path);
    loadedBytes += size;
    onProgress?.({ loadedBytes, totalBytes });
  }
}
