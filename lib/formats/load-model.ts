import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferceptError, throwIfAborted } from '../errors.js';
import { fetchHubModel, type HubModel } from '../hub/hub-model.js';
import { isHubSource } from '../hub/source.js';
import type { ModelSpec } from '../model-spec.js';
import type { TokenDefaults, TokenizerSource } from '../text/tokenizer-source.js';
import { readGgufModel } from './gguf-model.js';
import { readHuggingFaceModel } from './hf-model.js';
import { notFound, type RemoteFiles } from './random-access-file.js';

/** All that a model's headers and small files say. No weights have been read. */
export interface LoadedModel {
  /** For the native side. */
  spec: ModelSpec;
  tokenizer: TokenizerSource;
  /** Jinja source; absent for models that were not made for conversations. */
  chatTemplate?: string;
  defaults: TokenDefaults;
}

export interface ReadOptions {
  /** Rejects with `ERR_ABORTED` between two reads. */
  signal?: AbortSignal | undefined;
  /** Called after each file whose header was read. */
  onProgress?: ((progress: { phase: 'headers'; done: number; total: number }) => void) | undefined;
  /** Reads headers where they are: weights on the hub are not downloaded. Not for models that are to be loaded. */
  headersOnly?: boolean;
  /** Called while the model's files come from the hub. */
  onDownload?: ((progress: { loadedBytes: number; totalBytes: number }) => void) | undefined;
}

export interface ReaderOptions extends ReadOptions {
  /** Files that are not where the model is. */
  remote: RemoteFiles;
}

/**
 * Reads the headers of a model.
 * @param source `demo`, the path of a GGUF file, or of a Hugging Face directory (config.json, tokenizer.json, safetensors), or
 *   `hf:organization/name[@revision][/file]`
 * @throws InferceptError `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_FORMAT`, `ERR_MODEL_UNSUPPORTED` or `ERR_ABORTED`
 */
export async function readModel(source: string, options: ReadOptions = {}): Promise<LoadedModel> {
  const { path, remote } = await locate(source, options);
  throwIfAborted(options.signal, `reading ${path}`);
  const isFile = remote.has(path) || !(await isDirectory(path));
  try {
    if (isFile) return await readGgufModel(path, { ...options, remote });
    return await readHuggingFaceModel(path, { ...options, remote });
  } catch (error) {
    throw typed(path, error);
  }
}

async function locate(source: string, { signal, onDownload, headersOnly }: ReadOptions): Promise<HubModel> {
  if (isHubSource(source)) return fetchHubModel(source, { signal, onProgress: onDownload, headersOnly });
  return { path: source === 'demo' ? demoModelPath() : resolve(source), remote: new Map() };
}

async function isDirectory(path: string): Promise<boolean> {
  const status = await stat(path).catch((cause: unknown) => {
    throw notFound(path, cause);
  });
  return status.isDirectory();
}

/** Where the packaged demo model lies: beside `lib` in the tree, beside `dist` in the package. */
export function demoModelPath(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json')) && dirname(directory) !== directory)
    directory = dirname(directory);
  return join(directory, 'examples', 'demo-model', 'demo.gguf');
}

/** What the reader did not foresee is still the file's fault, or the disk's. */
function typed(path: string, error: unknown): InferceptError {
  if (InferceptError.isInstance(error)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new InferceptError('ERR_MODEL_FORMAT', `${path} cannot be read: ${reason}.`, {
    details: { path },
    cause: error,
  });
}
