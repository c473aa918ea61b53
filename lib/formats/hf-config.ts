import { join } from 'node:path';
import { type ArchitectureRow, architectureOfHuggingFace } from './architectures/index.js';
import { createFields, type Fields } from './fields.js';
import { isJsonObject, type JsonObject, readJsonFile } from './json-file.js';
import { refuseQuantized } from './quantized-checkpoint.js';

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
  const quantization = json.quantization_config;
  const isPacked = isJsonObject(quantization) && quantization.quant_method === 'mxfp4';
  if (!isPacked) refuseQuantized(path, quantization);
  const names = Array.isArray(json.architectures) ? json.architectures.map(String) : [];
  const architecture = architectureOfHuggingFace(path, names);
  if (!architecture.packedExperts) refuseQuantized(path, quantization);
  return { architecture, fields: createFields(path, (key) => nested(json, key)), json };
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
