/**
 * Maps pairs of small numbers to a number: open addressing in one typed array, several times smaller and faster than a
 * `Map` for the hundreds of thousands of merges of a large vocabulary.
 */
export interface PairTable {
  set(left: number, right: number, value: number): void;
  /** -1 if there is none. */
  get(left: number, right: number): number;
}

/** An odd number with well-mixed bits (2^32 divided by the golden ratio), as multiplicative hashing wants it. */
const multiplier = 0x9e3779b1;

/** @param countMax how many pairs will be set at most; all numbers are at least 0 and below 2^31 */
export function createPairTable(countMax: number): PairTable {
  // At most half full, so that a search ends soon.
  const slots = 2 ** Math.ceil(Math.log2(Math.max(countMax, 1) * 2));
  /** Per slot left, right and value, each plus one: zero is an empty slot. */
  const entries = new Int32Array(slots * 3);

  function find(left: number, right: number): number {
    let slot = (Math.imul(Math.imul(left, multiplier) ^ right, multiplier) >>> 7) & (slots - 1);
    while (entries[slot * 3] !== 0 && (entries[slot * 3] !== left + 1 || entries[slot * 3 + 1] !== right + 1)) {
      slot = (slot + 1) & (slots - 1);
    }
    return slot * 3;
  }

  return {
    set(left, right, value) {
      const entry = find(left, right);
      entries[entry] = left + 1;
      entries[entry + 1] = right + 1;
      entries[entry + 2] = value + 1;
    },
    get: (left, right) => entries[find(left, right) + 2]! - 1,
  };
}
