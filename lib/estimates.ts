/** What an engine has learnt about how long interceptions last, as plain JSON: to be kept in a file and given to the next one. */
import { type KindTable, kindsMax, nameCharactersMax } from './kind-table.js';
import type { NativeDurations } from './native-protocol.js';
import { arrayOf, type Check, invalid, options, real, string } from './validate.js';

/**
 * How long interceptions lasted, under names from coarse to fine. No contents of calls, only sizes; see
 * {@link DurationEstimate.key}.
 */
export interface Estimates {
  version: 1;
  /** At most 4096; the one that was not used for longest first. */
  keys: DurationEstimate[];
}

/** What was learnt under one name. */
export interface DurationEstimate {
  /**
   * `''`: all interceptions. `'tool'`: a family, one of human, tool, model, environment. `'tool:search'`: one kind.
   * `'tool:search(depth=3,query=text16)'`: calls with arguments of one shape. At most 1024 characters.
   */
  key: string;
  /** Shortest first, at most 62: the mean length of similar interceptions, and how many of them count; old ones count less. */
  durations: [meanMs: number, weight: number][];
}

/** What the native side says of one key. */
interface NativeEstimate {
  kind: number;
  bins: [seconds: number, weight: number][];
}

/** The twin of `DurationPredictor::kBins`. */
const durationsMax = 62;
/** Three decades; and more than any history is worth, since old observations fade. */
const millisecondsMax = 1e12;
const weightMax = 1e6;

const duration: Check<[number, number]> = (value, name) => {
  if (!Array.isArray(value) || value.length !== 2) throw invalid(name, value, 'a pair of milliseconds and a weight');
  return [real(0, millisecondsMax)(value[0], `${name}[0]`), real(0, weightMax)(value[1], `${name}[1]`)];
};

function atMost<Item>(count: number, item: Check<Item>): Check<Item[]> {
  return (value, name) => {
    if (Array.isArray(value) && value.length > count) throw invalid(`${name}.length`, value.length, `at most ${count}`);
    return arrayOf(item)(value, name);
  };
}

const key: Check<string> = (value, name) => {
  const text = string(value, name);
  if (text.length > nameCharactersMax) {
    throw invalid(`${name}.length`, text.length, `at most ${nameCharactersMax} characters`);
  }
  return text;
};

const version: Check<1> = (value, name) => {
  if (value === 1) return 1;
  throw invalid(name, value, '1, the only version that this release reads; without `estimates` all is learnt anew');
};

const readKey = options({ key, durations: atMost(durationsMax, duration) });
const readEstimates = options({
  version,
  keys: atMost(kindsMax, (value, name): DurationEstimate => {
    const checked = readKey(value, name);
    if (checked.key === undefined) throw invalid(`${name}.key`, undefined, 'given');
    return { key: checked.key, durations: checked.durations ?? [] };
  }),
});

/** Estimates that somebody may have written by hand. */
export const estimates: Check<Estimates> = (value, name) => {
  const checked = readEstimates(value, name);
  return { version: version(checked.version, `${name}.version`), keys: checked.keys ?? [] };
};

/** As the native side takes them; their names are numbered in `kinds`. */
export function toNativeDurations(learnt: Estimates | undefined, kinds: KindTable): NativeDurations[] {
  return (learnt?.keys ?? []).map(({ key: name, durations }) => ({
    kind: name === '' ? 0 : kinds.id(name),
    seconds: Float64Array.from(durations, ([milliseconds]) => milliseconds / 1000),
    weights: Float64Array.from(durations, ([, weight]) => weight),
  }));
}

/** Six digits: no tool is steadier. What is saved does not change by being loaded and saved again. */
const rounded = (value: number): number => Number(value.toPrecision(6));

/** What the native side says it has learnt, under its names. */
export function parseEstimates(json: string, names: readonly [string, number][]): Estimates {
  const native = JSON.parse(json) as NativeEstimate[];
  const binsOf = new Map(native.map(({ kind, bins }) => [kind, bins]));
  const all: readonly [string, number][] = [['', 0], ...names];
  return {
    version: 1,
    keys: all.flatMap(([name, id]) => {
      const bins = binsOf.get(id);
      if (bins === undefined) return [];
      const durations = bins.map(([seconds, weight]): [number, number] => [rounded(seconds * 1000), rounded(weight)]);
      return [{ key: name, durations }];
    }),
  };
}
