// The command line of benchmarks: which options there are, which benchmark takes which, and what to say of wrong ones.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { policyNames } from '../../lib/policy-names.js';

/** What every benchmark takes, and what some do. */
export interface BenchOptions {
  /** Fewer cases and samples; ends within a minute. */
  quick: boolean;
  /** Prints one JSON object as the last line. */
  json: boolean;
  /** Writes the figures to bench/results. */
  save: boolean;
  threads: number;
  /** Types of weights, as GGUF files name them. */
  types?: string[];
  type?: string;
  policies?: (typeof policyNames)[number][];
  /** Tokens that fit into the KV cache. */
  kvTokens?: number;
  /** Of devices that are simulated. */
  profiles?: string[];
  /** That are simulated. */
  workloads?: string[];
}

/** The options that not every benchmark takes. */
export type ExtraOption = 'type' | 'types' | 'policies' | 'kv-tokens' | 'profiles' | 'workloads';

const extraUsage: Record<ExtraOption, string> = {
  type: '[--type q4_k]',
  types: '[--types q4_k,q8_0,...]',
  policies: `[--policies adaptive,...]`,
  'kv-tokens': '[--kv-tokens N]',
  profiles: '[--profiles a100-gpt-j-6b,...]',
  workloads: '[--workloads mix,agents,...]',
};

/** A command line that cannot be understood, and what would have been right. */
export class UsageError extends Error {}

export function usageOf(bench: string, extras: readonly ExtraOption[]): string {
  const parts = ['[--quick]', '[--json]', '[--save]', '[--threads N]', ...extras.map((name) => extraUsage[name])];
  return `usage: npm run bench -- ${bench} ${parts.join(' ')}`;
}

/** @throws UsageError */
export function readOptions(bench: string, args: readonly string[], extras: readonly ExtraOption[] = []): BenchOptions {
  const fail = (message: string): never => {
    throw new UsageError(`${message}\n${usageOf(bench, extras)}`);
  };
  const { values, positionals } = parse(args, extras, fail);
  if (positionals.length > 0) fail(`'${positionals[0]}' is not an option.`);
  const { quick, json, save } = values;
  const options: BenchOptions = { quick, json, save, threads: availableParallelism() };
  if (values.threads !== undefined) options.threads = toCount('threads', values.threads, 1024, fail);
  if (values['kv-tokens'] !== undefined) options.kvTokens = toCount('kv-tokens', values['kv-tokens'], 2 ** 24, fail);
  if (values.type !== undefined) options.type = toName('type', values.type, fail);
  if (values.types !== undefined) options.types = toList('types', values.types, fail);
  if (values.profiles !== undefined) options.profiles = toList('profiles', values.profiles, fail);
  if (values.workloads !== undefined) options.workloads = toList('workloads', values.workloads, fail);
  if (values.policies !== undefined) {
    options.policies = toList('policies', values.policies, fail).map(
      (name) =>
        policyNames.find((policy) => policy === name) ??
        fail(`'${name}' is not a policy; there are ${policyNames.join(', ')}.`),
    );
  }
  return options;
}

function parse(args: readonly string[], extras: readonly ExtraOption[], fail: (message: string) => never) {
  const extra = Object.fromEntries(extras.map((name) => [name, { type: 'string' as const }]));
  const flag = { type: 'boolean' as const, default: false };
  const options = { quick: flag, json: flag, save: flag, threads: { type: 'string' as const }, ...extra };
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
    const texts: Partial<Record<ExtraOption | 'threads', string>> = values;
    return { values: { quick: values.quick, json: values.json, save: values.save, ...texts }, positionals };
  } catch (error) {
    return fail((error as Error).message);
  }
}

function toCount(name: string, text: string, most: number, fail: (message: string) => never): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  return fail(`--${name} is '${text}'; it must be an integer from 1 to ${most}.`);
}

function toList(name: string, text: string, fail: (message: string) => never): string[] {
  return [...new Set(text.split(',').map((item) => toName(name, item, fail)))];
}

function toName(option: string, text: string, fail: (message: string) => never): string {
  const name = text.trim().toLowerCase();
  if (/^[a-z0-9_-]+$/.test(name)) return name;
  return fail(`--${option}: '${text}' is not a name.`);
}
