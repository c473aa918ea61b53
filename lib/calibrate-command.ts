/** `infercept calibrate`: what a model costs on this machine, as a profile that `infercept simulate` takes. */
import { parseArgs } from 'node:util';
import { Engine } from './engine.js';
import { InferceptError } from './errors.js';

export const calibrateUsage = `usage: infercept calibrate MODEL [options]

Loads a model, measures what steps and copies of contexts cost, and prints a profile as JSON:
  infercept calibrate model.gguf > machine.json
  infercept simulate --profile machine.json

  MODEL               as for Engine.load: the path of a GGUF file or of a Hugging Face folder, or demo
  --threads N         that compute (default: one per core)
  --kv BYTES          of the KV cache, for example 2GiB (default: as Engine.load chooses)
  --host BYTES        of the host tier (default: as Engine.load chooses)
  --help
`;

const argumentTypes = {
  threads: { type: 'string', default: '0' },
  kv: { type: 'string' },
  host: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: argumentTypes, allowPositionals: true });
  } catch (cause) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', (cause as Error).message);
  }
}

/** What is to be printed. @throws InferceptError as `Engine.load` */
export async function calibrateCommand(args: readonly string[]): Promise<string> {
  const { values, positionals } = parse(args);
  if (values.help) return calibrateUsage;
  const [model, ...others] = positionals;
  if (model === undefined || others.length > 0) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', `Name one model.\n${calibrateUsage}`);
  }
  const engine = await Engine.load(model, {
    threads: Number(values.threads),
    ...(values.kv !== undefined && { kvCache: { bytes: values.kv } }),
    ...(values.host !== undefined && { swap: { hostBytes: values.host } }),
  });
  try {
    return `${JSON.stringify(engine.profile(), null, 2)}\n`;
  } finally {
    await engine.dispose();
  }
}
