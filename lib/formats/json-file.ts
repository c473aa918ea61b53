import { InferceptError } from '../errors.js';
import { openFile } from './random-access-file.js';

export type JsonObject = Record<string, unknown>;

/** The largest known file, a tokenizer with 256,000 tokens, has 35 MB. */
const jsonBytesMax = 256 << 20;

/** Reads a file that must hold one JSON object. */
export async function readJsonFile(path: string): Promise<JsonObject> {
  const file = await openFile(path);
  try {
    if (file.size > jsonBytesMax) {
      throw new InferceptError('ERR_MODEL_FORMAT', `${path} has ${file.size} bytes, more than ${jsonBytesMax}.`);
    }
    return parseJsonObject(path, (await file.read(0, file.size)).toString('utf8'));
  } finally {
    await file.close();
  }
}

/** Like {@link readJsonFile}, but an empty object if there is no such file. */
export async function readOptionalJsonFile(path: string): Promise<JsonObject> {
  try {
    return await readJsonFile(path);
  } catch (error) {
    if (InferceptError.isInstance(error) && error.code === 'ERR_MODEL_NOT_FOUND') return {};
    throw error;
  }
}

/** `where` names the text in errors. */
export function parseJsonObject(where: string, text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InferceptError('ERR_MODEL_FORMAT', `${where} is not valid JSON: ${(cause as Error).message}.`, { cause });
  }
  if (isJsonObject(value)) return value;
  throw new InferceptError('ERR_MODEL_FORMAT', `${where} must hold a JSON object.`);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
