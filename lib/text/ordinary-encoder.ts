import { InferceptError, throwIfAborted } from '../errors.js';
import { createEncoder, createWordModel, type Encoder } from './encoding/encoder.js';
import { createIdList, type IdList } from './encoding/id-list.js';
import { runInSlices } from './encoding/slices.js';
import { ordinaryDefinitions, prefixesEachSection } from './ordinary-definition.js';
import type { Section } from './sections.js';
import type { TokenizerDefinition } from './tokenizer-source.js';

/** Encodes sections. Their texts hold no control tokens, whatever they spell. */
export interface OrdinaryEncoder {
  encode(sections: readonly Section[]): Int32Array;
  /** Long texts are encoded in slices, so that the event loop goes on. Rejects with `ERR_ABORTED` or `ERR_DISPOSED`. */
  encodeAsync(sections: readonly Section[], signal?: AbortSignal): Promise<Int32Array>;
  /** Gives up what is being encoded. */
  dispose(): void;
}

/** Shorter texts take about a millisecond: not worth a turn of the event loop. */
const slicedCharactersMin = 4096;

/** Throws `ERR_MODEL_UNSUPPORTED` if a part of the definition is not known. */
export function createOrdinaryEncoder(definition: TokenizerDefinition): OrdinaryEncoder {
  const { start, continuation } = buildEncoders(definition);
  const eachSection = prefixesEachSection(definition);
  let disposed = false;

  function* steps(sections: readonly Section[], ids: IdList): Iterator<void> {
    for (const section of sections) {
      if ('id' in section) {
        ids.push(section.id);
        continue;
      }
      const isStart = section.position === 'start' || (section.position === 'after-control' && eachSection);
      const inner = (isStart ? start : continuation).steps(section.text, ids);
      while (!inner.next().done) yield;
    }
  }

  function encode(sections: readonly Section[]): Int32Array {
    const ids = createIdList();
    const all = steps(sections, ids);
    while (!all.next().done);
    return ids.toArray();
  }

  return {
    encode,
    async encodeAsync(sections, signal) {
      if (disposed) throw disposedError();
      const length = sections.reduce((total, section) => total + ('id' in section ? 1 : section.text.length), 0);
      if (length < slicedCharactersMin) return encode(sections);
      const ids = createIdList();
      await runInSlices({
        steps: steps(sections, ids),
        check() {
          throwIfAborted(signal, 'tokenizing');
          if (disposed) throw disposedError();
        },
      });
      return ids.toArray();
    },
    dispose() {
      disposed = true;
    },
  };
}

function buildEncoders(definition: TokenizerDefinition): { start: Encoder; continuation: Encoder } {
  try {
    const definitions = ordinaryDefinitions(definition);
    const model = createWordModel(definitions.start);
    return {
      start: createEncoder(definitions.start, model),
      continuation: createEncoder(definitions.continuation, model),
    };
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new InferceptError('ERR_MODEL_UNSUPPORTED', `The model's tokenizer cannot be used: ${reason}.`, { cause });
  }
}

function disposedError(): InferceptError {
  return new InferceptError('ERR_DISPOSED', 'The tokenizer was disposed together with its engine.');
}
