/** What matters how much to those who wait: the same option for engines and simulations. */
import { type Checked, options, real } from './validate.js';

/**
 * Weights of two goals that contradict each other where memory is short. Only their ratio counts; `{ ttft: 2 }` lets new requests,
 * and those with small contexts, pass sooner, `{ throughput: 2 }` completes more of what was begun. For `policy: 'adaptive'` with
 * memory to swap to.
 */
export interface SloWeights {
  /** Time to first token: how soon new requests are answered. 0.01 to 100, default 1. */
  ttft?: number;
  /** How many of the requests that were begun are completed. 0.01 to 100, default 1. */
  throughput?: number;
}

const weight = real(0.01, 100);
const checks = { ttft: weight, throughput: weight };

export const sloWeights = options(checks);

export function toNativeSlo({ ttft = 1, throughput = 1 }: Checked<typeof checks> = {}): Required<SloWeights> {
  return { ttft, throughput };
}
