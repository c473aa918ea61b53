import { Tokenizer } from '@huggingface/tokenizers';
import { InferceptError } from '../errors.js';
import { createEncodingWorker } from './encoding-worker.js';
import { ordinaryDefinitions, prefixesEachSection } from './ordinary-definition.js';
import type { Section } from './sections.js';
import type { TokenizerDefinition } from './tokenizer-source.js';

type TextSection = Extract<Section, { text: string }>;

/** Encodes text that holds no control tokens, whatever it spells. */
export interface OrdinaryEncoder {
  encode(section: TextSection): ArrayLike<number>;
  /** Long texts are encoded on another thread. */
  encodeAsync(section: TextSection): ArrayLike<number> | Promise<ArrayLike<number>>;
  dispose(): void;
}

/** Shorter texts take less than about 10 ms. */
const asyncCharactersMin = 16_384;

/** Throws `ERR_MODEL_UNSUPPORTED` if the library does not know a part of the definition. */
export function createOrdinaryEncoder(definition: TokenizerDefinition): OrdinaryEncoder {
  const definitions = ordinaryDefinitions(definition);
  const start = build(definitions.start);
  const continuation = definitions.continuation === definitions.start ? start : build(definitions.continuation);
  const worker = createEncodingWorker(Object.values(definitions));
  const eachSection = prefixesEachSection(definition);

  const variant = ({ position }: TextSection): 'start' | 'continuation' =>
    position === 'start' || (position === 'after-control' && eachSection) ? 'start' : 'continuation';

  function encode(section: TextSection): number[] {
    const tokenizer = variant(section) === 'start' ? start : continuation;
    return tokenizer.encode(section.text, { add_special_tokens: false }).ids;
  }

  return {
    encode,
    encodeAsync(section) {
      if (section.text.length < asyncCharactersMin) return encode(section);
      return worker.encode(section.text, definitions[variant(section)]);
    },
    dispose: () => worker.dispose(),
  };
}

function build(definition: TokenizerDefinition): Tokenizer {
  try {
    return new Tokenizer(definition, {});
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new InferceptError('ERR_MODEL_UNSUPPORTED', `The model's tokenizer cannot be used: ${reason}.`, { cause });
  }
}
