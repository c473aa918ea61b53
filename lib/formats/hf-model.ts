import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { throwIfAborted } from '../errors.js';
import { readHuggingFaceConfig } from './hf-config.js';
import { readHuggingFaceTokenizer } from './hf-tokenizer.js';
import type { LoadedModel, ReaderOptions } from './load-model.js';
import { refuseOldQuantized } from './quantized-checkpoint.js';
import { readSafetensorsDirectory } from './safetensors.js';
import { resolveTensors } from './tensor-table.js';

/** Reads a directory of config.json, tokenizer files and safetensors. */
export async function readHuggingFaceModel(directory: string, options: ReaderOptions): Promise<LoadedModel> {
  const { signal, onProgress, remote } = options;
  const elsewhere = Array.from(remote.keys(), (path) => basename(path));
  const names = new Set([...(await readdir(directory)), ...elsewhere]);
  const { architecture, fields, json } = await readHuggingFaceConfig(directory);
  await refuseOldQuantized(directory, names);
  const hyperparameters = architecture.fromHuggingFace(fields);
  const found = await readSafetensorsDirectory(directory, names, {
    signal,
    remote,
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
