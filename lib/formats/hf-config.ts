import { join } from 'node:path';
import { InferceptError } from '../errors.js';
import { type ArchitectureRow, architectureOfHuggingFace } from './architectures/index.js';
import { createFields, type Fields } from './fields.js';
import { isJsonObject, type JsonObject, readJsonFile } from './json-file.js';

/** config.json of a Hugging Face directory. */
export interface HuggingFaceConfig {
  architecture: ArchitectureRow;
  fields: Fields;
  json: JsonObject;
}

/** Reads config.json and refuses what cannot be run before anything large is read. */
export async function readHuggingFaceConfig(directory: string): Promise<HuggingFaceConfig> {
  const path = join(directory, 'config.json');
  const json = await readJsonFile(path);
  refuseQuantized(path, json);
  const names = Array.isArray(json.architectures) ? json.architectures.map(String) : [];
  const architecture = architectureOfHuggingFace(path, names);
  return { architecture, fields: createFields(path, (key) => nested(json, key)), json };
}

function refuseQuantized(path: string, { quantization_config: quantization }: JsonObject): void {
  if (quantization === undefined || quantization === null) return;
  const method = isJsonObject(quantization) ? String(quantization.quant_method ?? 'unknown') : 'unknown';
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    `${path}: the weights are quantized (${method.slice(0, 80)}). Supported are F32, F16 and BF16 safetensors; ` +
      'load the original model, or a GGUF file with Q8_0 weights.',
    { details: { path, method } },
  );
}

/** The value at a path of keys joined by dots. */
function nested(json: JsonObject, key: string): unknown {
  let value: unknown = json;
  for (const part of key.split('.')) {
    if (!isJsonObject(value) || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return value;
}
