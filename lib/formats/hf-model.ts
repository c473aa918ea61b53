import { readdir } from 'node:fs/promises';
import { throwIfAborted } from '../errors.js';
import { readHuggingFaceConfig } from './hf-config.js';
import { readHuggingFaceTokenizer } from './hf-tokenizer.js';
import type { LoadedModel, ReadOptions } from './load-model.js';
import { refuseOldQuantized } from './quantized-checkpoint.js';
import { readSafetensorsDirectory } from './safetensors.js';
import { resolveTensors } from './tensor-table.js';

/** Reads a directory of config.json, tokenizer files and safetensors. */
export async function readHuggingFaceModel(directory: string, options: ReadOptions): Promise<LoadedModel> {
  const { signal, onProgress } = options;
  const names = new Set(await readdir(directory));
  const { architecture, fields, json } = await readHuggingFaceConfig(directory);
  await refuseOldQuantized(directory, names);
  const hyperparameters = architecture.fromHuggingFace(fields);
  const found = await readSafetensorsDirectory(directory, names, {
    signal,
    onFile: (doneFiles, totalFiles) => onProgress?.({ phase: 'headers', done: doneFiles, total: totalFiles }),
  });
  const tensors = resolveTensors(architecture, hyperparameters, found);
  throwIfAborted(signal, `reading ${directory}`);
  const { definition, chatTemplate, defaults } = await readHuggingFaceTokenizer(directory, names, json);
  return {
    spec: { architecture: architecture.name, hyperparameters, files: found.files.map(({ path }) => path), tensors },
    tokenizer: { definition },
    ...(chatTemplate !== undefined && { chatTemplate }),
    defaults,
  };
}
