import { readFileSync } from 'node:fs';

/** A text world of places and things, moved through with `go PLACE`, `take THING` and `put THING`. */
export class World {
  private readonly things = new Map<string, string[]>(
    Object.entries(
      JSON.parse(readFileSync(new URL('./world.json', import.meta.url), 'utf8')) as Record<string, string[]>,
    ),
  );
  private readonly carried = new Set<string>();
  private place: string | undefined;

  /** Does one action and says what happened, in the words that the demo model knows. */
  step(action: string): string {
    const [, verb, object] = /^(\w+) (.+)$/.exec(action.trim().toLowerCase()) ?? [];
    if (object === undefined) return 'You do not know how to do that.';
    if (verb === 'go') return this.go(object);
    if (verb === 'take') return this.take(object);
    if (verb === 'put') return this.put(object);
    return 'You do not know how to do that.';
  }

  private go(place: string): string {
    const things = this.things.get(place);
    if (things === undefined) return `There is no ${place}.`;
    this.place = place;
    return `You are in the ${place}. You see: ${things.join(', ') || 'nothing'}.`;
  }

  private take(thing: string): string {
    const things = this.here();
    if (!things.includes(thing)) return `There is no ${thing} here.`;
    things.splice(things.indexOf(thing), 1);
    this.carried.add(thing);
    return `You take the ${thing}.`;
  }

  private put(thing: string): string {
    if (this.place === undefined || !this.carried.delete(thing)) return `You have no ${thing}.`;
    this.here().push(thing);
    return `You put down the ${thing}.`;
  }

  private here(): string[] {
    return (this.place === undefined ? undefined : this.things.get(this.place)) ?? [];
  }
}
