// Goal: a model on the hub is loaded as if it were local, is downloaded once, and goes on after every interruption; the cache is
// laid out as Python's. Method: a hub on the loopback address that breaks connections, refuses, and spoils contents.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readModel } from '../../lib/formats/load-model.js';
import { hubSettings } from '../../lib/hub/settings.js';
import { parseHubSource } from '../../lib/hub/source.js';
import { inspectCommand } from '../../lib/inspect-command.js';
import { expectError, fixture } from './support/fixtures.js';
import { commit, gitHash, type HubServer, type ServedFile, serveHub, sha256 } from './support/hub-server.js';

const repository = 'acme/tiny-model';
const repositoryFolder = 'models--acme--tiny-model';
const variables = ['HF_ENDPOINT', 'HF_HUB_CACHE', 'HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_HUB_OFFLINE'] as const;

function filesOf(directory: string): Map<string, ServedFile> {
  const names = readdirSync(fixture(directory)).sort();
  return new Map(
    names.map((name) => {
      const contents = readFileSync(fixture(`${directory}/${name}`));
      return [name, { contents, large: name.endsWith('.safetensors') }];
    }),
  );
}

let cache: string;
let hub: HubServer;
const saved = Object.fromEntries(variables.map((name) => [name, process.env[name]]));

async function start(files: ReadonlyMap<string, ServedFile>): Promise<void> {
  hub = await serveHub(repository, files);
  process.env.HF_ENDPOINT = hub.url;
}

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'infercept-hub-'));
  for (const name of variables) delete process.env[name];
  process.env.HF_HUB_CACHE = cache;
});

afterEach(async () => {
  await hub?.close();
  rmSync(cache, { recursive: true, force: true });
  for (const name of variables) {
    if (saved[name] === undefined) delete process.env[name];
    else process.env[name] = saved[name];
  }
});

const snapshot = (...path: string[]) => join(cache, repositoryFolder, 'snapshots', commit, ...path);

describe('a repository of shards', () => {
  const files = filesOf('models/plain-f32');
  const shard = [...files].find(([, { large }]) => large)!;
  files.set('pytorch_model.bin', { contents: Buffer.from('not wanted'), large: true });
  beforeEach(() => start(files));

  test('is loaded as the directory is', async () => {
    const bytes: [number, number][] = [];
    const model = await readModel(`hf:${repository}`, {
      onDownload: ({ loadedBytes, totalBytes }) => bytes.push([loadedBytes, totalBytes]),
    });
    const local = await readModel(fixture('models/plain-f32'));
    const names = (paths: string[]) => paths.map((path) => path.split('/').at(-1));
    expect({ ...model.spec, files: names(model.spec.files) }).toEqual({
      ...local.spec,
      files: names(local.spec.files),
    });
    expect(model.tokenizer).toEqual(local.tokenizer);
    const weights = [...files.values()].filter(({ large }) => large && files).slice(0, 2);
    const total = weights.reduce((sum, { contents }) => sum + contents.length, 0);
    expect(bytes.at(-1)).toEqual([total, total]);
    expect(bytes.every(([loaded], index) => index === 0 || loaded >= bytes[index - 1]![0])).toBe(true);
    expect(hub.requests.map(({ path }) => path)).not.toContain('pytorch_model.bin');
  });

  test('lies in the cache as Python lays it out', async () => {
    await readModel(`hf:${repository}`);
    expect(readFileSync(join(cache, repositoryFolder, 'refs', 'main'), 'utf8')).toBe(commit);
    const config = files.get('config.json')!.contents;
    expect(readlinkSync(snapshot('config.json'))).toBe(join('..', '..', 'blobs', gitHash(config)));
    expect(readlinkSync(snapshot(shard[0]))).toBe(join('..', '..', 'blobs', sha256(shard[1].contents)));
    expect(readFileSync(snapshot(shard[0])).equals(shard[1].contents)).toBe(true);
    expect(readdirSync(join(cache, repositoryFolder, 'blobs')).filter((name) => name.endsWith('.incomplete'))).toEqual(
      [],
    );
  });

  test('is downloaded once, and is there without a connection', async () => {
    await readModel(`hf:${repository}`);
    const { length } = hub.requests;
    await readModel(`hf:${repository}@${commit}`);
    expect(hub.requests).toHaveLength(length);
    expect(await readModel(`hf:${repository}`)).toBeDefined();
    expect(hub.requests).toHaveLength(length);
    await hub.close();
    await readModel(`hf:${repository}`);
    process.env.HF_HUB_OFFLINE = '1';
    await readModel(`hf:${repository}`);
    await expectError(readModel('hf:acme/other'), 'ERR_MODEL_NOT_FOUND', /HF_HUB_OFFLINE.*acme\/other/);
  });

  test('goes on where a connection broke', async () => {
    hub.breakAfter = Math.ceil(shard[1].contents.length / 2.5);
    await readModel(`hf:${repository}`);
    const ranges = hub.requests.filter(({ path }) => path === shard[0]).map(({ range }) => range);
    expect(ranges).toEqual([undefined, `bytes=${hub.breakAfter}-`, `bytes=${2 * hub.breakAfter}-`]);
    expect(readFileSync(snapshot(shard[0])).equals(shard[1].contents)).toBe(true);
  });

  test('goes on where an earlier load was aborted', async () => {
    hub.breakAfter = 1000;
    hub.stalls = true;
    const abort = new AbortController();
    const loading = readModel(`hf:${repository}`, { signal: abort.signal, onDownload: () => abort.abort() });
    await expectError(loading, 'ERR_ABORTED');
    process.env.HF_HUB_OFFLINE = '1';
    await expectError(readModel(`hf:${repository}`), 'ERR_MODEL_NOT_FOUND', /not in the cache/);
    delete process.env.HF_HUB_OFFLINE;
    hub.breakAfter = Number.POSITIVE_INFINITY;
    hub.requests.length = 0;
    await readModel(`hf:${repository}`);
    expect(hub.requests.filter(({ path }) => path === shard[0]).map(({ range }) => range)).toEqual(['bytes=1000-']);
  });

  test('is not used if it arrives damaged', async () => {
    hub.damages = true;
    await expectError(readModel(`hf:${repository}`), 'ERR_MODEL_FORMAT', /damaged/);
    hub.damages = false;
    await readModel(`hf:${repository}`);
  });

  test('is given to whoever has the token, which nobody else sees', async () => {
    hub.token = 'secret';
    await expectError(readModel(`hf:${repository}`), 'ERR_MODEL_NOT_FOUND', /HF_TOKEN/);
    process.env.HF_TOKEN = 'secret';
    await readModel(`hf:${repository}`);
    const seen = (where: string) =>
      hub.requests.filter((request) => request.where === where).map((r) => r.authorization);
    expect(new Set(seen('hub'))).toEqual(new Set(['Bearer secret']));
    expect(new Set(seen('store'))).toEqual(new Set([undefined]));
  });

  test('that is not there', async () => {
    await expectError(readModel('hf:acme/none'), 'ERR_MODEL_NOT_FOUND', /acme\/none.*does not have it/);
    await expectError(readModel(`hf:${repository}@none`), 'ERR_MODEL_NOT_FOUND', /@none/);
    await expectError(readModel(`hf:${repository}/none.gguf`), 'ERR_MODEL_NOT_FOUND', /none\.gguf/);
    await hub.close();
    await expectError(readModel(`hf:${repository}`), 'ERR_MODEL_NOT_FOUND', /cannot be downloaded.*ECONNREFUSED/s);
  });
});

describe('a repository of GGUF files', () => {
  const contents = readFileSync(fixture('models/plain-q8_0.gguf'));

  test('has one model', async () => {
    await start(new Map([['model.gguf', { contents, large: true }]]));
    const { spec } = await readModel(`hf:${repository}`);
    expect(spec.files).toEqual([snapshot('model.gguf')]);
  });

  test('has several, of which one is named', async () => {
    const file = { contents, large: true };
    await start(
      new Map([...['a.gguf', 'b.gguf', 'some folder/c.gguf'].map((name): [string, ServedFile] => [name, file])]),
    );
    await expectError(
      readModel(`hf:${repository}`),
      'ERR_MODEL_UNSUPPORTED',
      /hf:acme\/tiny-model\/a\.gguf, .*b\.gguf/,
    );
    const { spec } = await readModel(`hf:${repository}@refs%2Fpr%2F1/b.gguf`);
    expect(spec.files).toEqual([snapshot('b.gguf')]);
    expect(existsSync(snapshot('a.gguf'))).toBe(false);
    expect(readFileSync(join(cache, repositoryFolder, 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(commit);
  });
});

describe('reading headers alone', () => {
  /** Contents that readers take, and more of them than any header. */
  const long = (contents: Buffer) => Buffer.concat([contents, Buffer.alloc(8 << 20)]);

  test('leaves shards on the hub, and what is loaded later is whole', async () => {
    const files = filesOf('models/plain-f32');
    for (const file of files.values()) if (file.large) file.contents = long(file.contents);
    await start(files);
    const { spec, tokenizer } = await readModel(`hf:${repository}`, { headersOnly: true });
    expect(hub.sentBytes).toBeLessThan(1 << 20);
    const local = await readModel(fixture('models/plain-f32'));
    expect({ ...spec, files: [] }).toEqual({ ...local.spec, files: [] });
    expect(tokenizer).toEqual(local.tokenizer);
    expect(spec.files.map((path) => existsSync(path))).toEqual([false, false]);
    await readModel(`hf:${repository}`);
    expect(spec.files.map((path) => existsSync(path))).toEqual([true, true]);
    hub.requests.length = 0;
    await readModel(`hf:${repository}`, { headersOnly: true });
    expect(hub.requests).toEqual([]);
  });

  test('of one file of weights, or of GGUF', async () => {
    const files = filesOf('models/scaled-bf16');
    const single = files.get('model.safetensors')!;
    single.contents = long(single.contents);
    files.set('model.gguf', { contents: long(readFileSync(fixture('models/plain-q8_0.gguf'))), large: true });
    await start(files);
    for (const name of [`hf:${repository}`, `hf:${repository}/model.gguf`]) {
      hub.sentBytes = 0;
      const { spec } = await readModel(name, { headersOnly: true });
      expect(spec.tensors.length).toBeGreaterThan(10);
      // A window of a GGUF file is a mebibyte.
      expect(hub.sentBytes).toBeLessThan(2 << 20);
      expect(existsSync(spec.files[0]!)).toBe(false);
    }
    // Nothing of the weights is there, and nothing says that they are.
    expect((await readModel(`hf:${repository}`)).spec.files).toEqual([snapshot('model.safetensors')]);
    expect(existsSync(snapshot('model.safetensors'))).toBe(true);
  });

  test('is what inspect does', async () => {
    const contents = long(readFileSync(fixture('models/plain-q8_0.gguf')));
    await start(new Map([['model.gguf', { contents, large: true }]]));
    expect(await inspectCommand([`hf:${repository}`])).toMatch(/architecture +llama/);
    expect(hub.sentBytes).toBeLessThan(2 << 20);
  });
});

describe('processes at once', () => {
  /** Prints what a process of its own finds in the model's largest file. */
  function load(): Promise<string> {
    const source = `
      import { createHash } from 'node:crypto';
      import { readFileSync } from 'node:fs';
      import { readModel } from './lib/formats/load-model.ts';
      const { spec } = await readModel('hf:${repository}');
      console.log(createHash('sha256').update(readFileSync(spec.files[0])).digest('hex'));`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', source];
    const child = spawn(process.execPath, args, { cwd: fileURLToPath(new URL('../..', import.meta.url)) });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += String(data)));
    return new Promise((resolve) => child.on('close', () => resolve(output.trim())));
  }

  test('download the same file, and none sees a part of it', async () => {
    // No two pieces alike: whatever is written in the wrong place shows.
    const contents = Buffer.concat([readFileSync(fixture('models/plain-q8_0.gguf')), Buffer.alloc(2 << 20)]);
    for (let at = contents.length - (2 << 20); at < contents.length - 4; at += 4) contents.writeUInt32LE(at, at);
    await start(new Map([['model.gguf', { contents, large: true }]]));
    // Both begin together, and take a second.
    hub.together = 2;
    hub.pieceBytes = 1 << 14;
    const found = await Promise.all([load(), load()]);
    expect(found).toEqual(Array(2).fill(sha256(contents)));
    // Neither had to begin again.
    expect(hub.requests).toHaveLength(2);
    expect(readdirSync(join(cache, repositoryFolder, 'blobs'))).toEqual([sha256(contents)]);
    expect(readdirSync(snapshot())).toEqual(['model.gguf']);
  }, 30_000);
});

describe('names', () => {
  test('of models', () => {
    const whole = { repository: 'a/b', revision: 'main', file: undefined };
    expect(parseHubSource('hf:a/b')).toEqual(whole);
    expect(parseHubSource('hf:a/b@v1.0')).toEqual({ ...whole, revision: 'v1.0' });
    expect(parseHubSource('hf:a/b@x%2Fy/c/d.gguf')).toEqual({ ...whole, revision: 'x/y', file: 'c/d.gguf' });
  });

  test.each(['hf:', 'hf:a', 'hf:a/../b', 'hf:../b', 'hf:a/b/../../c', 'hf:a/b c', 'hf:a/b@'])(
    'that are none: %s',
    (name) => {
      expect(() => parseHubSource(name)).toThrow(/is no model on the hub/);
    },
  );

  test('of variables', () => {
    const home = hubSettings({ HOME: '/x' });
    expect(home).toMatchObject({ url: 'https://huggingface.co', token: undefined, offline: false });
    expect(hubSettings({ HF_HOME: '/h' }).cacheDirectory).toBe(join('/h', 'hub'));
    expect(hubSettings({ XDG_CACHE_HOME: '/c' }).cacheDirectory).toBe(join('/c', 'huggingface', 'hub'));
    expect(hubSettings({ HF_HUB_CACHE: '/k', HF_HOME: '/h' }).cacheDirectory).toBe('/k');
    expect(hubSettings({ HUGGING_FACE_HUB_TOKEN: 't', HF_HUB_OFFLINE: 'TRUE' })).toMatchObject({
      token: 't',
      offline: true,
    });
    expect(hubSettings({ HF_ENDPOINT: 'http://mirror/' }).url).toBe('http://mirror');
  });
});
