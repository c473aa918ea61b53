/**
 * Numbers for the names under which durations are learnt, from coarse to fine: a family (`tool`), a kind (`tool:search`), a
 * kind with the shape of its arguments (`tool:search(depth=3)`).
 */
import type { NativeKind } from './native-commands.js';

/** Names known at a time, and one more: the twin of `DurationPredictor::kKindsMax`. */
export const kindsMax = 4096;

/** Longer names are cut: they are kept, and saved with what was learnt. */
export const nameCharactersMax = 1024;

const families: readonly string[] = ['human', 'tool', 'model', 'environment'];

/** What stands before a kind's first colon, if it names a family; else `tool`. */
export function familyOf(kind: string): string {
  const prefix = kind.split(':', 1)[0]!;
  return families.includes(prefix) ? prefix : 'tool';
}

const cut = (name: string): string => name.slice(0, nameCharactersMax);

function levels(kind: string, shape: string | undefined, number: (name: string) => number): NativeKind {
  const family = familyOf(kind);
  return {
    family: number(family),
    kind: kind === family ? 0 : number(kind),
    shape: shape === undefined ? 0 : number(`${kind}(${shape})`),
  };
}

export class KindTable {
  /** Longest unused first. */
  private readonly ids = new Map<string, number>();

  /** All levels of one interception. 0 where a level adds nothing. */
  path(kind: string, shape?: string): NativeKind {
    return levels(kind, shape, (name) => this.id(name));
  }

  /** As `path`, but nothing is numbered, and nothing counts as used: 0 for a name that is not known. */
  find(kind: string, shape?: string): NativeKind {
    return levels(kind, shape, (name) => this.ids.get(cut(name)) ?? 0);
  }

  id(name: string): number {
    const key = cut(name);
    const id = this.ids.get(key) ?? this.nextId();
    this.ids.delete(key);
    this.ids.set(key, id);
    return id;
  }

  /** Names and their numbers, longest unused first. */
  entries(): [name: string, id: number][] {
    return [...this.ids];
  }

  /** When all places are taken, the name that was not used for longest loses its own. */
  private nextId(): number {
    if (this.ids.size + 1 < kindsMax) return this.ids.size + 1;
    const [name, id] = this.ids.entries().next().value!;
    this.ids.delete(name);
    // The same place with a higher number: what still comes under the old one is not taken for the new name's.
    return id + kindsMax;
  }
}
