import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

/**
 * A repository in the cache, laid out as by Python's `huggingface_hub`, which shares it:
 *
 *     models--organization--name/refs/main                    the commit that the branch was at
 *                                snapshots/COMMIT/config.json  a link to the blob
 *                                blobs/HASH                    the contents, by their hash
 *                                blobs/HASH.infercept.incomplete  what has arrived so far
 */
export interface CachedRepository {
  /** Whether a revision names a commit, which is forever the same. */
  isCommit(revision: string): boolean;
  /** The commit that a revision was at when it was looked up last; undefined if it never was. */
  commitOf(revision: string): Promise<string | undefined>;
  remember(revision: string, commit: string): Promise<void>;
  /** Where the files of a commit are. */
  snapshot(commit: string): string;
  /** Where the contents with a hash are, or will be. */
  blob(hash: string): string;
  /** Makes contents that have arrived a file of a commit. */
  link(hash: string, commit: string, file: string): Promise<void>;
}

const commitPattern = /^[0-9a-f]{40}$/;

export function openCachedRepository(cacheDirectory: string, repository: string): CachedRepository {
  const directory = join(cacheDirectory, `models--${repository.replaceAll('/', '--')}`);
  const reference = (revision: string): string => join(directory, 'refs', revision);
  const blob = (hash: string): string => join(directory, 'blobs', hash);
  const snapshot = (commit: string): string => join(directory, 'snapshots', commit);
  return {
    blob,
    snapshot,
    isCommit: (revision) => commitPattern.test(revision),
    async commitOf(revision) {
      if (commitPattern.test(revision)) return revision;
      const commit = await readFile(reference(revision), 'utf8').catch(() => '');
      return commitPattern.test(commit.trim()) ? commit.trim() : undefined;
    },
    async remember(revision, commit) {
      if (revision === commit) return;
      const path = reference(revision);
      await mkdir(dirname(path), { recursive: true });
      const own = ownName(path);
      await writeFile(own, commit);
      await rename(own, path);
    },
    async link(hash, commit, file) {
      const path = join(snapshot(commit), file);
      if (existsSync(path)) return;
      await mkdir(dirname(path), { recursive: true });
      const own = ownName(path);
      try {
        await symlink(relative(dirname(path), blob(hash)), own);
      } catch {
        // Windows lets not everybody make links.
        await copyFile(blob(hash), own);
      }
      await rename(own, path);
    },
  };
}

/** Where a process writes what others are to see whole: beside the place that it is renamed to. */
function ownName(path: string): string {
  return `${path}.${process.pid}-${randomUUID()}`;
}
