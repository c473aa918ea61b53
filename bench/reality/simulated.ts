// The same sessions in the simulator, on the machine as the engine measured it.
import { type DeviceProfile, type PolicyName, simulate } from 'infercept';
import type { Outcome } from './outcome.js';
import { type ToolSession, toSimulated } from './workload.js';

export async function runSimulated(
  profile: DeviceProfile,
  policy: PolicyName,
  sessions: readonly ToolSession[],
  untilMs: number,
): Promise<Outcome> {
  const report = await simulate(
    { sessions: sessions.map(toSimulated) },
    { policy, profile, untilMs, prefixCache: false },
  );
  const { tokens, swappedBlocks } = report.stats;
  return {
    completed: report.completed,
    latencyMs: report.normalizedLatencyMs.p50,
    steps: report.steps,
    computedTokens: tokens.computed,
    recomputedTokens: tokens.recomputed,
    swappedBlocks: swappedBlocks.out,
  };
}
