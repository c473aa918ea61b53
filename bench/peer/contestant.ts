/** A library with a model loaded, as far as benchmarks need it. */
export interface Contestant {
  name: string;
  /** Processes a prompt and samples one token after it. */
  prefill(prompt: readonly number[]): Promise<void>;
  /** Processes prompts of equal length; `onFirst` is called when the first one is done, before the others begin. */
  begin(prompts: readonly (readonly number[])[], onFirst: () => void): Promise<Contexts>;
  close(): Promise<void>;
}

/** Contexts that go on, a few tokens at a time. */
export interface Contexts {
  /** Samples `sampleTokens` tokens after each of the first so many contexts, all at the same time, greedily. */
  decode(contexts: number): Promise<void>;
  /** The same without the library's own scheduling and sampling, and without leaving anything in the contexts. */
  decodeBatches?(contexts: number): Promise<void>;
  end(): Promise<void>;
}

/** Tokens of each context in one sample. */
export const sampleTokens = 16;

/** The longest context that is asked for: what the model was made for. */
export const contextTokensMax = 4096;
