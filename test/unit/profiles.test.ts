// Profiles: what is derived from data sheets agrees with what was measured, where something was; and every profile can run
// the paper's mix.
import { describe, expect, it } from 'vitest';
import {
  type Accelerator,
  a100,
  a100GptJ,
  a100Vicuna,
  a100x2Vicuna,
  a100x4Llama70B,
  deriveProfile,
  modelShapes,
  profiles,
  simulate,
} from '../../lib/index.js';

const stepOf = (profile: typeof a100GptJ, tokens: number): number => profile.step + tokens * profile.perQueryToken;

describe('deriveProfile', () => {
  it('arrives at the constants of the released code for GPT-J on an A100', () => {
    const derived = deriveProfile(modelShapes.gptJ6B, a100);
    expect(derived.bytesPerToken).toBe(a100GptJ.bytesPerToken);
    expect(derived.step / a100GptJ.step).toBeCloseTo(1, 1);
    expect(derived.perQueryToken / a100GptJ.perQueryToken).toBeCloseTo(1, 1);
    expect(derived.perKvToken / a100GptJ.perKvToken).toBeCloseTo(1, 1);
    expect(derived.deviceTokens / a100GptJ.deviceTokens).toBeCloseTo(1, 1);
  });

  it('has the KV bytes per token that the released code has for Vicuna, half of them per GPU', () => {
    expect(a100Vicuna.bytesPerToken).toBe(2 * 409_600);
    expect(a100x2Vicuna.bytesPerToken).toBe(2 * 409_600);
    // Two GPUs hold the weights once between them.
    expect(a100x2Vicuna.deviceTokens).toBeGreaterThan(3 * a100Vicuna.deviceTokens);
  });

  it('shares the weights, the arithmetic and the reading of KV among devices', () => {
    const four: Accelerator = { ...a100, count: 4, layerOverhead: 0 };
    const one = deriveProfile(modelShapes.vicuna13B, { ...four, count: 1 });
    const shared = deriveProfile(modelShapes.vicuna13B, four);
    for (const key of ['step', 'perQueryToken', 'perKvToken'] as const)
      expect(one[key] / shared[key]).toBeCloseTo(4, 6);
    expect(shared.secondsPerCopiedByte).toBe(one.secondsPerCopiedByte);
  });

  it('leaves no pool where the weights do not fit', () => {
    expect(deriveProfile(modelShapes.llama3_70B, { ...a100, count: 2 }).deviceTokens).toBe(0);
  });
});

describe('profiles', () => {
  it('keep arithmetic between half and all of what the devices can do', () => {
    // 384 tokens, two operations per parameter and token.
    const rate = (profile: typeof a100GptJ, parameters: number) => (2 * parameters * 384) / stepOf(profile, 384);
    const peaks = [
      rate(a100GptJ, 6.05e9) / 312e12,
      rate(a100Vicuna, 13.02e9) / 312e12,
      rate(a100x2Vicuna, 13.02e9) / (2 * 312e12),
      rate(a100x4Llama70B, 70.55e9) / (4 * 312e12),
    ];
    for (const share of peaks) {
      expect(share).toBeGreaterThan(0.45);
      expect(share).toBeLessThan(1);
    }
  });

  it.each(Object.entries(profiles))('%s runs the mix', async (_, profile) => {
    const report = await simulate({ mix: { rate: 0.2, seconds: 60 } }, { profile });
    expect(report.completed).toBe(report.sessions);
    // Nobody waits: a token takes a step, and prefill a few more.
    expect(report.normalizedLatencyMs.p50).toBeGreaterThan(1000 * profile.step);
    expect(report.normalizedLatencyMs.p50).toBeLessThan(6000 * profile.step);
  });
});
