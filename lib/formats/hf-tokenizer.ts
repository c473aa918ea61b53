import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferceptError } from '../errors.js';
import type { AddedToken, TokenDefaults, TokenizerDefinition } from '../text/tokenizer-source.js';
import { isJsonObject, type JsonObject, readJsonFile, readOptionalJsonFile } from './json-file.js';
import { corrupt } from './random-access-file.js';
import { readSentencePiece, sentencePieceFiles } from './sentencepiece.js';

export interface HuggingFaceTokenizer {
  definition: TokenizerDefinition;
  chatTemplate?: string;
  defaults: TokenDefaults;
}

/** Reads the tokenizer files of a Hugging Face directory. `config` is its config.json. */
export async function readHuggingFaceTokenizer(
  directory: string,
  names: ReadonlySet<string>,
  config: JsonObject,
): Promise<HuggingFaceTokenizer> {
  const settings = await readOptionalJsonFile(join(directory, 'tokenizer_config.json'));
  const definition = await readDefinition(directory, names, settings);
  const generation = await readOptionalJsonFile(join(directory, 'generation_config.json'));
  const chatTemplate = await readChatTemplate(directory, names, settings);
  return {
    definition,
    ...(chatTemplate !== undefined && { chatTemplate }),
    defaults: readDefaults(definition, settings, [generation, config]),
  };
}

/** tokenizer.json, or what older models have in its place: a model of SentencePiece, and the tokens added to it. */
async function readDefinition(
  directory: string,
  names: ReadonlySet<string>,
  settings: JsonObject,
): Promise<TokenizerDefinition> {
  if (names.has('tokenizer.json')) {
    const path = join(directory, 'tokenizer.json');
    return checkDefinition(path, await readJsonFile(path));
  }
  const pieces = sentencePieceFiles.find((name) => names.has(name));
  if (pieces === undefined) {
    throw new InferceptError(
      'ERR_MODEL_UNSUPPORTED',
      `${directory} has neither tokenizer.json nor ${sentencePieceFiles.join(' or ')}. ` +
        'Make a tokenizer.json by saving the tokenizer with a current version of transformers.',
      { details: { directory } },
    );
  }
  const { definition } = await readSentencePiece(join(directory, pieces));
  return { ...definition, added_tokens: withAdded(definition.added_tokens, settings.added_tokens_decoder) };
}

/** What tokenizer_config.json says of added tokens, by id, counts. */
function withAdded(tokens: readonly AddedToken[], listed: unknown): AddedToken[] {
  const byId = new Map(tokens.map((token) => [token.id, token]));
  for (const [id, token] of Object.entries(isJsonObject(listed) ? listed : {})) {
    if (isJsonObject(token) && typeof token.content === 'string' && /^\d{1,9}$/.test(id)) {
      byId.set(Number(id), { ...(token as Partial<AddedToken>), content: token.content, id: Number(id) });
    }
  }
  return [...byId.values()];
}

/** Proves the outline of tokenizer.json; the tokenizer library judges the parts. */
function checkDefinition(path: string, json: JsonObject): TokenizerDefinition {
  const { model, added_tokens: added = [] } = json;
  if (!isJsonObject(model) || typeof model.vocab !== 'object' || model.vocab === null) {
    throw corrupt(path, 0, 'it has no model with a vocab');
  }
  const wellFormed = (token: unknown): boolean =>
    isJsonObject(token) && typeof token.content === 'string' && Number.isInteger(token.id) && (token.id as number) >= 0;
  if (!Array.isArray(added) || !added.every(wellFormed)) {
    throw corrupt(path, 0, 'added_tokens is not an array of tokens with id and content');
  }
  const part = (key: string): unknown => (isJsonObject(json[key]) ? json[key] : null);
  return {
    normalizer: part('normalizer'),
    pre_tokenizer: part('pre_tokenizer'),
    post_processor: part('post_processor'),
    decoder: part('decoder'),
    model,
    added_tokens: added,
  } as TokenizerDefinition;
}

/** A file of its own wins, as in transformers; else the string, or the template named "default". */
async function readChatTemplate(
  directory: string,
  names: ReadonlySet<string>,
  { chat_template: template }: JsonObject,
): Promise<string | undefined> {
  if (names.has('chat_template.jinja')) return readFile(join(directory, 'chat_template.jinja'), 'utf8');
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  const entries = template.filter(isJsonObject).filter((entry) => typeof entry.template === 'string');
  return (entries.find(({ name }) => name === 'default') ?? entries[0])?.template as string | undefined;
}

function readDefaults(definition: TokenizerDefinition, settings: JsonObject, configs: JsonObject[]): TokenDefaults {
  const idOf = (key: string): number | undefined => {
    const content = tokenContent(settings[key]);
    return definition.added_tokens.find((token) => token.content === content)?.id ?? vocabularyId(definition, content);
  };
  const ends = new Set(configs.flatMap(({ eos_token_id: ids }) => (Array.isArray(ids) ? ids : [ids])).filter(isId));
  const eos = idOf('eos_token');
  if (eos !== undefined) ends.add(eos);
  const bos = idOf('bos_token') ?? configs.map(({ bos_token_id: id }) => id).find(isId);
  const addBos = settings.add_bos_token ?? addsBos(definition, tokenContent(settings.bos_token));
  return {
    eosTokenIds: [...ends],
    ...(bos !== undefined && { bosTokenId: bos }),
    addBosToken: addBos === true && bos !== undefined,
  };
}

/** A special token is written as its text, or as an object with the text and flags. */
function tokenContent(token: unknown): string | undefined {
  const content = isJsonObject(token) ? token.content : token;
  return typeof content === 'string' ? content : undefined;
}

function vocabularyId({ model: { vocab } }: TokenizerDefinition, content: string | undefined): number | undefined {
  if (content === undefined || Array.isArray(vocab) || !Object.hasOwn(vocab, content)) return undefined;
  const id = vocab[content];
  return isId(id) ? id : undefined;
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}

/** Whether the post-processor puts the token before every text. It may be one of a sequence of processors. */
function addsBos({ post_processor: processor }: TokenizerDefinition, bos: string | undefined): boolean {
  if (processor === null || bos === undefined) return false;
  const { processors } = processor;
  const parts = Array.isArray(processors) ? processors.filter(isJsonObject) : [processor];
  return parts.some(({ single }) => {
    const first: unknown = Array.isArray(single) ? single[0] : undefined;
    return isJsonObject(first) && isJsonObject(first.SpecialToken) && first.SpecialToken.id === bos;
  });
}
