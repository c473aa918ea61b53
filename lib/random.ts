/** Randomness that a seed repeats: uniform numbers, and the distributions that workloads are drawn from. */

/** Uniform numbers from 0 to 1 (xorshift32, Marsaglia 2003). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Of mean 1. */
export function exponential(random: () => number): number {
  return -Math.log1p(-random());
}

/** Half of the values are below the median; `spread` is the standard deviation of their logarithm. */
export function lognormal(random: () => number, { median, spread }: { median: number; spread: number }): number {
  // Box and Muller 1958.
  const normal = Math.sqrt(2 * exponential(random)) * Math.cos(2 * Math.PI * random());
  return median * Math.exp(spread * normal);
}
