/**
 * Traffic of coding agents, drawn to have the statistics that operators quote of theirs: a median of 43 turns per session and
 * of 142,000 tokens of input per turn, of which more than 96 % were computed for the turn before; 444 tokens of output; 86 %
 * of the gaps between turns below a second, 95 % below ten, and a thin tail of minutes; sub-agents in 44 % of the sessions.
 */
import { exponential, lognormal, seededRandom } from './random.js';
import { integer, invalid, options, real } from './validate.js';
import type { SessionSegment, SimulatedSession } from './workload.js';

/** Coding agents with shared system prompts, tools of very different durations, and sub-agents. */
export interface AgentWorkload {
  /** Sessions per second, Poisson; sub-agents are not counted. */
  rate: number;
  /** For how many seconds sessions arrive. */
  seconds: number;
  /** Default 1. */
  seed?: number;
  /** Multiplies token counts. Default 1: contexts of 142,000 tokens in the median. */
  tokenScale?: number;
  /** Multiplies the durations of tools. Default 1. */
  timeScale?: number;
}

/** Median, and the standard deviation of the logarithm. */
interface Spread {
  median: number;
  spread: number;
}

interface ToolKind {
  kind: string;
  /** Of all calls. */
  share: number;
  seconds: Spread;
}

/** Three tools whose gaps together have the quoted quantiles: files are read, commands run, tests take minutes at worst. */
const tools: readonly ToolKind[] = [
  { kind: 'tool:read', share: 0.7, seconds: { median: 0.08, spread: 1 } },
  { kind: 'tool:shell', share: 0.235, seconds: { median: 0.5, spread: 1.5 } },
  { kind: 'tool:test', share: 0.065, seconds: { median: 12, spread: 1 } },
];

/** What one kind of agent is like. The spreads are ours: medians alone were quoted. */
interface AgentKind {
  /** Which first tokens all of its sessions share: system prompt and descriptions of tools. */
  prefix: number;
  prefixTokens: number;
  taskTokens: Spread;
  turns: Spread;
}

const agent: AgentKind = {
  prefix: 1,
  prefixTokens: 20_000,
  taskTokens: { median: 500, spread: 1 },
  turns: { median: 43, spread: 0.6 },
};

/** Fewer tools, a part of the task. */
const subAgent: AgentKind = {
  prefix: 2,
  prefixTokens: 10_000,
  taskTokens: { median: 500, spread: 1 },
  turns: { median: 11, spread: 0.6 },
};

const outputTokens: Spread = { median: 444, spread: 0.7 };
/** What a tool returns. Together with the output it makes the median input of a turn 142,000 tokens. */
const returnedTokens: Spread = { median: 3200, spread: 1 };
const subAgentShare = 0.44;
/** Of a session that has any: one to so many, called together in one turn. */
const subAgentsMax = 3;
/** A session ends when its context would grow beyond: the longest windows there are have not much more. */
const contextTokensMax = 400_000;

const checkAgentWorkload = options({
  rate: real(1e-6, 1e6),
  seconds: real(1e-3, 1e9),
  seed: integer(0),
  tokenScale: real(1e-6, 1e3),
  timeScale: real(0, 1e6),
});

/**
 * The sessions of a workload, in order of arrival; sub-agents stand behind who calls them.
 * @throws InferceptError `ERR_INVALID_ARGUMENT`
 */
export function agentSessions(workload: AgentWorkload): SimulatedSession[] {
  const { rate, seconds, seed = 1 } = checkAgentWorkload(workload, 'agents');
  if (rate === undefined) throw invalid('agents.rate', rate, 'a number');
  if (seconds === undefined) throw invalid('agents.seconds', seconds, 'a number');
  // Neighbouring seeds give unlike numbers only if their bits differ much.
  const maker = new SessionMaker(seededRandom(Math.imul(seed + 1, 0x9e3779b1)), workload);
  for (let at = maker.gap() / rate; at < seconds; at += maker.gap() / rate) maker.addAgent(1000 * at);
  return maker.sessions;
}

class SessionMaker {
  readonly sessions: SimulatedSession[] = [];

  constructor(
    private readonly random: () => number,
    private readonly workload: AgentWorkload,
  ) {}

  /** Between arrivals, of mean 1. */
  gap(): number {
    return exponential(this.random);
  }

  addAgent(arrivalMs: number): void {
    const session = this.makeSession(agent, arrivalMs);
    const place = this.sessions.push(session) - 1;
    const calls = session.segments.length - 1;
    if (this.random() >= subAgentShare || calls === 0) return;
    const segment = Math.floor(this.random() * calls);
    const count = 1 + Math.floor(this.random() * subAgentsMax);
    for (let index = 0; index < count; index += 1) {
      this.sessions.push({ ...this.makeSession(subAgent, 0), calledBy: { session: place, segment } });
    }
    // They report what they found, and the call itself takes no time.
    const reported = Array.from({ length: count }, () => this.tokens(outputTokens)).reduce(
      (sum, tokens) => sum + tokens,
    );
    Object.assign(session.segments[segment]!, { kind: 'agent', durationMs: 0, returnedTokens: reported });
  }

  private makeSession(kind: AgentKind, arrivalMs: number): SimulatedSession {
    const prefixTokens = this.scaled(kind.prefixTokens);
    const promptTokens = prefixTokens + this.tokens(kind.taskTokens);
    const turns = Math.max(1, Math.round(lognormal(this.random, kind.turns)));
    const segments: SessionSegment[] = [];
    // Room for what sub-agents report, which may be more than the tool's result in whose place it stands.
    let left = this.scaled(contextTokensMax) - promptTokens - subAgentsMax * this.scaled(10 * outputTokens.median);
    while (segments.length < turns) {
      const segment = this.makeSegment();
      left -= segment.decodeTokens + segment.returnedTokens!;
      if (left < 0 && segments.length > 0) break;
      segments.push(segment);
    }
    return { arrivalMs, promptTokens, prefix: kind.prefix, prefixTokens, segments };
  }

  private makeSegment(): SessionSegment {
    const { kind, seconds } = this.pickTool();
    return {
      decodeTokens: this.tokens(outputTokens),
      kind,
      durationMs: 1000 * lognormal(this.random, seconds) * (this.workload.timeScale ?? 1),
      returnedTokens: this.tokens(returnedTokens),
    };
  }

  private pickTool(): ToolKind {
    let left = this.random();
    for (const tool of tools) {
      left -= tool.share;
      if (left < 0) return tool;
    }
    return tools[0]!;
  }

  /** At most ten times the median: what tools return is cut off somewhere. */
  private tokens(spread: Spread): number {
    return this.scaled(Math.min(lognormal(this.random, spread), 10 * spread.median));
  }

  private scaled(tokens: number): number {
    return Math.max(1, Math.round(tokens * (this.workload.tokenScale ?? 1)));
  }
}
