/** Finds and loads the native addon, and turns its errors into ours. The only file that knows where `.node` files are. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { totalmem } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, InferceptError } from './errors.js';
import type { NativeBinding } from './native-protocol.js';

const require = createRequire(import.meta.url);
const loaded = new Map<string, NativeBinding>();

/** The package's own folder: the nearest one above this file with a package.json. */
function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** The prebuilt addon of this platform. Literal names, so that bundlers see them. */
function requirePrebuilt(): NativeBinding {
  switch (`${process.platform}-${process.arch}`) {
    case 'linux-x64':
      return require('@infercept/linux-x64');
    case 'linux-arm64':
      return require('@infercept/linux-arm64');
    case 'darwin-arm64':
      return require('@infercept/darwin-arm64');
    case 'win32-x64':
      return require('@infercept/win32-x64');
    default:
      throw new Error(`there is no prebuilt addon for ${process.platform}-${process.arch}`);
  }
}

interface Candidate {
  name: string;
  load(): NativeBinding;
}

function fileCandidate(path: string): Candidate {
  return { name: path, load: () => require(path) };
}

function candidates(chosen: string | undefined): Candidate[] {
  const explicit = chosen ?? (process.env.INFERCEPT_NATIVE || undefined);
  if (explicit !== undefined) return [fileCandidate(isAbsolute(explicit) ? explicit : resolve(explicit))];
  const folder = packageFolder();
  return [
    fileCandidate(join(folder, 'build', 'Release', 'infercept.node')),
    fileCandidate(join(folder, 'build', 'Debug', 'infercept.node')),
    { name: `@infercept/${process.platform}-${process.arch}`, load: requirePrebuilt },
  ];
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
}

function notFound(tried: string[]): InferceptError {
  return new InferceptError(
    'ERR_NATIVE_NOT_FOUND',
    `The native addon of infercept could not be loaded on ${process.platform}-${process.arch}, Node ${process.version}.\n` +
      `Tried:\n${tried.map((line) => `  - ${line}\n`).join('')}` +
      'Remedies: install optional dependencies (no --omit=optional); or build it from source with `npm run build` in the ' +
      "package's folder (a C++20 compiler and CMake are needed); or name a built addon in `nativeBinding` or INFERCEPT_NATIVE.",
    { details: { tried } },
  );
}

/** The addon. Each is loaded once per thread. */
export function loadNative(chosen?: string): NativeBinding {
  const key = chosen ?? '';
  const known = loaded.get(key);
  if (known !== undefined) return known;
  const tried: string[] = [];
  for (const candidate of candidates(chosen)) {
    try {
      const binding = candidate.load();
      loaded.set(key, binding);
      return binding;
    } catch (error) {
      tried.push(`${candidate.name}: ${firstLine(error)}`);
    }
  }
  throw notFound(tried);
}

/** An error that the addon threw, as ours. */
export function fromNative(error: unknown): InferceptError {
  if (InferceptError.isInstance(error)) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  const known = typeof code === 'string' && code.startsWith('ERR_') ? (code as ErrorCode) : 'ERR_INTERNAL';
  return new InferceptError(known, message, { cause: error });
}

/** What the machine offers. */
export interface SystemInfo {
  /** Instruction sets that the CPU kernels can use here, best first. The environment variable `INFERCEPT_ISA` picks one. */
  isas: string[];
  /** Hardware threads. */
  threads: number;
  /** Bytes of physical memory. */
  memoryBytes: number;
}

/** Facts about this machine, as the native addon sees it. */
export function systemInfo(): SystemInfo {
  return { ...loadNative().systemInfo(), memoryBytes: totalmem() };
}
