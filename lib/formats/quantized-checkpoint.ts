import { join } from 'node:path';
import { InferceptError } from '../errors.js';
import { isJsonObject, readOptionalJsonFile } from './json-file.js';

/** How people know the methods, by `quant_method`. */
const methods: Readonly<Record<string, string>> = {
  gptq: 'GPTQ',
  awq: 'AWQ',
  bitsandbytes: 'bitsandbytes',
  'compressed-tensors': 'compressed-tensors',
  fp8: 'FP8',
  mxfp4: 'MXFP4',
};

/** Files in which older checkpoints say that they are quantized, and by what. */
const oldFiles = { 'quantize_config.json': 'gptq', 'quant_config.json': 'awq' } as const;

/**
 * Refuses weights that were quantized for other engines.
 * @param settings `quantization_config` of config.json, or the file that has it
 * @throws InferceptError `ERR_MODEL_UNSUPPORTED`
 */
export function refuseQuantized(path: string, settings: unknown, method = 'unknown'): void {
  if (settings === undefined || settings === null) return;
  const named = isJsonObject(settings) ? String(settings.quant_method ?? method).slice(0, 80) : method;
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${path}: the weights are quantized by ${methods[named] ?? named}, which is not supported. Load the model that they were ` +
      "made from, with the option quantize: 'q4_k' if memory is short; or a GGUF file of it, quantized as you like.",
    { details: { path, method: named } },
  );
}

/** The same for directories whose config.json says nothing of it. */
export async function refuseOldQuantized(directory: string, names: ReadonlySet<string>): Promise<void> {
  for (const [name, method] of Object.entries(oldFiles)) {
    if (!names.has(name)) continue;
    const path = join(directory, name);
    refuseQuantized(path, await readOptionalJsonFile(path), method);
  }
}
