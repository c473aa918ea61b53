// What is compared, for one type of weights.
import type { BenchOptions } from '../support/options.js';

export interface DecodeCase {
  name: string;
  contexts: number;
  samples: number;
}

/** Contexts that begin with prompts of this length, and what is measured on them. */
export interface ContextCases {
  promptTokens: number;
  /** What the processing of the first prompt is reported as. Default: not reported. */
  prefill?: string;
  decodes: DecodeCase[];
}

export interface Cases {
  /** One prompt alone: tokens and samples. */
  prefill: { promptTokens: number; samples: number };
  contexts: ContextCases[];
}

/**
 * Few contexts: more samples, as each is short. The many long ones are measured for one type only: their prompts take
 * minutes, and attention does not depend on the type of the weights.
 */
export function casesOf({ quick }: Pick<BenchOptions, 'quick'>, first: boolean): Cases {
  const decode = (contexts: number, samples: number, suffix = ''): DecodeCase => ({
    name: `decode${contexts}${suffix}`,
    contexts,
    samples,
  });
  if (quick) {
    return {
      prefill: { promptTokens: 256, samples: 2 },
      contexts: [{ promptTokens: 128, decodes: [decode(1, 3), decode(8, 2)] }],
    };
  }
  const long = [decode(1, 3, '_4096'), ...(first ? [decode(8, 1, '_4096')] : [])];
  return {
    prefill: { promptTokens: 384, samples: 5 },
    // The long ones first: our cache touches its memory when a block is first used, the peer's when it is made.
    contexts: [
      // The samples fill the rest of the 4,096.
      { promptTokens: 3840, prefill: 'prefill_4096', decodes: long },
      { promptTokens: 128, decodes: [decode(1, 5), decode(8, 3), decode(16, 3), decode(32, 1)] },
    ],
  };
}
