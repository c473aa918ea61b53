/** `infercept simulate`: a workload under one or more policies, as a table or as JSON. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { InferceptError } from './errors.js';
import { parseProfile } from './measured-profile.js';
import { type PolicyName, policyNames } from './policy-names.js';
import { type DeviceProfile, profiles } from './profiles.js';
import { type SimulateOptions, type SimulationReport, simulate } from './simulate.js';
import { parseTrace } from './trace.js';
import { augmentationNames, type Workload } from './workload.js';

export const simulateUsage = `usage: infercept simulate [options]

Runs a workload through the engine's scheduler in virtual time: no model, no device.

  --policy NAME,...   ${policyNames.join(', ')}; or all (default: adaptive)
  --profile NAME      what steps and copies cost, and how much memory there is: one of
                      ${Object.keys(profiles).join(', ')} (default: a100-gpt-j-6b),
                      or the path of one that \`infercept calibrate\` printed
  --workload NAME     mix (the six augmentations of the InferCept paper alike), one of them alone (${augmentationNames.join(', ')}),
                      agents, or the path of a trace that recordTrace recorded (default: mix)
  --rate N            sessions per second (default: 1)
  --seconds N         for how long sessions arrive (default: 300)
  --until N           second at which the simulation stops; who is not done then counts as ending (default: when all are done)
  --token-scale N     multiplies token counts (default: 1)
  --window N          how far back attention looks, in tokens (default: 0, to the beginning)
  --layers F:S        groups of equally many layers that see everything, and that see the window (default: 0:1)
  --seed N            (default: 1)
  --json              prints one JSON object, by policy
  --help
`;

const argumentTypes = {
  policy: { type: 'string', default: 'adaptive' },
  profile: { type: 'string', default: 'a100-gpt-j-6b' },
  workload: { type: 'string', default: 'mix' },
  rate: { type: 'string', default: '1' },
  seconds: { type: 'string', default: '300' },
  until: { type: 'string', default: '0' },
  'token-scale': { type: 'string', default: '1' },
  window: { type: 'string', default: '0' },
  layers: { type: 'string', default: '0:1' },
  seed: { type: 'string', default: '1' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

function wrong(message: string): InferceptError {
  return new InferceptError('ERR_INVALID_ARGUMENT', message);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: argumentTypes }).values;
  } catch (cause) {
    throw wrong((cause as Error).message);
  }
}

type Values = ReturnType<typeof parse>;

/** What is to be printed. @throws InferceptError `ERR_INVALID_ARGUMENT` for what is misspelt */
export async function simulateCommand(args: readonly string[]): Promise<string> {
  const values = parse(args);
  if (values.help) return simulateUsage;
  const policies = toPolicies(values.policy);
  const profile = await toProfile(values.profile);
  const workload = await toWorkload(values);
  const untilMs = 1000 * toNumber('until', values.until);
  const windowTokens = toNumber('window', values.window);
  const layerGroups = toLayerGroups(values.layers);
  const rows: Row[] = [];
  for (const policy of policies) {
    const started = performance.now();
    const report = await simulate(workload, { policy, profile, windowTokens, ...layerGroups, untilMs });
    rows.push({ report, realSeconds: (performance.now() - started) / 1000 });
  }
  return values.json ? toJson(rows) : toTable(rows, profile);
}

function toPolicies(text: string): readonly PolicyName[] {
  if (text === 'all') return policyNames;
  return text.split(',').map((name) => {
    const known = policyNames.find((policy) => policy === name);
    if (known === undefined) throw wrong(`--policy: '${name}' is none; there are ${policyNames.join(', ')} and all.`);
    return known;
  });
}

function toLayerGroups(text: string): Pick<SimulateOptions, 'layerGroups'> {
  const [full, sliding, ...others] = text.split(':').map((count) => toNumber('layers', count));
  if (full === undefined || sliding === undefined || others.length > 0) {
    throw wrong(`--layers: '${text}' is not two numbers with a colon between them.`);
  }
  return full === 0 ? {} : { layerGroups: { full, sliding } };
}

async function toProfile(name: string): Promise<DeviceProfile> {
  if (Object.hasOwn(profiles, name)) return profiles[name as keyof typeof profiles];
  return parseProfile(await readNamed('profile', name, Object.keys(profiles)));
}

async function toWorkload(values: Values): Promise<Workload> {
  const { workload } = values;
  const arrivals = {
    rate: toNumber('rate', values.rate),
    seconds: toNumber('seconds', values.seconds),
    seed: toNumber('seed', values.seed),
    tokenScale: toNumber('token-scale', values['token-scale']),
  };
  if (workload === 'mix') return { mix: arrivals };
  if (workload === 'agents') return { agents: arrivals };
  const only = augmentationNames.find((name) => name === workload);
  if (only !== undefined) return { mix: { ...arrivals, only } };
  return { sessions: parseTrace(await readNamed('workload', workload, ['mix', 'agents', ...augmentationNames])) };
}

/** The text of a file that an option names instead of what is known. */
async function readNamed(option: string, path: string, known: readonly string[]): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `--${option}: '${path}' is none of ${known.join(', ')}, nor a file to read.`;
    throw new InferceptError('ERR_INVALID_ARGUMENT', message, { cause });
  }
}

function toNumber(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw wrong(`--${name}: '${text}' is not a number.`);
}

interface Row {
  report: SimulationReport;
  realSeconds: number;
}

function toJson(rows: readonly Row[]): string {
  const reports = rows.map(({ report, realSeconds }) => [report.policy, { ...report, realSeconds }]);
  return `${JSON.stringify(Object.fromEntries(reports))}\n`;
}

const columns = ['policy', 'completed', 'per second', 'ms/token p50', 'p99', 'TTFT p50', 'p99', 'waste', 'times real'];

function toTable(rows: readonly Row[], profile: DeviceProfile): string {
  const cells = rows.map(({ report, realSeconds }) => [
    report.policy,
    `${report.completed} of ${report.sessions}`,
    report.completedPerSecond.toFixed(2),
    report.normalizedLatencyMs.p50.toFixed(1),
    report.normalizedLatencyMs.p99.toFixed(1),
    `${report.firstTokenMs.p50.toFixed(0)} ms`,
    `${report.firstTokenMs.p99.toFixed(0)} ms`,
    `${(100 * report.stats.waste.share).toFixed(1)} %`,
    (report.virtualSeconds / realSeconds).toFixed(0),
  ]);
  const lines = [columns, ...cells];
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const format = (line: readonly string[]) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ');
  return `${[profile.name, ...lines.map(format)].join('\n')}\n`;
}
