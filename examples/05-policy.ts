/**
 * The policy without the engine: `infercept/policy` decides for an inference engine of somebody else. Here a made-up one, in
 * virtual time: 60 agents over a paged cache for a third of their contexts, whose calls take from a tenth of a second to
 * minutes. Nobody says how long; the core learns it from the calls that have ended.
 */
import { PolicyCore, profiles } from 'infercept/policy';
import { MadeUpEngine } from './policy/made-up-engine.js';

// What steps and copies cost at first; what is observed refines it.
const profile = profiles['a100-gpt-j-6b'];

console.log('policy           calls  kept  swapped  discarded  wasted GB·s');
for (const policy of ['discard', 'infercept', 'adaptive'] as const) {
  const core = new PolicyCore({ policy, profile, blockTokens: 16 });
  const engine = new MadeUpEngine(profile);
  while (engine.now < 300) {
    const decisions = core.decide(engine.question());
    // This engine copies nothing ahead of time, so that no decision is to preserve.
    for (const { id: agent, disposition, blocks } of decisions) {
      if (disposition !== 'preserve') engine.giveUp(agent, disposition, blocks);
    }
    const { ended, ...step } = engine.step();
    core.observeStep(step);
    for (const call of ended) core.observeInterception(call);
  }
  const { preserve, swap, discard } = engine.fates;
  const cells = [preserve + swap + discard, preserve, swap, discard, Math.round(engine.wastedByteSeconds / 1e9)];
  console.log(policy.padEnd(15), ...[6, 5, 8, 10, 12].map((width, column) => String(cells[column]).padStart(width)));
  if (policy === 'adaptive') {
    for (const kind of ['tool:calculator', 'tool:browser', 'human']) {
      const seconds = core.residual({ kind, elapsedSeconds: 1 });
      console.log(`  a call of ${kind} that has taken 1 s is expected to take ${seconds.toFixed(1)} s more`);
    }
  }
}
