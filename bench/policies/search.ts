// Sustained load: the highest rate of arrivals at which latency stays under a bound, by bisection over rates.

/** What is measured at each rate; a rate that was asked before is answered from memory. */
export interface Curve<Point> {
  at(rate: number): Promise<Point>;
  /** Asked so far, by rate. */
  points(): [rate: number, point: Point][];
}

export function makeCurve<Point>(measure: (rate: number) => Promise<Point>): Curve<Point> {
  const known = new Map<number, Promise<Point>>();
  const settled = new Map<number, Point>();
  return {
    at(rate) {
      const point = known.get(rate) ?? measure(rate);
      known.set(rate, point);
      return point.then((value) => {
        settled.set(rate, value);
        return value;
      });
    },
    points: () => [...settled].sort(([one], [other]) => one - other),
  };
}

export interface SearchOptions {
  /** Where to begin; what is known already takes precedence. */
  guess: number;
  /** Below it nobody looks: the answer is 0 then. */
  lowest: number;
  /** The answer and the lowest rate that failed differ by this share at most. */
  tolerance: number;
}

/** Steps from a rate that holds to one that may not, while none is known that does not. */
const growth = 1.6;

/**
 * The highest rate that holds, below the lowest known one that does not: where a curve is not monotone, its first crossing of
 * the bound counts.
 */
export async function sustainedRate<Point>(
  curve: Curve<Point>,
  holds: (point: Point) => boolean,
  { guess, lowest, tolerance }: SearchOptions,
): Promise<number> {
  for (;;) {
    const points = curve.points();
    const high = points.find(([, point]) => !holds(point))?.[0];
    const low = points.findLast(([rate, point]) => rate < (high ?? Infinity) && holds(point))?.[0];
    if (low !== undefined && high !== undefined && high / low <= 1 + tolerance) return low;
    if (high !== undefined && high <= lowest) return 0;
    await curve.at(nextRate(low, high, Math.max(guess, lowest), lowest));
  }
}

function nextRate(low: number | undefined, high: number | undefined, guess: number, lowest: number): number {
  if (low === undefined) return high === undefined ? guess : Math.max(lowest, high / growth);
  if (high === undefined) return Math.max(guess, low * growth);
  return Math.sqrt(low * high);
}
