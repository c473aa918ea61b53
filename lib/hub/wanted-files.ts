import { InferceptError } from '../errors.js';

const singleFile = 'model.safetensors';
const indexFile = 'model.safetensors.index.json';
/** Small files that say how to run the model, by the names that the readers look for. */
const descriptions = [
  ...['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'],
  // The last two say that there is nothing here for this engine.
  ...['tokenizer.model', 'spiece.model', 'quantize_config.json', 'quant_config.json'],
];

/** What of a repository makes up a model: a GGUF file, or a directory with weights, all in one file or listed in an index. */
export type WantedFiles = { gguf: string } | { small: string[]; weights: string } | { small: string[]; index: string };

/**
 * @param names of the files of the repository, without those in folders
 * @throws InferceptError `ERR_MODEL_UNSUPPORTED`
 */
export function wantedFiles(repository: string, names: readonly string[]): WantedFiles {
  const small = descriptions.filter((name) => names.includes(name));
  if (names.includes(singleFile)) return { small, weights: singleFile };
  if (names.includes(indexFile)) return { small, index: indexFile };
  const ggufs = names.filter((name) => name.endsWith('.gguf'));
  if (ggufs.length === 1) return { gguf: ggufs[0]! };
  throw new InferceptError(
    'ERR_MODEL_UNSUPPORTED',
    ggufs.length === 0
      ? `The repository ${repository} has neither safetensors nor GGUF files. Look for one with the same model in such a format.`
      : `The repository ${repository} has several GGUF files; name one: ${ggufs.map((name) => `hf:${repository}/${name}`).join(', ')}.`,
    { details: { repository, files: ggufs } },
  );
}
