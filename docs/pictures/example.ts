// The example that docs/scheduling.md counts with: GPT-J-6B on an A100, a context of 1,408 tokens that waits, and what runs and
// waits beside it. What it costs is what the scheduler's own code says.
import { PolicyCore, profiles } from 'infercept/policy';

const profile = profiles['a100-gpt-j-6b'];
export const blockTokens = 16;
const core = new PolicyCore({ profile, blockTokens });

export const { saturationTokens } = core;
/** Of the context that waits: 88 blocks. */
export const contextTokens = 1408;
export const contextBlocks = contextTokens / blockTokens;
/** Sequences that decode, and the tokens of their contexts; and those of others that wait. */
export const decodes = 16;
export const runningTokens = 20_000;
const otherPausedTokens = 15_000 - contextTokens;

export const bytes = (tokens: number): number => tokens * profile.bytesPerToken;

/** Seconds of a full step, and what they are spent on. */
export const stepSeconds = core.stepSeconds({ queryTokens: saturationTokens, kvTokens: runningTokens });
export const stepParts = {
  weights: core.stepSeconds({ queryTokens: 0, kvTokens: 0 }),
  tokens: profile.perQueryToken * saturationTokens,
  reading: profile.perKvToken * runningTokens,
};

/** Blocks that one direction of the link copies while a full step computes. */
export const copyBudget = core.copyBlocksWithin({ direction: 'out', seconds: stepSeconds });

/** Byte-seconds of each disposition. */
function weigh(seconds: number, others: number) {
  const context = { id: 0, tokens: contextTokens, deviceBlocks: contextBlocks };
  const load = { shortageBlocks: 0, runningTokens: others, otherPausedTokens, hostBlocksFree: contextBlocks };
  const [weighed] = core.weigh({ paused: [{ ...context, elapsedSeconds: 0, expectedSeconds: seconds }], load });
  return weighed!.waste;
}

export const wastePreserve = (seconds: number): number => weigh(seconds, runningTokens).preserve;
export const wasteDiscard = weigh(1, runningTokens).discard;
/** Of that, what the context itself holds while it is computed again. */
export const wasteDiscardOwn = weigh(1, 0).discard;
export const wasteDiscardOthers = wasteDiscard - wasteDiscardOwn;

/** Seconds that recomputing the context adds to the steps in which it is done: half of its memory is held as long. */
export const recomputeSeconds = (2 * wasteDiscardOwn) / bytes(contextTokens);
/** From here on discarding wastes less than preserving. */
export const breakEvenSeconds = wasteDiscard / wastePreserve(1);
