// `infercept simulate`: what is read from the command line, what is printed, and what is said of wrong arguments.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { agentSessions, formatTrace, profiles, type SimulationReport } from '../../lib/index.js';
import { parseProfile } from '../../lib/measured-profile.js';
import { policyNames } from '../../lib/policy-names.js';
import { simulateCommand, simulateUsage } from '../../lib/simulate-command.js';

const short = ['--seconds', '20'];
const parsed = async (...args: string[]): Promise<Record<string, SimulationReport>> =>
  JSON.parse(await simulateCommand([...short, ...args, '--json']));

describe('infercept simulate', () => {
  it('explains itself, with every policy and profile', async () => {
    expect(await simulateCommand(['--help'])).toBe(simulateUsage);
    for (const name of [...policyNames, ...Object.keys(profiles)]) expect(simulateUsage).toContain(name);
  });

  it('prints a table with a line per policy', async () => {
    const lines = (await simulateCommand([...short, '--policy', 'adaptive,discard'])).trimEnd().split('\n');
    expect(lines[0]).toBe('gpt-j-6b on a100');
    expect(lines.slice(2).map((line) => line.split(' ')[0])).toEqual(['adaptive', 'discard']);
    expect(new Set(lines.slice(1).map(({ length }) => length)).size).toBe(1);
  });

  it('prints JSON by policy, for all of them', async () => {
    const reports = await parsed('--policy', 'all', '--rate', '2');
    expect(Object.keys(reports)).toEqual([...policyNames]);
    for (const [policy, report] of Object.entries(reports)) {
      expect(report.policy).toBe(policy);
      expect(report.completed).toBe(report.sessions);
    }
  });

  it('hands on rate, seed, time and profile', async () => {
    const [base, faster, other, cut, large] = await Promise.all([
      parsed(),
      parsed('--rate', '4'),
      parsed('--seed', '2'),
      parsed('--until', '5'),
      parsed('--profile', 'h200-llama3-8b'),
    ]);
    expect(faster.adaptive!.sessions).toBeGreaterThan(2 * base.adaptive!.sessions);
    expect(other.adaptive!.steps).not.toBe(base.adaptive!.steps);
    expect(cut.adaptive!.virtualSeconds).toBeLessThan(6);
    expect(large.adaptive!.firstTokenMs.p50).toBeLessThan(base.adaptive!.firstTokenMs.p50);
  });

  it('hands on windows, and which layers have one', async () => {
    const [windowed, mixed] = await Promise.all([
      parsed('--window', '256'),
      parsed('--window', '256', '--layers', '1:2'),
    ]);
    expect(mixed.adaptive!.stats.device.blocks).toBe(3 * windowed.adaptive!.stats.device.blocks);
    await expect(parsed('--layers', '1')).rejects.toThrow("--layers: '1' is not two numbers");
  });

  it('takes one augmentation, agents, or a trace', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'infercept-trace-'));
    try {
      const path = join(folder, 'trace.jsonl');
      const sessions = agentSessions({ rate: 0.3, seconds: 20, tokenScale: 1 / 200 });
      writeFileSync(path, formatTrace(sessions));
      const [math, agents, replayed] = await Promise.all([
        parsed('--workload', 'math'),
        parsed('--workload', 'agents', '--rate', '0.3', '--token-scale', '0.005'),
        parsed('--workload', path),
      ]);
      expect(math.adaptive!.virtualSeconds).toBeLessThan(30);
      expect(replayed.adaptive!.sessions).toBe(sessions.length);
      expect(agents.adaptive!.sessions).toBe(sessions.length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    ['{}', /`profile.step` is undefined/],
    [JSON.stringify({ ...profiles['a100-gpt-j-6b'], step: -1 }), /profile.step/],
    [JSON.stringify({ ...profiles['a100-gpt-j-6b'], stepp: 1 }), /`stepp`/],
    ['step = 1', /not JSON/],
  ])('refuses the profile %j', (text, message) => {
    expect(() => parseProfile(text)).toThrow(message);
  });

  it('takes the profiles that there are as JSON', () => {
    for (const profile of Object.values(profiles)) expect(parseProfile(JSON.stringify(profile))).toEqual(profile);
  });

  it.each([
    [['--polcy', 'swap'], /--polcy/],
    [['--policy', 'best'], /'best' is none; .*adaptive/],
    [['--profile', 'toaster'], /'toaster' is none of a100-gpt-j-6b.*nor a file/],
    [['--profile', 'README.md'], /not JSON/],
    [['--workload', 'no/such/file'], /none of mix, agents, math.*nor a file/],
    [['--rate', 'fast'], /--rate: 'fast' is not a number/],
    [['--rate=-1'], /mix.rate/],
  ])('%j is refused', async (args, message) => {
    await expect(simulateCommand(args)).rejects.toThrow(message);
    await expect(simulateCommand(args)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
