/**
 * 32 agents of six kinds call tools, wait, and go on, in a KV pool that holds a quarter of what they need; the same job
 * under three policies. `npm run quickstart`, or `npm run quickstart -- --json` for one JSON object as the last line.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { Engine, type PolicyName } from 'infercept';
import { dialoguesFor, newAgent, playDialogue } from './quickstart/agents.js';
import { LiveView } from './quickstart/live-view.js';
import { makeReport, type PolicyReport, printTable } from './quickstart/report.js';

const AGENTS = 32;
/** One agent arrives so long after the other. */
const ARRIVAL_MS = 4;
/** What the policies are compared with comes after what we would choose. */
const POLICIES: PolicyName[] = ['adaptive', 'infercept', 'discard-requeue'];
/** KV tokens on the device: a quarter of what the 32 contexts have in the end. */
const POOL_TOKENS = 1440;
/** And in host memory: enough for some of the contexts that have to leave, so that all three dispositions are seen. */
const HOST_TOKENS = 256;

async function runPolicy(policy: PolicyName, bytesPerToken: number): Promise<PolicyReport> {
  await using engine = await Engine.load('demo', {
    policy,
    kvCache: { bytes: POOL_TOKENS * bytesPerToken },
    swap: { hostBytes: HOST_TOKENS * bytesPerToken },
  });
  const decisions = { preserve: 0, swap: 0, discard: 0 };
  engine.on('interception-decision', ({ disposition }) => {
    decisions[disposition] += 1;
  });
  const dialogues = dialoguesFor(AGENTS);
  const agents = dialogues.map(({ kind }) => newAgent(kind));
  const view = new LiveView(policy, engine, agents);
  const started = performance.now();
  await Promise.all(
    dialogues.map(async (dialogue, index) => {
      await wait(index * ARRIVAL_MS);
      await playDialogue(engine, dialogue, agents[index]!);
    }),
  );
  view.stop();
  return makeReport(policy, engine, agents, decisions, (performance.now() - started) / 1000);
}

/** Plays some dialogues at full speed first: what the process pays once should not count for one policy alone. */
async function warmUp(): Promise<number> {
  await using engine = await Engine.load('demo');
  await Promise.all(
    dialoguesFor(AGENTS).map((dialogue) =>
      playDialogue(engine, dialogue, newAgent(dialogue.kind), Number.POSITIVE_INFINITY),
    ),
  );
  return engine.capacity().bytesPerToken;
}

const reports: PolicyReport[] = [];
const bytesPerToken = await warmUp();
for (const policy of POLICIES) reports.push(await runPolicy(policy, bytesPerToken));
printTable(reports, AGENTS);

if (process.argv.includes('--json')) {
  const { policy: _, ...first } = reports[0]!;
  const policies = Object.fromEntries(reports.map(({ policy, ...report }) => [policy, report]));
  console.log(JSON.stringify({ agents: AGENTS, ...first, policies }));
}
