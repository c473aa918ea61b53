/** Ids that become more: a typed array that doubles. An array of a million numbers takes long to copy. */
export interface IdList {
  push(id: number): void;
  /** All ids so far. */
  toArray(): Int32Array;
}

export function createIdList(): IdList {
  let ids = new Int32Array(64);
  let length = 0;
  return {
    push(id) {
      if (length === ids.length) {
        const larger = new Int32Array(length * 2);
        larger.set(ids);
        ids = larger;
      }
      ids[length++] = id;
    },
    toArray: () => ids.slice(0, length),
  };
}
