// Every relative link in the documentation leads somewhere: to a file or folder of the tree, and to a heading where it names one.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const skipped = /^(node_modules|dist|build.*|\..*)$/;

function markdownFiles(folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skipped.test(entry.name) ? [] : markdownFiles(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/** Without code, in which brackets are something else. */
const withoutSamples = (text: string): string => text.replaceAll(/^```.*?^```/gms, '');
const prose = (text: string): string => withoutSamples(text).replaceAll(/`[^`\n]*`/g, '');

/** Targets of `[text](target)` and `![text](target)`. */
function linksOf(path: string): string[] {
  return [...prose(readFileSync(join(root, path), 'utf8')).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
}

/** As GitHub makes them of headings. */
function anchorsOf(path: string): string[] {
  const text = withoutSamples(readFileSync(join(root, path), 'utf8'));
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function isBroken(from: string, link: string): boolean {
  if (/^[a-z]+:/.test(link)) return false;
  const [target, anchor] = link.split('#');
  const path = target === '' ? from : join(dirname(from), target!);
  if (!existsSync(join(root, path))) return true;
  return anchor !== undefined && !anchorsOf(path).includes(anchor);
}

describe('links', () => {
  const files = markdownFiles();

  it.each(files)('of %s lead somewhere', (file) => {
    expect(linksOf(file).filter((link) => isBroken(file, link))).toEqual([]);
  });

  it('are found, and missing files and headings among them', () => {
    expect(files).toContain('README.md');
    expect(linksOf('README.md')).toContain('addon/README.md');
    expect(isBroken('README.md', 'addon/README.md')).toBe(false);
    expect(isBroken('README.md', 'addon/NOTHING.md')).toBe(true);
    expect(isBroken('addon/README.md', '../README.md#figures')).toBe(false);
    expect(isBroken('addon/README.md', '../README.md#nothing')).toBe(true);
  });
});
