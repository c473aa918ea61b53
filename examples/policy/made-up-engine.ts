/**
 * A made-up inference engine in virtual time: a paged cache on a device and a host, and agents that decode, call something
 * and go on. It computes nothing, it counts blocks and seconds. Who gives up memory while it waits, it is told.
 */
import type { CostProfile, Disposition, PolicyQuestion } from 'infercept/policy';

/** Seconds that calls take on average. */
const calls = { 'tool:calculator': 0.1, 'tool:browser': 6, human: 40 };
type Call = keyof typeof calls;
const kinds = Object.keys(calls) as Call[];

const blockTokens = 16;
const agentCount = 60;
/** A third of what all contexts need. */
const deviceBlocks = 1000;
const hostBlocks = 3000;

export interface Agent {
  /** What it calls. */
  kind: Call;
  tokens: number;
  /** Of these, how many had keys and values at some time. */
  computedOnce: number;
  /** Its first blocks are on the device, those behind them on the host; what then is missing has to be computed again. */
  deviceBlocks: number;
  hostBlocks: number;
  /** That it says before its next call. */
  tokensLeft: number;
  paused: boolean;
  pausedAt: number;
  returnsAt: number;
  /** The worst that happened to its context during this call. */
  fate: Disposition;
}

/** What a step did, as a policy core wants to know it. */
export interface StepReport {
  queryTokens: number;
  kvTokens: number;
  seconds: number;
  ended: { kind: Call; seconds: number }[];
}

const sum = <Item>(items: readonly Item[], value: (item: Item) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

export class MadeUpEngine {
  now = 0;
  /** Calls that have ended, by what happened to the context meanwhile. */
  readonly fates: Record<Disposition, number> = { preserve: 0, swap: 0, discard: 0 };
  /** Device memory times time that served nobody. */
  wastedByteSeconds = 0;
  private deviceFree = deviceBlocks;
  private hostFree = hostBlocks;
  private work = { queryTokens: 0, recomputed: 0, swappedIn: 0, swappedOut: 0 };
  private seed = 1;
  private readonly agents: readonly Agent[];

  constructor(private readonly costs: CostProfile) {
    const begin = { tokens: 400, computedOnce: 0, deviceBlocks: 0, hostBlocks: 0, tokensLeft: 30 };
    const pause = { paused: false, pausedAt: 0, returnsAt: 0, fate: 'preserve' as const };
    this.agents = Array.from({ length: agentCount }, (_, id) => ({ kind: kinds[id % 3]!, ...begin, ...pause }));
  }

  /** What a policy has to know now. */
  question(): PolicyQuestion<Agent> {
    const runnable = this.runnable();
    const missing = sum(runnable, (agent) => this.missingBlocks(agent));
    return {
      paused: this.paused().map((agent) => ({
        id: agent,
        kind: agent.kind,
        tokens: agent.computedOnce,
        deviceBlocks: agent.deviceBlocks,
        elapsedSeconds: this.now - agent.pausedAt,
      })),
      load: {
        shortageBlocks: Math.max(0, missing - this.deviceFree),
        runningTokens: blockTokens * sum(runnable, (agent) => agent.deviceBlocks),
        queryTokens: runnable.length,
        hostBlocksFree: this.hostFree,
      },
    };
  }

  /** The last `blocks` blocks of an agent leave the device. */
  giveUp(agent: Agent, disposition: 'swap' | 'discard', blocks: number): void {
    agent.deviceBlocks -= blocks;
    this.deviceFree += blocks;
    // What stands behind a gap is of no use.
    const moved = disposition === 'swap' ? blocks : -agent.hostBlocks;
    agent.hostBlocks += moved;
    this.hostFree -= moved;
    this.work.swappedOut += Math.max(0, moved);
    if (agent.fate !== 'discard') agent.fate = disposition;
  }

  /** Every runnable agent that gets its memory says a token. Copies run beside the computing, and may outlast it. */
  step(): StepReport {
    const ended = this.wake();
    const batch = this.admit();
    const { queryTokens, recomputed, swappedIn, swappedOut } = this.work;
    const { step, perQueryToken, perKvToken, bytesPerToken, secondsPerCopiedByte } = this.costs;
    const kvTokens = sum(batch, (agent) => agent.tokens);
    const seconds = step + queryTokens * perQueryToken + kvTokens * perKvToken;
    const copying = Math.max(swappedIn, swappedOut) * blockTokens * bytesPerToken * secondsPerCopiedByte;
    const stalled = Math.max(0, copying - seconds);
    this.now += seconds + stalled;
    this.charge(deviceBlocks - this.deviceFree, stalled + recomputed * perQueryToken);
    const refused = batch.length < this.runnable().length;
    if (refused)
      this.charge(
        sum(this.paused(), (agent) => agent.deviceBlocks),
        seconds + stalled,
      );
    for (const agent of batch) this.say(agent);
    this.work = { queryTokens: 0, recomputed: 0, swappedIn: 0, swappedOut: 0 };
    return { queryTokens, kvTokens, seconds, ended };
  }

  /** Who waits for longest first. */
  private runnable(): Agent[] {
    return this.agents.filter(({ paused }) => !paused).sort((a, b) => a.returnsAt - b.returnsAt);
  }

  private paused(): Agent[] {
    return this.agents.filter(({ paused }) => paused);
  }

  private missingBlocks(agent: Agent): number {
    return Math.ceil(agent.tokens / blockTokens) - agent.deviceBlocks;
  }

  private charge(blocks: number, seconds: number): void {
    this.wastedByteSeconds += blocks * blockTokens * this.costs.bytesPerToken * seconds;
  }

  /** Calls return; if nobody can go on, time passes until one does. */
  private wake(): StepReport['ended'] {
    if (this.runnable().length === 0) this.now = Math.min(...this.agents.map(({ returnsAt }) => returnsAt));
    const back = this.paused().filter(({ returnsAt }) => returnsAt <= this.now);
    for (const agent of back) {
      this.fates[agent.fate] += 1;
      Object.assign(agent, { paused: false, fate: 'preserve', tokens: agent.tokens + 60, tokensLeft: 30 });
      if (agent.tokens > 1200) this.beginAnew(agent);
    }
    return back.map(({ kind, returnsAt, pausedAt }) => ({ kind, seconds: returnsAt - pausedAt }));
  }

  private beginAnew(agent: Agent): void {
    this.deviceFree += agent.deviceBlocks;
    this.hostFree += agent.hostBlocks;
    Object.assign(agent, { tokens: 400, computedOnce: 0, deviceBlocks: 0, hostBlocks: 0 });
  }

  /** Who gets the memory for its next token. The oldest always does: for it all others give way. */
  private admit(): Agent[] {
    const [oldest, ...younger] = this.runnable();
    for (const agent of [...younger.reverse(), ...this.paused()]) {
      if (this.missingBlocks(oldest!) <= this.deviceFree) break;
      this.giveUp(agent, 'discard', agent.deviceBlocks);
    }
    return this.runnable().filter((agent) => this.bringBack(agent));
  }

  private bringBack(agent: Agent): boolean {
    const missing = this.missingBlocks(agent);
    if (missing > this.deviceFree) return false;
    const computed = Math.min(agent.computedOnce, blockTokens * (agent.deviceBlocks + agent.hostBlocks));
    this.work.recomputed += agent.computedOnce - computed;
    this.work.queryTokens += agent.tokens - computed;
    this.work.swappedIn += agent.hostBlocks;
    this.deviceFree -= missing;
    this.hostFree += agent.hostBlocks;
    agent.deviceBlocks += missing;
    agent.hostBlocks = 0;
    return true;
  }

  private say(agent: Agent): void {
    agent.computedOnce = agent.tokens;
    agent.tokens += 1;
    agent.tokensLeft -= 1;
    if (agent.tokensLeft > 0) return;
    agent.paused = true;
    agent.pausedAt = this.now;
    agent.returnsAt = this.now - Math.log(this.random()) * calls[agent.kind];
  }

  /** Lehmer's generator. */
  private random(): number {
    this.seed = (this.seed * 48_271) % 2_147_483_647;
    return this.seed / 2_147_483_647;
  }
}
