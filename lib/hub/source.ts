import { InferceptError } from '../errors.js';

/** A model on the Hugging Face hub. */
export interface HubSource {
  /** `organization/name`. */
  repository: string;
  /** A branch, a tag or a commit. */
  revision: string;
  /** A file of the repository; undefined: whatever makes up the model. */
  file: string | undefined;
}

const prefix = 'hf:';

export function isHubSource(source: string): boolean {
  return source.startsWith(prefix);
}

/**
 * Reads `hf:organization/name[@revision][/file]`. A slash in a revision is written `%2F`.
 * @throws InferceptError `ERR_INVALID_ARGUMENT`
 */
export function parseHubSource(source: string): HubSource {
  const match = /^hf:([\w.-]+\/[\w.-]+)(?:@([^/\s]+))?(?:\/(\S+))?$/.exec(source);
  const [, repository, revision = 'main', file] = match ?? [];
  const parts = [...(repository ?? '').split('/'), ...(file ?? '').split('/')];
  if (repository === undefined || parts.some((part) => part === '..' || part === '.')) {
    throw new InferceptError(
      'ERR_INVALID_ARGUMENT',
      `"${source.slice(0, 200)}" is no model on the hub; expected hf:organization/name, hf:organization/name@revision or ` +
        'hf:organization/name/file.gguf.',
    );
  }
  return { repository, revision: decodeURIComponent(revision), file };
}
