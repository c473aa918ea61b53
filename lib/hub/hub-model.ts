import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { InferceptError, throwIfAborted } from '../errors.js';
import type { RemoteFiles } from '../formats/random-access-file.js';
import { shardsOfIndex } from '../formats/safetensors.js';
import { type CachedRepository, openCachedRepository } from './cache.js';
import { statusError, unreachable } from './errors.js';
import { openRemoteFile } from './remote-file.js';
import { type HubSettings, hubSettings } from './settings.js';
import { type HubSource, parseHubSource } from './source.js';
import { type Checksum, transfer } from './transfer.js';
import { type WantedFiles, wantedFiles } from './wanted-files.js';

export interface HubOptions {
  /** Leaves weights where they are: `remote` of the result reads them there. */
  headersOnly?: boolean | undefined;
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

/** A model of the hub. */
export interface HubModel {
  /** Of its GGUF file or directory. */
  path: string;
  /** Files that belong there and are not there, by their paths. */
  remote: RemoteFiles;
}

/**
 * Makes a model on the hub a local one, downloading what is not in the cache.
 * @param source `hf:organization/name[@revision][/file]`
 * @throws InferceptError `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNSUPPORTED`, `ERR_MODEL_FORMAT`, `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`
 */
export async function fetchHubModel(source: string, options: HubOptions = {}): Promise<HubModel> {
  const parsed = parseHubSource(source);
  const settings = hubSettings();
  const cache = openCachedRepository(settings.cacheDirectory, parsed.repository);
  const path = await cachedModel(parsed, cache);
  const cached = path === undefined ? undefined : { path, remote: new Map() };
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
  if (!names.some((name) => /\.(gguf|safetensors|safetensors\.index\.json)$/.test(name))) return undefined;
  const wanted = wantedFiles(snapshot, names);
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

async function downloadModel(source: HubSource, download: Download): Promise<HubModel> {
  const { cache, signal } = download;
  const { repository, revision } = source;
  throwIfAborted(signal, `looking up ${repository}`);
  const { commit, files } = await lookUp(source, download);
  await cache.remember(revision, commit);
  const snapshot = cache.snapshot(commit);
  if (source.file !== undefined) {
    const file = files.find(({ path }) => path === source.file);
    if (file === undefined) throw statusError(`hf:${repository}@${revision}/${source.file}`, 404);
    const remote = await fetchWeights(repository, commit, [file], download);
    return { path: join(snapshot, source.file), remote };
  }
  const wanted = wantedFiles(
    repository,
    files.map(({ path }) => path),
  );
  if ('gguf' in wanted) {
    const remote = await fetchWeights(repository, commit, select(repository, files, [wanted.gguf]), download);
    return { path: join(snapshot, wanted.gguf), remote };
  }
  await fetchFiles(repository, commit, select(repository, files, wanted.small), { ...download, onProgress: undefined });
  const shards = await weights(repository, commit, { files, wanted }, download);
  return { path: snapshot, remote: await fetchWeights(repository, commit, shards, download) };
}

/** Downloads weights, or says how to read what of them is not here. */
async function fetchWeights(
  repository: string,
  commit: string,
  files: readonly HubFile[],
  download: Download,
): Promise<RemoteFiles> {
  const { cache, headersOnly, signal, settings } = download;
  const away = headersOnly ? files.filter(({ checksum }) => !existsSync(cache.blob(checksum.value))) : [];
  const here = files.filter((file) => !away.includes(file));
  await fetchFiles(repository, commit, here, download);
  return new Map(
    away.map(({ path: name, size }) => {
      const path = join(cache.snapshot(commit), name);
      return [path, () => openRemoteFile({ ...addressOf(settings, repository, commit, name), path, size, signal })];
    }),
  );
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

function addressOf(settings: HubSettings, repository: string, commit: string, path: string) {
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  return { url: `${settings.url}/${repository}/resolve/${commit}/${encoded}`, headers: authorization(settings) };
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
        ...addressOf(settings, repository, commit, path),
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
