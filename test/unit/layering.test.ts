// The layout of addon/README.md, proved over the include graph: arrows point one way, and what only one folder may know
// (JavaScript, threads, the clock, files) is known nowhere else.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What each folder of addon/ may include besides itself and base/. */
const ALLOWED: Record<string, string[]> = {
  base: [],
  kv: [],
  sched: ['kv'],
  io: [],
  text: [],
  kernels: [],
  device: ['kernels'],
  model: ['kernels', 'device', 'io'],
  batch: ['kernels', 'model', 'sched'],
  engine: ['batch', 'device', 'io', 'kernels', 'kv', 'model', 'sched', 'text'],
  sim: ['engine', 'kv', 'sched'],
  binding: ['device', 'engine', 'io', 'kernels', 'kv', 'model', 'sched', 'sim', 'text'],
};

/** Standard headers that only some places may include. */
const RESERVED: { header: RegExp; where: RegExp }[] = [
  {
    header: /^(thread|mutex|condition_variable|atomic|future|semaphore)$/,
    where: /^(base\/(thread_pool|processors)|device\/cpu_device|engine\/|kernels\/|model\/|binding\/)/,
  },
  { header: /^chrono$/, where: /^(engine|base\/thread_pool|device\/cpu_device)/ },
  { header: /^(fstream|iostream|cstdio|fcntl\.h|sys\/stat\.h)$/, where: /^(io|device|engine|binding)\// },
  { header: /^random$/, where: /^$/ },
  { header: /^napi\.h$/, where: /^binding\/napi_setup\.h$/ },
  { header: /^cuda.*$/, where: /^(kernels\/cuda|device)\// },
];

interface Include {
  file: string;
  target: string;
  system: boolean;
}

function files(folder: string, extension: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => extension.test(name))
    .map((name) => name.replaceAll('\\', '/'));
}

function includes(): Include[] {
  return files('addon', /\.(h|cc|inc|cu|cuh)$/).flatMap((file) => {
    const text = readFileSync(join(root, 'addon', file), 'utf8');
    return [...text.matchAll(/^\s*#include ([<"])([^>"]+)[>"]/gm)].map(([, bracket, target]) => ({
      file,
      target: target!,
      system: bracket === '<',
    }));
  });
}

function folderOf(path: string): string {
  return path.split('/')[0]!;
}

/** A path of files that leads back to where it began, or undefined. */
function findCycle(graph: Map<string, string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return undefined;
}

describe('addon', () => {
  const all = includes();

  it('has only folders with rules', () => {
    expect([...new Set(all.map(({ file }) => folderOf(file)))].filter((folder) => !(folder in ALLOWED))).toEqual([]);
  });

  it('includes downwards only', () => {
    const wrong = all.filter(({ file, target, system }) => {
      const from = folderOf(file);
      const to = folderOf(target);
      return !system && target.includes('/') && to !== from && to !== 'base' && !ALLOWED[from]?.includes(to);
    });
    expect(wrong.map(({ file, target }) => `${file} -> ${target}`)).toEqual([]);
  });

  it('keeps reserved headers where they belong', () => {
    const wrong = all.filter(
      ({ file, target, system }) =>
        (system || target === 'napi.h') &&
        RESERVED.some(({ header, where }) => header.test(target) && !where.test(file)),
    );
    expect(wrong.map(({ file, target }) => `${file} -> ${target}`)).toEqual([]);
  });

  it('has no circles between headers', () => {
    const graph = new Map<string, string[]>();
    for (const { file, target, system } of all) {
      if (!system && file.endsWith('.h')) graph.set(file, [...(graph.get(file) ?? []), target]);
    }
    expect(findCycle(graph)).toBeUndefined();
  });
});

describe('lib', () => {
  const graph = new Map<string, string[]>();
  for (const file of files('lib', /\.ts$/)) {
    const text = readFileSync(join(root, 'lib', file), 'utf8');
    const imports = [...text.matchAll(/^(?:import|export) (?!type )[^;]*? from '(\.[^']+)'/gms)].map(([, target]) =>
      relative(root, normalize(join(root, dirname(file), target!.replace(/\.js$/, '.ts')))),
    );
    graph.set(file, imports);
  }

  it('has no circles between modules (types aside)', () => {
    expect(findCycle(graph)).toBeUndefined();
  });

  it('keeps formats, text and the hub independent of the engine', () => {
    const wrong = [...graph].flatMap(([file, targets]) =>
      /^(formats|text|hub)\//.test(file)
        ? targets
            .filter((target) => !/^(formats|text|hub)\/|^(errors|model-spec)\.ts$/.test(target))
            .map((target) => `${file} -> ${target}`)
        : [],
    );
    expect(wrong).toEqual([]);
  });

  it('has the policy alone without engine, model or text', () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      graph.get(file)?.forEach(visit);
    };
    visit('policy.ts');
    expect([...reached]).toContain('native.ts');
    expect([...reached].filter((file) => /engine|session|load|model|formats\/|text\//.test(file))).toEqual([]);
  });

  it('loads the addon in one place', () => {
    const wrong = [...graph.keys()].filter(
      (file) => file !== 'native.ts' && /infercept\.node/.test(readFileSync(join(root, 'lib', file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });
});
