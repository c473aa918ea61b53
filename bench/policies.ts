// The paper's evaluation and ours, simulated: what load each policy sustains, where memory goes, and what each idea brings. The
// scheduler is the engine's own; time is virtual. Deterministic: the same arguments print the same figures.
import { type AblationRow, measureAblation } from './policies/ablation.js';
import { type Case, casesOf, fullSize, mainProfile, quickSize, type Size } from './policies/cases.js';
import { type IdeaRow, measureIdeas } from './policies/ideas.js';
import { type CaseFigures, Contestant, measureCase, Simulator } from './policies/measure.js';
import { ratiosOf } from './policies/ratios.js';
import { ablationTable, caseTable, ideasTable } from './policies/tables.js';
import type { Bench } from './run.js';
import type { ExtraOption } from './support/options.js';
import { round } from './support/statistics.js';

export const extras: readonly ExtraOption[] = ['profiles', 'workloads'];

type Measured = Case & { figures: CaseFigures };

export const bench: Bench = async (options) => {
  const size = options.quick ? quickSize : fullSize;
  const simulator = new Simulator(options.threads);
  const started = performance.now();
  const cases: Measured[] = [];
  for (const subject of casesOf(options)) {
    console.log(`${subject.profile.name}, ${subject.workload} ...`);
    const figures = await measureCase(simulator, subject, size, console.log);
    for (const line of caseTable(subject, figures)) console.log(line);
    console.log(`${toSeconds(performance.now() - started)} s\n`);
    cases.push({ ...subject, figures });
  }
  const find = (workload: string) =>
    cases.find((subject) => subject.profileName === mainProfile && subject.workload === workload);
  const mix = find('mix');
  const oracle = mix && (await sustainedByOracle(simulator, mix, size));
  const ablation = mix && (await measureAblation(simulator, mix, size));
  if (ablation !== undefined) for (const line of ablationTable(ablation)) console.log(line);
  const agents = find('agents');
  const ideas: Record<string, IdeaRow[]> = {};
  const ceilings: Record<string, number> = {};
  for (const subject of [mix, agents]) {
    if (subject === undefined) continue;
    ideas[subject.workload] = await measureIdeas(simulator, subject, size);
    for (const line of ideasTable(`what each idea brings: ${subject.workload}`, ideas[subject.workload]!))
      console.log(line);
    ceilings[subject.workload] = await sustainedByMemory(simulator, subject, size);
  }
  const all = cases.map(({ figures }) => figures);
  const ratios = ratiosOf({ mix: mix?.figures, agents: agents?.figures, oracle, all });
  const seconds = (performance.now() - started) / 1000;
  const speed = simulator.virtualSeconds / seconds;
  console.log(`\n${simulator.simulations} simulations, ${Math.round(speed)} virtual seconds in one`);
  console.log(
    Object.entries(ratios)
      .map(([name, ratio]) => `${name} ${ratio}`)
      .join('\n'),
  );
  return {
    ratios,
    cases: nested(cases),
    ablation: ablation?.map(toJson),
    ideas,
    ceilings,
    oracle,
    speed: round(speed),
    size,
  };
};

const toSeconds = (ms: number): string => (ms / 1000).toFixed(0);

/** What `adaptive` sustains on the mix when it is told how long each interception lasts. */
async function sustainedByOracle(simulator: Simulator, mix: Measured, size: Size): Promise<number> {
  const told = new Contestant(simulator, mix, size, { policy: 'adaptive', durationsKnown: true });
  const { boundMs, policies } = mix.figures;
  const sustained = await told.sustained(boundMs, policies.adaptive.sustained.fixedBound);
  console.log(`adaptive sustains ${sustained} /s of the mix if every duration is known\n`);
  return sustained;
}

/** What any policy could sustain at most: the same device with memory for everybody. */
async function sustainedByMemory(simulator: Simulator, subject: Measured, size: Size): Promise<number> {
  const profile = { ...subject.profile, deviceTokens: 100 * subject.profile.deviceTokens };
  const roomy = new Contestant(simulator, subject, size, { policy: 'preserve', profile });
  const { boundMs, policies } = subject.figures;
  const sustained = await roomy.sustained(boundMs, policies.adaptive.sustained.fixedBound);
  console.log(`with memory for everybody ${sustained} /s of ${subject.workload} are sustained\n`);
  return sustained;
}

/** By profile and workload. */
function nested(cases: readonly Measured[]): Record<string, Record<string, CaseFigures>> {
  const result: Record<string, Record<string, CaseFigures>> = {};
  for (const { profileName, workload, figures } of cases) {
    result[profileName] = { ...result[profileName], [workload]: figures };
  }
  return result;
}

function toJson({ name, point, reduction, paper }: AblationRow) {
  return { name, ...point, reduction: reduction === undefined ? undefined : round(reduction), paper };
}
