/** Shows a running job: on a terminal a picture that is drawn again ten times a second, otherwise a line a second. */
import type { Engine } from 'infercept';
import type { Agent, AgentState } from './agents.js';

const SYMBOLS: Record<AgentState, [symbol: string, colour: number]> = {
  queued: ['·', 90],
  thinking: ['▶', 32],
  tool: ['⚙', 33],
  waiting: ['◷', 36],
  right: ['✔', 92],
  wrong: ['✘', 91],
};
const BAR_WIDTH = 60;

function coloured(text: string, colour: number): string {
  return `\u001b[${colour}m${text}\u001b[0m`;
}

function bar(parts: [share: number, symbol: string][]): string {
  let text = '';
  for (const [share, symbol] of parts) text += symbol.repeat(Math.round(share * BAR_WIDTH));
  return text.slice(0, BAR_WIDTH).padEnd(BAR_WIDTH, ' ');
}

export class LiveView {
  private readonly timer: NodeJS.Timeout;
  private readonly terminal = process.stdout.isTTY === true;
  private lines = 0;
  private lastTokens = 0;
  private lastAt = performance.now();

  constructor(
    private readonly title: string,
    private readonly engine: Engine,
    private readonly agents: Agent[],
  ) {
    this.timer = setInterval(() => this.show(), this.terminal ? 100 : 1000);
  }

  stop(): void {
    clearInterval(this.timer);
    this.show();
  }

  private show(): void {
    const text = this.terminal ? this.picture() : [this.line()];
    if (this.terminal && this.lines > 0) process.stdout.write(`\u001b[${this.lines}A\u001b[0J`);
    this.lines = text.length;
    process.stdout.write(`${text.join('\n')}\n`);
  }

  private tokensPerSecond(): number {
    const { computed } = this.engine.stats().tokens;
    const now = performance.now();
    const rate = ((computed - this.lastTokens) * 1000) / Math.max(1, now - this.lastAt);
    this.lastTokens = computed;
    this.lastAt = now;
    return rate;
  }

  private count(...states: AgentState[]): number {
    return this.agents.filter((agent) => states.includes(agent.state)).length;
  }

  private line(): string {
    const { device, host } = this.engine.stats();
    return (
      `${this.title}: ${this.count('thinking')} thinking, ${this.count('tool')} in tools, ${this.count('waiting')} waiting, ` +
      `${this.count('right', 'wrong')} done; pool ${device.blocks - device.free - device.cached}/${device.blocks} blocks in use, host ` +
      `${host.blocks - host.free}/${host.blocks}; ${this.tokensPerSecond().toFixed(0)} tokens/s`
    );
  }

  private picture(): string[] {
    const { device, host, interceptions } = this.engine.stats();
    const free = device.free / device.blocks;
    const cached = device.cached / device.blocks;
    const hostUsed = host.blocks > 0 ? 1 - host.free / host.blocks : 0;
    const agents = this.agents.map(({ state }) => coloured(SYMBOLS[state][0], SYMBOLS[state][1])).join(' ');
    return [
      `${this.title.padEnd(16)} ${agents}`,
      `${'device KV'.padEnd(16)} [${bar([
        [1 - free - cached, '█'],
        [cached, '▒'],
        [free, '·'],
      ])}] █ in use ▒ cached`,
      `${'host KV'.padEnd(16)} [${bar([
        [hostUsed, '█'],
        [1 - hostUsed, '·'],
      ])}]`,
      `${'interceptions'.padEnd(16)} ${interceptions.preserved} preserved, ${interceptions.swapped} swapped, ${interceptions.discarded} discarded; ` +
        `${this.tokensPerSecond().toFixed(0)} tokens/s`,
    ];
  }
}
