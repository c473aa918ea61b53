// formatExplanation: lines that a person can read, from plain values.
import { describe, expect, it } from 'vitest';
import { type Explanation, formatExplanation } from '../../lib/index.js';

const decision = {
  disposition: 'swap',
  blocks: 5,
  waste: { preserve: 1_234_567, swap: 0, discard: 40_000 },
  estimate: { elapsedMs: 12, expectedMs: 840, source: 'learned' },
  pressure: { freeBlocks: 3, availableBlocks: 12, shortageBlocks: 2, hostFreeBlocks: 40, copyBudgetBlocks: 9 },
} as const;

const outcome = {
  waitedMs: 60_000,
  delayMs: 3,
  disposition: 'swap',
  recomputedTokens: 0,
  swappedBlocks: 5,
  givenUpBlocks: 5,
  returnedTokens: 7,
  hindsight: { waste: 900, alternatives: { preserve: 0.5, swap: null, discard: 2e9 }, regret: 899.5 },
} as const;

function format(...interceptions: Explanation['interceptions']): string[] {
  return formatExplanation({ interceptions }).split('\n');
}

describe('formatExplanation', () => {
  it('says what was decided, from what, and what came of it', () => {
    const lines = format({ kind: 'tool:search', contextTokens: 812, decisions: [decision], outcome });
    expect(lines).toEqual([
      'tool:search, 812 tokens',
      '  after 12 ms swap 5 blocks: 840 ms more (learned) would waste 1.2 MB·s, swap 0 B·s, discard 40 kB·s; ' +
        '12 blocks available, 2 short, 40 free on the host, copy budget 9',
      '  came back after 60 s + 3 ms, swapped: 5 blocks copied back, 0 tokens recomputed; ' +
        'wasted 900 B·s (preserve 0.5 B·s, swap impossible, discard 2 GB·s), regret 900 B·s',
    ]);
  });

  it('says what has not come back, and what is not known', () => {
    const waiting = { kind: 'human', contextTokens: 3, decisions: [], outcome: null };
    const skipped = { ...waiting, outcome: { ...outcome, hindsight: null } };
    expect(format(waiting)).toEqual(['human, 3 tokens', '  has not come back']);
    expect(format(skipped)[1]).toMatch(/0 tokens recomputed$/);
    expect(format()).toEqual(['']);
  });
});
